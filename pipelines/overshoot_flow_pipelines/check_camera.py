"""Watches one camera for a few seconds."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import av.error
from av.packet import Packet
from av.video.stream import VideoStream

from overshoot_flow.errors import CameraError, ConfigurationError
from overshoot_flow.media.live_track import TrackWishes
from overshoot_flow.session.clock import SteadyUtc, SystemClock
from overshoot_flow_connectors.fleet_model import FleetCamera
from overshoot_flow_connectors.rtsp_connection import RtspConnection
from overshoot_flow_connectors.rtsp_interrupt import interruptible
from overshoot_flow_connectors.rtsp_packets import TimedPacket
from overshoot_flow_pipelines.check_facts import CameraFacts, CameraObservation, PictureFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckLimits:
    """How long a check may take.

    Args:
        timeout_s: Bound of connecting, of every wait for a picture, and of asking a service.
        watch_s: How long a camera is watched at most. Sender reports come every 5 to 7.5 s.

    Raises:
        ConfigurationError: A bound is not above 0 and at most an hour.
    """

    timeout_s: float = 10.0
    watch_s: float = 10.0

    def __post_init__(self) -> None:
        """Check the bounds."""
        for name in ("timeout_s", "watch_s"):
            if not 0 < getattr(self, name) <= 3600:  # noqa: PLR2004 - an hour
                raise ConfigurationError(f"{name} must be above 0 and at most 3600 seconds")


def watch_camera(
    camera: FleetCamera, limits: CheckLimits, stopping: threading.Event
) -> CameraFacts:
    """Connect to a camera, watch it, and leave; blocks.

    It takes at most `watch_s` and about twice `timeout_s`, and ends at once when it is told to.

    Args:
        camera: The camera.
        limits: Bounds.
        stopping: Set when nobody waits for the answer any more.

    Raises:
        CameraError: The camera cannot be watched; the text has no secret.
    """
    with (
        interruptible(stopping),
        RtspConnection(
            camera.address,
            SteadyUtc(SystemClock()),
            open_timeout_s=limits.timeout_s,
            read_timeout_s=limits.timeout_s,
        ) as connection,
    ):
        connection.stream.codec_context.thread_count = 1
        watch = _Watch(connection.stream)
        until_s = time.monotonic() + limits.watch_s
        for packet in connection.packets():
            watch.take(packet)
            if watch.is_enough or stopping.is_set() or time.monotonic() > until_s:
                break
        return watch.facts(pixels_for=_pixels_for(camera))


def _pixels_for(camera: FleetCamera) -> str | None:
    return TrackWishes.of(
        camera.sample,
        max_height=camera.max_height,
        detects_freezes=camera.freeze_timeout_s is not None,
        edits=bool(camera.mask),
    ).pixels_for


class _Watch:
    """One session's pictures."""

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._observation = CameraObservation()
        self._size: tuple[int, int] | None = None

    @property
    def is_enough(self) -> bool:
        return self._size is not None and self._observation.is_enough

    def take(self, timed: TimedPacket) -> None:
        self._observation.take(
            PictureFacts(
                pts_us=timed.pts_us,
                arrival_us=timed.arrival_us,
                ntp_us=timed.ntp_us,
                is_key_frame=timed.packet.is_keyframe,
            )
        )
        if self._size is None:
            self._decode(timed.packet)

    def _decode(self, packet: Packet[VideoStream]) -> None:
        try:
            # Not by the packet: one that was joined belongs to no stream.
            for frame in self._stream.codec_context.decode(packet):
                self._size = (frame.width, frame.height)
        except av.error.FFmpegError:
            # A session may begin in the middle of a GOP; whether any picture can be decoded is
            # judged in the end.
            return

    def facts(self, *, pixels_for: str | None) -> CameraFacts:
        if self._size is None:
            raise CameraError("none of its pictures can be decoded")
        context = self._stream.codec_context
        return self._observation.facts(
            codec=context.codec.canonical_name,
            width=self._size[0],
            height=self._size[1],
            announces_b_frames=bool(context.has_b_frames),
            pixels_for=pixels_for,
        )
