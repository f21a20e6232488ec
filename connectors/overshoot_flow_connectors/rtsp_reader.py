"""The thread that watches one camera for as long as the run lasts."""

from __future__ import annotations

import logging
import time
from random import Random
from typing import Final

from overshoot_flow.errors import CameraCredentialsError, CameraError, CameraSilentError
from overshoot_flow.log_context import log_context
from overshoot_flow.media.access_units import Picture
from overshoot_flow.media.camera_clock import CameraClock
from overshoot_flow.media.h264_parameters import SequenceParameters
from overshoot_flow.media.live_queue import LiveGap, LiveQueue
from overshoot_flow.media.live_rhythm import PictureRate
from overshoot_flow.media.live_sink import EditPicture, LiveSink
from overshoot_flow.media.live_track import LiveTrack, TrackWishes
from overshoot_flow.media.reconnecting import ReconnectSchedule
from overshoot_flow.media.sampling import SamplingPlan
from overshoot_flow.results import GapReason
from overshoot_flow.session.clock import SteadyUtc
from overshoot_flow_connectors.rtsp_address import Camera
from overshoot_flow_connectors.rtsp_connection import RtspConnection
from overshoot_flow_connectors.rtsp_settings import NOT_CONNECTED_YET, CameraStatus, RtspSettings
from overshoot_flow_connectors.rtsp_thread import CameraThread

_US_PER_S: Final = 1_000_000

_logger = logging.getLogger(__name__)


