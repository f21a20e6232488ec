"""Access units that may still be wanted: as they are, or decoded from the key frame before them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

import av
import av.error
from av.codec import CodecContext
from av.video.codeccontext import VideoCodecContext

from overshoot_flow.errors import MediaError
from overshoot_flow.media.access_units import AccessUnit
from overshoot_flow.media.pictures import PictureConverter

MAX_HELD_BYTES: Final = 64 * 1024 * 1024
"""Encoded bytes that wait for being wanted; beyond, the caller decodes."""


class GopBuffer:
    """Holds consecutive H.264 access units of one stream, and decodes each at most once.

    Not thread-safe. It decodes on where it has stopped, or from a key frame that is nearer, so it
    must be asked for pictures in their order.

    Args:
        max_bytes: From how many bytes on it `is_full`.

    Attributes:
        undecodable: Units that the decoder refused, or whose predecessor is missing.
    """

    def __init__(self, max_bytes: int = MAX_HELD_BYTES) -> None:
        self._max_bytes = max_bytes
        self._units: deque[AccessUnit] = deque()
        self._held_bytes = 0
        self._end_us = -1
        self._codec: VideoCodecContext = CodecContext.create("h264", "r")
        # Threads would make the decoder hold pictures back.
        self._codec.thread_count = 1
        self._converter = PictureConverter(None)
        self._fed_us: int | None = None
        self.undecodable = 0

    @property
    def is_full(self) -> bool:
        """Whether it is time to decode what is held, and to forget it."""
        return self._held_bytes > self._max_bytes

    def push(self, unit: AccessUnit) -> None:
        """Hold the next unit; one whose predecessor did not come is worthless."""
        if not unit.is_keyframe and unit.pts_us != self._end_us:
            self.undecodable += 1
            return
        self._end_us = unit.pts_us + unit.duration_us
        self._units.append(unit)
        self._held_bytes += len(unit.data)

    def between(self, first_us: int, last_us: int) -> list[AccessUnit]:
        """Return the units held with a pts from `first_us` to `last_us`, both included."""
        return [unit for unit in self._units if first_us <= unit.pts_us <= last_us]

    def pictures(
        self, first_us: int, last_us: int
    ) -> Iterator[tuple[AccessUnit, tuple[int, int, bytes]]]:
        """Decode up to `last_us`; yield what was not decoded before, from `first_us` on.

        Yields:
            The unit, and its picture's width, height and packed planes.
        """
        for unit in self._to_feed(first_us, last_us):
            packet = av.Packet(unit.data)
            packet.pts = unit.pts_us
            self._fed_us = unit.pts_us
            try:
                decoded = self._codec.decode(packet)
                pictures = [
                    self._converter.convert(frame)
                    for frame in decoded
                    if frame.pts == unit.pts_us and not frame.is_corrupt
                ]
            except (av.error.FFmpegError, MediaError):
                pictures = []
            if not pictures:
                self.undecodable += 1
            elif unit.pts_us >= first_us:
                yield unit, pictures[0]

    def forget_before(self, pts_us: int) -> None:
        """Nothing before `pts_us` is wanted any more; what decoding needs is kept."""
        begin_us = min(pts_us, self._begin_us(pts_us))
        while self._units and self._units[0].pts_us < begin_us:
            self._held_bytes -= len(self._units.popleft().data)

    def forget_decoded(self) -> None:
        """What is decoded is not wanted as it is."""
        self.forget_before(self._begin_us(-1))

    def _to_feed(self, first_us: int, last_us: int) -> list[AccessUnit]:
        begin_us = self._begin_us(first_us)
        units = [unit for unit in self._units if begin_us <= unit.pts_us <= last_us]
        if units and units[0].is_keyframe and self._fed_us is not None:
            self._codec.flush_buffers()
        return units

    def _begin_us(self, wanted_us: int) -> int:
        """Where decoding goes on for a picture at `wanted_us`: after the last one, or later."""
        begin_us = -1 if self._fed_us is None else self._fed_us + 1
        for unit in self._units:
            if unit.is_keyframe and begin_us <= unit.pts_us <= wanted_us:
                begin_us = unit.pts_us
        return begin_us
