"""Picks and decodes the samples of one connection to a camera."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import av.error
from av.codec.context import ThreadType
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from overshoot_flow.errors import MediaError
from overshoot_flow.media.camera_clock import PacketTime
from overshoot_flow.media.live_rhythm import PictureRhythm
from overshoot_flow.media.live_sink import LiveSink
from overshoot_flow.media.pictures import PictureConverter
from overshoot_flow.media.sampling import CLOCK_TOLERANCE_US, SamplingPlan
from overshoot_flow.results import GapReason

_REMEMBERED_TIMES: Final = 64
"""More than any decoder holds back."""


@dataclass(slots=True)
class _Shown:
    """The picture on screen, until the next one says how long it was there."""

    picture: VideoFrame
    pts_us: int
    time: PacketTime


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
        rhythm: The connection's; it has taken a packet before `take` does.
        on_picture: Called for every picture that was decoded.
    """

    def __init__(
        self,
        context: VideoCodecContext,
        plan: SamplingPlan,
        converter: PictureConverter,
        sink: LiveSink,
        *,
        rhythm: PictureRhythm,
        on_picture: Callable[[], None],
    ) -> None:
        # One camera is one thread: a pool of decoder threads per camera helps none of them.
        context.thread_type = ThreadType.NONE
        self._context = context
        self._plan = plan
        self._converter = converter
        self._sink = sink
        self._on_picture = on_picture
        self._rhythm = rhythm
        self._times: dict[int, PacketTime] = {}
        self._holes: deque[tuple[int, int]] = deque()  # begin, and the picture that ends it
        self._shown: _Shown | None = None
        self._damage: str | None = None
        self._has_key_frame = False
        self.damaged = 0

    def take(self, packet: Packet[VideoStream], time: PacketTime, hole_us: int | None) -> None:
        """Take the next packet in decode order; damage is counted and becomes a gap.

        The packet is changed: nobody else can use it afterwards.

        Args:
            packet: The packet.
            time: When its picture was.
            hole_us: Media time from which on pictures are missing before it, or None.
        """
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

    def interrupted(self) -> int | None:
        """The connection has ended: hand on what is here; return until when it stands, if any."""
        self._drain()
        if self._shown is None:
            return None
        end_us = self._shown.pts_us + self._rhythm.distance_us
        self._judge(self._shown, end_us)
        self._shown = None
        return end_us

    def finish(self, until_us: int) -> None:
        """Hand on what is here; the newest picture stands until `until_us`."""
        self._drain()
        if self._shown is not None:
            self._judge(self._shown, until_us)
        self.reset()

    def reset(self) -> None:
        """Forget what is here, and begin with the next key frame."""
        self._context.flush_buffers()
        self._times.clear()
        self._holes.clear()
        self._shown = self._damage = None
        self._has_key_frame = False

    def _drain(self) -> None:
        try:
            pictures = self._context.decode(None)
        except av.error.FFmpegError:
            # What a damaged stream leaves in the decoder is part of the gap that begins here.
            pictures = []
        for picture in pictures:
            self._decoded(picture)

    def _remember(self, time: PacketTime) -> None:
        self._times[time.media_us] = time
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
            self._sink.take_frame(shown.time, shown.pts_us, end_us, converted)
        except (MediaError, av.error.FFmpegError) as error:
            self.damaged += 1
            self._sink.queue.lose(shown.pts_us, GapReason.DECODE, str(error))

    def _note_damage(self, detail: str) -> None:
        self.damaged += 1
        self._damage = self._damage or detail
