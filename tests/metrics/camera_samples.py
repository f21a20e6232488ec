"""A camera's facts for tests to vary."""

from __future__ import annotations

from overshoot_flow.media.camera_clock import ClockHealth
from overshoot_flow_connectors.rtsp import CameraStatus

CAMERA = CameraStatus(
    connected=True,
    problem=None,
    paused=False,
    passes_through=True,
    decoded_because=None,
    codec="h264",
    size=(640, 360),
    fps=24.5,
    packets=501,
    bytes_in=90_000,
    connections=2,
    attempts=7,
    stalls=1,
    freezes=3,
    pictures=500,
    frames=100,
    damaged=4,
    given_up={"dropped": 5, "outage": 6},
    clock=ClockHealth(segments=2, offset_s=-1.5, drift_ppm=250.0, drift_exceeded=True),
)