class RtspReader:
    """Watches a camera in a thread of its own and never gives up.

    The thread has at most one RTSP session at a time: a new one begins after the old one is
    closed. It ends with `stop` or `close`; until then every moment is in a frame, an access unit
    or a gap.

    Args:
        camera: The camera.
        plan: Which pictures are samples; None for all of them, without decoding where the camera's
            video, the settings and `edit` allow it.
        settings: How it is watched.
        clock: The partition's clock.
        start_us: Media time at which the record begins, in µs.
        anchor_us: UTC in µs at media time 0.
        edit: Changes every decoded picture's planes in place, given width and height. A picture
            for which it raises becomes a gap with the reason `decode`.
        first_gap: The reason of the gap before the first attempt to connect has failed or brought a
            picture.
        predecessor: A stopped reader that this one replaces. While it may still have a session
            with the same address, this one does not connect; closing this one closes it too.
    """

    def __init__(
        self,
        camera: Camera,
        plan: SamplingPlan | None,
        settings: RtspSettings,
        *,
        clock: SteadyUtc,
        start_us: int,
        anchor_us: int,
        edit: EditPicture | None = None,
        first_gap: GapReason = GapReason.OUTAGE,
        predecessor: RtspReader | None = None,
    ) -> None:
        self._camera = camera
        self._settings = settings
        self._clock = clock
        self._anchor_us = anchor_us
        self._queue = LiveQueue(
            start_us,
            max_frames=settings.queue_frames,
            max_bytes=settings.queue_bytes,
            max_access_units=settings.queue_access_units,
            report_us=round(settings.gap_report_s * _US_PER_S),
            first_gap=first_gap,
        )
        freeze_s = settings.freeze_timeout_s
        self._wishes = TrackWishes.of(
            plan,
            max_height=settings.max_height,
            detects_freezes=freeze_s is not None,
            edits=edit is not None,
        )
        self._sink = LiveSink(
            self._queue,
            stream_key=camera.name,
            source=camera.url,
            freeze_after_us=None if freeze_s is None else round(freeze_s * _US_PER_S),
            edit=edit,
        )
        self._camera_clock = CameraClock(anchor_us, settings.clock)
        self._schedule = ReconnectSchedule(settings.reconnect, Random())  # noqa: S311 - jitter
        self._failure: BaseException | None = None
        self._problem: str | None = NOT_CONNECTED_YET
        self._first_picture_s: float | None = None
        self._last_picture_s = 0.0
        self._connections = self._attempts = self._stalls = self._freezes = 0
        self._packets = self._bytes_in = self._pictures = self._damaged = 0
        self._rate = PictureRate()
        self._track: LiveTrack | None = None
        self._proven: SequenceParameters | None = None
        self._codec: str | None = None
        self._size: tuple[int, int] | None = None
        self._clock_flagged = False
        self._thread = CameraThread(
            camera.name,
            (camera.url, camera.query),
            log_context(camera=camera.name)(self._run),
            () if predecessor is None else predecessor.threads(),
        )
        self._stopping = self._thread.stopping
        self._thread.start()

    def poll(self, max_frames: int, max_gaps: int, now_us: int) -> list[Picture | LiveGap]:
        """Return what is ready without waiting; see `LiveQueue.poll`.

        Raises:
            BaseException: What ended the thread: a defect, never a camera's fault.
        """
        if self._failure is not None:
            raise self._failure
        self._thread.forget_ended()
        return self._queue.poll(max_frames, max_gaps, now_us)

    def threads(self) -> list[CameraThread]:
        """Return the threads that end with this reader and have not ended yet."""
        return self._thread.with_predecessors()

    @property
    def exhausted(self) -> bool:
        """Whether the record has ended and was polled."""
        return self._queue.exhausted

    @property
    def status(self) -> CameraStatus:
        """How the camera is doing; may be read by any thread."""
        track = self._track
        return CameraStatus(
            connected=self._problem is None,
            problem=self._problem,
            paused=self._queue.paused,
            passes_through=track is not None and track.decoded_because is None,
            decoded_because=None if track is None else track.decoded_because,
            codec=self._codec,
            size=self._size,
            fps=self._rate.per_second(time.monotonic()),
            connections=self._connections,
            attempts=self._attempts,
            stalls=self._stalls,
            freezes=self._freezes,
            packets=self._packets,
            bytes_in=self._bytes_in,
            pictures=self._pictures,
            frames=self._sink.pictures,
            damaged=self._damaged,
            given_up=dict(self._queue.given_up),
            clock=self._camera_clock.health,
        )

    def pause(self, now_us: int, reason: GapReason, detail: str) -> None:
        """Nobody wants pictures from now on; the connection stays, and nothing is decoded."""
        self._queue.pause(now_us, reason, detail)

    def go_on(self) -> None:
        """Pictures are wanted again; they begin with the next key frame."""
        self._queue.go_on()

    def stop(self, now_us: int, reason: GapReason, detail: str) -> None:
        """End the record at `now_us`; the thread ends soon, and is not waited for."""
        self._stopping.set()
        self._queue.end(now_us, reason, detail)

    def close(self) -> None:
        """Stop the thread and wait for it, and for those of the readers before this one.

        A network call is given up within 0.1 s; a name that a name server does not resolve is not.
        """
        self._thread.close()

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
        context = connection.stream.codec_context
        self._codec = context.name
        self._track = track = LiveTrack(
            context, self._wishes, self._sink, self._note_picture, proven=self._proven
        )
        self._last_picture_s = time.monotonic()
        reason, failure = GapReason.OUTAGE, CameraError("the camera ended the session")
        try:
            self._take_packets(connection, track)
        except _FrozenError as error:
            self._freezes += 1
            reason, failure = GapReason.FROZEN, error
        except CameraSilentError as error:
            # Being told to end looks like silence too.
            self._stalls += not self._stopping.is_set()
            reason, failure = GapReason.STALLED, error
        except CameraError as error:
            failure = error
        track.interrupted(reason, str(failure))
        self._damaged += track.damaged
        self._proven = track.proven or self._proven
        self._track = None
        self._camera_clock.disconnected()
        return failure

    def _take_packets(self, connection: RtspConnection, track: LiveTrack) -> None:
        stall_s = self._settings.stall_timeout_s
        for timed in connection.packets():
            if self._stopping.is_set():
                return
            stamp = self._camera_clock.stamp(timed.pts_us, timed.arrival_us, timed.ntp_us)
            self._packets += 1
            self._bytes_in += timed.packet.size
            self._rate.take(time.monotonic())
            track.take(timed.packet, stamp)
            self._size = track.size or self._size
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
        if self._stopping.is_set():
            # The failure is our own doing.
            self._problem = self._problem or "it is not watched any more"
            return
        text = str(failure)
        if text != self._problem:
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
