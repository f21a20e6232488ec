"""The thread that watches one camera for as long as the run lasts."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final

from overshoot_flow.errors import (
    CameraCredentialsError,
    CameraError,
    CameraSilentError,
    ConfigurationError,
)
from overshoot_flow.media.camera_clock import CameraClock, ClockHealth, ClockLimits
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.live_queue import LiveGap, LiveQueue
from overshoot_flow.media.live_sampling import LiveFrameSink, LiveSampler
from overshoot_flow.media.pictures import PictureConverter
from overshoot_flow.media.reconnecting import ReconnectPlan, ReconnectSchedule
from overshoot_flow.media.sampling import SamplingPlan
from overshoot_flow.results import GapReason
from overshoot_flow.session.clock import SteadyUtc
from overshoot_flow_connectors.rtsp_address import Camera
from overshoot_flow_connectors.rtsp_connection import RtspConnection

_US_PER_S: Final = 1_000_000

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RtspSettings:
    """How cameras are watched.

    Args:
        max_height: Largest height of a frame in pixels, or None for the camera's own.
        open_timeout_s: Bound of connecting.
        stall_timeout_s: A connected camera without a picture for this long is connected to anew.
        freeze_timeout_s: A camera that repeats one picture for this long is connected to anew,
            and its pictures become gaps; None where still pictures are normal.
        reconnect: The pauses between attempts.
        clock: Where a camera's clock stops being believed.
        queue_frames: Frames that may wait for the engine; beyond it the oldest are dropped.
        queue_bytes: The same in bytes of pixels.
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
        for name in ("queue_frames", "queue_bytes"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraStatus:
    """How one camera is doing.

    Attributes:
        connected: Whether it gives pictures now.
        problem: Why it does not, or None.
        connections: RTSP sessions that gave a picture.
        attempts: Attempts to connect.
        stalls: Sessions that ended because no picture came any more.
        freezes: Sessions that were ended because one picture was repeated.
        pictures: Decoded pictures.
        frames: Samples handed to the queue.
        damaged: Packets and pictures that could not be decoded.
        given_up: Samples that were not handed on, by reason.
        clock: What is known about its clocks.
    """

    connected: bool
    problem: str | None
    connections: int
    attempts: int
    stalls: int
    freezes: int
    pictures: int
    frames: int
    damaged: int
    given_up: Mapping[str, int]
    clock: ClockHealth


class RtspReader:
    """Watches a camera in a thread of its own and never gives up.

    The thread has at most one RTSP session at a time: a new one begins after the old one is
    closed. It ends with `stop` or `close`; until then every moment is in a frame or a gap.

    Args:
        camera: The camera.
        plan: Which pictures are samples.
        settings: How it is watched.
        clock: The partition's clock.
        start_us: Media time at which the record begins, in µs.
        anchor_us: UTC in µs at media time 0.
    """

    def __init__(
        self,
        camera: Camera,
        plan: SamplingPlan,
        settings: RtspSettings,
        *,
        clock: SteadyUtc,
        start_us: int,
        anchor_us: int,
    ) -> None:
        self._camera = camera
        self._plan = plan
        self._settings = settings
        self._clock = clock
        self._anchor_us = anchor_us
        self._queue = LiveQueue(
            start_us,
            max_frames=settings.queue_frames,
            max_bytes=settings.queue_bytes,
            report_us=round(settings.gap_report_s * _US_PER_S),
        )
        freeze_s = settings.freeze_timeout_s
        self._sink = LiveFrameSink(
            self._queue,
            stream_key=camera.name,
            source=camera.url,
            freeze_after_us=None if freeze_s is None else round(freeze_s * _US_PER_S),
        )
        self._camera_clock = CameraClock(anchor_us, settings.clock)
        self._converter = PictureConverter(settings.max_height)
        self._schedule = ReconnectSchedule(settings.reconnect, Random())  # noqa: S311 - jitter
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._problem: str | None = "not connected yet"
        self._first_picture_s: float | None = None
        self._last_picture_s = 0.0
        self._connections = self._attempts = self._stalls = self._freezes = 0
        self._pictures = self._damaged = 0
        self._clock_flagged = False
        self._thread = threading.Thread(target=self._run, name=f"camera {camera.name}", daemon=True)
        self._thread.start()

    def poll(self, max_frames: int, max_gaps: int, now_us: int) -> list[Frame | LiveGap]:
        """Return what is ready without waiting; see `LiveQueue.poll`.

        Raises:
            BaseException: What ended the thread: a defect, never a camera's fault.
        """
        if self._failure is not None:
            raise self._failure
        return self._queue.poll(max_frames, max_gaps, now_us)

    @property
    def exhausted(self) -> bool:
        """Whether the record has ended and was polled."""
        return self._queue.exhausted

    @property
    def status(self) -> CameraStatus:
        """How the camera is doing; may be read by any thread."""
        return CameraStatus(
            connected=self._problem is None,
            problem=self._problem,
            connections=self._connections,
            attempts=self._attempts,
            stalls=self._stalls,
            freezes=self._freezes,
            pictures=self._pictures,
            frames=self._sink.frames,
            damaged=self._damaged,
            given_up=dict(self._queue.given_up),
            clock=self._camera_clock.health,
        )

    def stop(self, now_us: int, reason: GapReason, detail: str) -> None:
        """End the record at `now_us`; the thread ends when its network call returns."""
        self._stopping.set()
        self._queue.end(now_us, reason, detail)

    def close(self) -> None:
        """Stop the thread and wait for it, at most for the longest of the time-outs."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                failure = self._one_session()
                lasted_s = 0.0
                if self._first_picture_s is not None:
                    lasted_s = time.monotonic() - self._first_picture_s
                pause_s = self._schedule.pause_s(
                    lasted_s, credentials_refused=isinstance(failure, CameraCredentialsError)
                )
                self._note_problem(failure, pause_s)
                self._stopping.wait(pause_s)
        except BaseException as error:  # noqa: BLE001 - a thread has no caller: poll raises it there
            self._failure = error

    def _one_session(self) -> CameraError:
        """Connect and watch until the session ends; return why it did."""
        settings = self._settings
        self._attempts += 1
        self._first_picture_s = None
        try:
            connection = RtspConnection(
                self._camera,
                self._clock,
                open_timeout_s=settings.open_timeout_s,
                read_timeout_s=settings.stall_timeout_s,
            )
        except CameraError as error:
            self._queue.lose(self._now_us(), GapReason.OUTAGE, str(error))
            return error
        with connection:
            return self._watch(connection)

    def _now_us(self) -> int:
        return self._clock.now_us() - self._anchor_us

    def _watch(self, connection: RtspConnection) -> CameraError:
        sampler = LiveSampler(
            connection.stream.codec_context,
            self._plan,
            self._converter,
            self._sink,
            self._note_picture,
        )
        self._last_picture_s = time.monotonic()
        reason, failure = GapReason.OUTAGE, CameraError("the camera ended the session")
        try:
            self._take_packets(connection, sampler)
        except _FrozenError as error:
            self._freezes += 1
            reason, failure = GapReason.FROZEN, error
        except CameraSilentError as error:
            self._stalls += 1
            reason, failure = GapReason.STALLED, error
        except CameraError as error:
            failure = error
        sampler.interrupted(reason, str(failure))
        self._damaged += sampler.damaged
        self._camera_clock.disconnected()
        return failure

    def _take_packets(self, connection: RtspConnection, sampler: LiveSampler) -> None:
        stall_s = self._settings.stall_timeout_s
        for timed in connection.packets():
            if self._stopping.is_set():
                return
            stamp = self._camera_clock.stamp(timed.pts_us, timed.arrival_us, timed.ntp_us)
            sampler.take(timed.packet, stamp)
            self._flag_clock()
            if time.monotonic() - self._last_picture_s >= stall_s:
                raise CameraSilentError(f"packets, but no picture came for {stall_s:g} s")
            if self._sink.wants_reconnect(stamp.media_us):
                raise _FrozenError("the camera repeats one picture")

    def _note_picture(self) -> None:
        self._pictures += 1
        self._last_picture_s = time.monotonic()
        if self._first_picture_s is None:
            self._first_picture_s = self._last_picture_s
            self._connections += 1
            self._problem = None
            _logger.info("camera %s: connected", self._camera.name)

    def _note_problem(self, failure: CameraError, pause_s: float) -> None:
        """Say it once; what stays the same while it is tried again is no news."""
        text = str(failure)
        if text != self._problem and not self._stopping.is_set():
            level = (
                logging.ERROR if isinstance(failure, CameraCredentialsError) else logging.WARNING
            )
            _logger.log(
                level, "camera %s: %s; next attempt in %.0f s", self._camera.name, text, pause_s
            )
        self._problem = text

    def _flag_clock(self) -> None:
        if self._clock_flagged:
            return
        health = self._camera_clock.health
        if health.offset_exceeded or health.drift_exceeded:
            self._clock_flagged = True
            _logger.warning(
                "camera %s: its clock is %s s off and drifts by %s ppm; set its time by NTP",
                self._camera.name,
                "an unknown number of" if health.offset_s is None else f"{health.offset_s:.1f}",
                "an unknown number of" if health.drift_ppm is None else f"{health.drift_ppm:.0f}",
            )


class _FrozenError(CameraError):
    """One picture is repeated."""
