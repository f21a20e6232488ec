"""Picks and decodes the samples of one connection to a camera."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Final

import av.error
from av.codec.context import ThreadType
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from overshoot_flow.errors import MediaError
from overshoot_flow.media.camera_clock import PacketTime
from overshoot_flow.media.frames import CaptureBasis, Frame
from overshoot_flow.media.live_queue import LiveQueue
from overshoot_flow.media.pictures import PictureConverter
from overshoot_flow.media.sampling import CLOCK_TOLERANCE_US, SamplingPlan
from overshoot_flow.results import GapReason

_LEAST_HOLE_US: Final = 500_000
_HOLE_DISTANCES: Final = 3
_REMEMBERED_DISTANCES: Final = 15
_FIRST_DISTANCE_US: Final = 40_000
_REMEMBERED_TIMES: Final = 64
"""More than any decoder holds back."""


class PictureRhythm:
    """Notices from time stamps alone that pictures are missing."""

    def __init__(self) -> None:
        self._newest_us: int | None = None
        self._distances_us: deque[int] = deque(maxlen=_REMEMBERED_DISTANCES)

    @property
    def distance_us(self) -> int:
        """The usual distance between two pictures."""
        return round(median(self._distances_us)) if self._distances_us else _FIRST_DISTANCE_US

    def take(self, media_us: int) -> int | None:
        """Take a picture's time; return where the hole before it begins, or None."""
        newest_us, self._newest_us = self._newest_us, media_us
        if newest_us is None:
            return None
        distance_us = media_us - newest_us
        if distance_us <= 0:
            self._newest_us = newest_us
            return None
        usual_us = self.distance_us if self._distances_us else distance_us
        self._distances_us.append(distance_us)
        if distance_us <= max(_LEAST_HOLE_US, _HOLE_DISTANCES * usual_us):
            return None
        return newest_us + usual_us


class LiveFrameSink:
    """Puts frames into a camera's queue; keeps capture time growing and notices a frozen picture.

    It outlives the connections. With a freeze detector, pictures that are the same for
    `freeze_after_us` become a gap with the reason `frozen` until a different one comes.

    Args:
        queue: Where frames go.
        stream_key: Key of the partition.
        source: The camera as people read it, without credentials.
        freeze_after_us: How long identical pictures are believed; None to believe them for ever.
    """

    def __init__(
        self, queue: LiveQueue, *, stream_key: str, source: str, freeze_after_us: int | None
    ) -> None:
        self.queue = queue
        self._stream_key = stream_key
        self._source = source
        self._freeze_after_us = freeze_after_us
        self._captured_at_us = 0
        self._same: bytes | None = None
        self._same_since_us = 0
        self._reported_us: int | None = None
        self.frames = 0

    def take(
        self, pts_us: int, end_us: int, picture: tuple[int, int, bytes], time: _CaptureTime
    ) -> None:
        """Take a sample that stands for `[pts_us, end_us)`."""
        width, height, data = picture
        # A camera that is told the right time must not make its pictures run backwards.
        self._captured_at_us = max(time.captured_at_us, self._captured_at_us + 1)
        frame = Frame(
            stream_key=self._stream_key,
            source=self._source,
            pts_us=pts_us,
            duration_us=max(1, end_us - pts_us),
            captured_at_us=self._captured_at_us,
            capture_basis=time.capture_basis,
            width=width,
            height=height,
            data=data,
        )
        if self._is_frozen(pts_us, data):
            self.queue.give_up(frame, GapReason.FROZEN, "the camera repeats one picture")
            return
        self.frames += 1
        self.queue.put(frame)

    def _is_frozen(self, pts_us: int, data: bytes) -> bool:
        if self._freeze_after_us is None:
            return False
        if data != self._same:
            self._same, self._same_since_us, self._reported_us = data, pts_us, None
        return pts_us - self._same_since_us >= self._freeze_after_us

    def wants_reconnect(self, media_us: int) -> bool:
        """Say, once per freeze time, whether a frozen camera should be connected to anew."""
        if self._freeze_after_us is None or self._same is None:
            return False
        since_us = self._same_since_us if self._reported_us is None else self._reported_us
        if media_us - since_us < self._freeze_after_us:
            return False
        self._reported_us = media_us
        return True


@dataclass(frozen=True, slots=True)
class _CaptureTime:
    captured_at_us: int
    capture_basis: CaptureBasis


@dataclass(slots=True)
class _Shown:
    """The picture on screen, until the next one says how long it was there."""

    picture: VideoFrame
    pts_us: int
    time: _CaptureTime


