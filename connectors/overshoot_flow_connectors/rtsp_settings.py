"""How cameras are watched, and how they are doing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.media.camera_clock import ClockHealth, ClockLimits
from overshoot_flow.media.reconnecting import ReconnectPlan

NOT_CONNECTED_YET: Final = "not connected yet"
"""What keeps a camera from being connected until the first attempt has failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RtspSettings:
    """How cameras are watched.

    Args:
        max_height: Largest height of a frame in pixels, or None for the camera's own; every
            picture is decoded because of it.
        open_timeout_s: Bound of connecting.
        stall_timeout_s: A connected camera without a picture for this long is connected to anew.
        freeze_timeout_s: A camera that repeats one picture for this long is connected to anew,
            and its pictures become gaps; None where still pictures are normal. Every picture is
            decoded because of it.
        reconnect: The pauses between attempts.
        clock: Where a camera's clock stops being believed.
        queue_frames: Frames that may wait for the engine; beyond it the oldest are dropped.
        queue_access_units: The same for encoded pictures: there is more room for these, because
            one that is dropped makes all up to the next key frame useless.
        queue_bytes: The same in bytes of both.
        gap_report_s: A gap that lasts longer is recorded in parts of this length.

    Raises:
        ConfigurationError: A number is out of range.
    """

    max_height: int | None = None
    open_timeout_s: float = 10.0
    stall_timeout_s: float = 10.0
    freeze_timeout_s: float | None = None
    reconnect: ReconnectPlan = field(default_factory=ReconnectPlan)
    clock: ClockLimits = field(default_factory=ClockLimits)
    queue_frames: int = 16
    queue_access_units: int = 100
    queue_bytes: int = 32 * 1024 * 1024
    gap_report_s: float = 60.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.max_height is not None and self.max_height < 2:  # noqa: PLR2004 - one chroma sample
            raise ConfigurationError(f"max_height must be at least 2 pixels, not {self.max_height}")
        times_s = {
            "open_timeout_s": self.open_timeout_s,
            "stall_timeout_s": self.stall_timeout_s,
            "gap_report_s": self.gap_report_s,
        }
        if self.freeze_timeout_s is not None:
            times_s["freeze_timeout_s"] = self.freeze_timeout_s
        for name, value in times_s.items():
            if not 0 < value <= 3600:  # noqa: PLR2004 - an hour
                raise ConfigurationError(f"{name} must be above 0 and at most 3600, not {value:g}")
        for name in ("queue_frames", "queue_access_units", "queue_bytes"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraStatus:
    """How one camera is doing.

    Attributes:
        connected: Whether it gives pictures now.
        problem: Why it does not, or None.
        paused: Whether nobody wants its pictures for the time being.
        passes_through: Whether its pictures are handed on now as they are, not decoded.
        decoded_because: Why its pictures are decoded now; None where they are not.
        codec: How its pictures are encoded, by FFmpeg's name; None before the first connection.
        size: Width and height of its pictures in pixels, as it sends them; None before the first.
        fps: Pictures per second that come, measured.
        connections: RTSP sessions that gave a picture.
        attempts: Attempts to connect.
        stalls: Sessions that ended because no picture came any more.
        freezes: Sessions that were ended because one picture was repeated.
        packets: Packets that came.
        bytes_in: Bytes in these packets.
        pictures: Pictures that were decoded, passed through, or let go by while paused.
        frames: Samples and access units handed to the queue.
        damaged: Packets and pictures that could not be used.
        given_up: Pictures that were not handed on, by reason.
        clock: What is known about its clocks.
    """

    connected: bool
    problem: str | None
    paused: bool
    passes_through: bool
    decoded_because: str | None
    codec: str | None
    size: tuple[int, int] | None
    fps: float
    connections: int
    attempts: int
    stalls: int
    freezes: int
    packets: int
    bytes_in: int
    pictures: int
    frames: int
    damaged: int
    given_up: Mapping[str, int]
    clock: ClockHealth