class LiveSampler:
    """Decodes one connection's packets and hands its samples to a sink.

    A picture is judged when the next one has come, because a sampling plan asks how long it was
    on screen: it is handed on one picture's distance late. With a plan for key frames alone
    nothing else is decoded, and a key frame is handed on when the next one comes.

    Args:
        context: The stream's decoder, fresh.
        plan: Which pictures are samples.
        converter: Makes I420 of the asked size.
        sink: Takes the samples.
        on_picture: Called for every picture that was decoded.
    """

    def __init__(
        self,
        context: VideoCodecContext,
        plan: SamplingPlan,
        converter: PictureConverter,
        sink: LiveFrameSink,
        on_picture: Callable[[], None],
    ) -> None:
        # One camera is one thread: a pool of decoder threads per camera helps none of them.
        context.thread_type = ThreadType.NONE
        self._context = context
        self._plan = plan
        self._converter = converter
        self._sink = sink
        self._on_picture = on_picture
        self._rhythm = PictureRhythm()
        self._times: dict[int, _CaptureTime] = {}
        self._holes: deque[tuple[int, int]] = deque()  # begin, and the picture that ends it
        self._shown: _Shown | None = None
        self._damage: str | None = None
        self._has_key_frame = False
        self.damaged = 0

    def take(self, packet: Packet[VideoStream], time: PacketTime) -> None:
        """Take the next packet in decode order; damage is counted and becomes a gap."""
        hole_us = self._rhythm.take(time.media_us)
        if hole_us is not None:
            self._holes.append((hole_us, time.media_us))
        self._has_key_frame = self._has_key_frame or packet.is_keyframe
        if not self._has_key_frame or (self._plan.key_frames_only and not packet.is_keyframe):
            return
        # The decoder hands pictures out by pts: media time there leaves nothing to look up twice.
        packet.pts, packet.dts = time.media_us, None
        self._remember(time)
        try:
            pictures = self._context.decode(packet)
        except av.error.FFmpegError as error:
            self._note_damage(error.strerror or "the decoder failed")
            return
        for picture in pictures:
            self._decoded(picture)

    def interrupted(self, reason: GapReason, detail: str) -> None:
        """The connection has ended: hand on what is here; nothing is known after it."""
        try:
            pictures = self._context.decode(None)
        except av.error.FFmpegError:
            # What a damaged stream leaves in the decoder is part of the gap that begins here.
            pictures = []
        for picture in pictures:
            self._decoded(picture)
        if self._shown is not None:
            end_us = self._shown.pts_us + self._rhythm.distance_us
            self._judge(self._shown, end_us)
            self._shown = None
            self._sink.queue.lose(end_us, reason, detail)
        else:
            self._sink.queue.lose(0, reason, detail)

    def _remember(self, time: PacketTime) -> None:
        self._times[time.media_us] = _CaptureTime(time.captured_at_us, time.capture_basis)
        while len(self._times) > _REMEMBERED_TIMES:
            del self._times[next(iter(self._times))]

    def _decoded(self, picture: VideoFrame) -> None:
        time = None if picture.pts is None else self._times.pop(picture.pts, None)
        if picture.pts is None or time is None:
            self._note_damage("the decoder gave a picture without a time")
            return
        if picture.is_corrupt:
            self._note_damage("a picture is damaged")
            return
        pts_us = picture.pts
        if self._shown is not None and pts_us <= self._shown.pts_us:
            return
        self._on_picture()
        hole_us = self._hole_before(pts_us)
        if self._shown is not None:
            self._judge(self._shown, pts_us if hole_us is None else hole_us)
        if hole_us is not None:
            if self._damage is None:
                lost_s = (pts_us - hole_us) / 1_000_000
                self._sink.queue.lose(
                    hole_us, GapReason.STALLED, f"no picture came for {lost_s:.1f} s"
                )
            else:
                self._sink.queue.lose(hole_us, GapReason.DECODE, self._damage)
        self._damage = None
        self._shown = _Shown(picture, pts_us, time)

    def _hole_before(self, pts_us: int) -> int | None:
        hole_us = None
        if self._damage is not None and self._shown is not None:
            hole_us = self._shown.pts_us + self._rhythm.distance_us
        while self._holes and self._holes[0][1] <= pts_us:
            begin_us, _ = self._holes.popleft()
            hole_us = begin_us if hole_us is None else min(hole_us, begin_us)
        return hole_us if hole_us is not None and hole_us < pts_us else None

    def _judge(self, shown: _Shown, next_us: int) -> None:
        plan = self._plan
        if not plan.wants(shown.pts_us, next_us, is_key_frame=shown.picture.key_frame):
            return
        due_us = plan.next_wanted_us(next_us - CLOCK_TOLERANCE_US)
        # Until the next moment that asks for a picture this one is the newest sample.
        end_us = next_us if due_us is None else due_us + CLOCK_TOLERANCE_US
        try:
            converted = self._converter.convert(shown.picture)
        except (MediaError, av.error.FFmpegError) as error:
            self._note_damage(str(error))
            return
        self._sink.take(shown.pts_us, end_us, converted, shown.time)

    def _note_damage(self, detail: str) -> None:
        self.damaged += 1
        self._damage = self._damage or detail
