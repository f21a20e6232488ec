"""A video file opened for reading: its track, its packets with repaired times, its index."""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Final

import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from overshoot_flow.media.bitstream import AccessUnitFacts, inspect_h264, nal_length_size
from overshoot_flow.media.containers import open_media
from overshoot_flow.media.media_object import Media, MediaObject
from overshoot_flow.media.planning import EncodedPicture
from overshoot_flow.media.sampling import US_PER_S
from overshoot_flow.media.timeline import Timeline

_SELECTIVE_CODECS: Final = frozenset(
    {"h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mpeg1video", "mpeg2video", "mjpeg", "prores"}
)
"""One packet is one picture here, and random access points are marked."""

_PROGRESSIVE: Final = frozenset({0, 1})  # AVFieldOrder: unknown, progressive
_PEEKED_PACKETS: Final = 600
_CHECKED_PACKETS: Final = 17  # more than any codec reorders
_TS_DISCONT: Final = 0x0200  # AVFMT_TS_DISCONT; PyAV types its own constant wrongly
_DEFAULT_FPS: Final = 25
_AV_TIME_BASE: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """What a file says about its video track, without decoding it.

    Attributes:
        duration_us: Length in µs, or None if the file does not say.
        width: Stored width in pixels, before rotation.
        height: Stored height in pixels, before rotation.
        fps: Average frames per second, or None if unknown.
        codec: FFmpeg's name of the codec, such as `h264`.
        frames_estimate: Number of pictures, counted or from duration and rate; None if unknown.
    """

    duration_us: int | None
    width: int
    height: int
    fps: float | None
    codec: str
    frames_estimate: int | None


def _duration_us(container: InputContainer, stream: VideoStream) -> int | None:
    if stream.duration is not None and stream.time_base is not None:
        return int(stream.duration * stream.time_base * US_PER_S)
    if container.duration is not None:
        return container.duration * US_PER_S // _AV_TIME_BASE
    return None


def probe(media: str | os.PathLike[str] | MediaObject) -> MediaInfo:
    """Read what a file says about its video track.

    Raises:
        MediaError: The file cannot be opened or has no video track.
    """
    container, stream, opened = open_media(
        Path(media) if isinstance(media, str | os.PathLike) else media
    )
    with container, closing(opened) if opened is not None else nullcontext():
        duration_us = _duration_us(container, stream)
        fps = stream.average_rate or stream.guessed_rate
        frames: int | None = stream.frames or None
        if frames is None and duration_us is not None and fps:
            frames = round(duration_us * fps / US_PER_S)
        return MediaInfo(
            duration_us=duration_us,
            width=stream.width,
            height=stream.height,
            fps=float(fps) if fps else None,
            codec=stream.codec_context.codec.canonical_name,
            frames_estimate=frames,
        )


@dataclass(frozen=True, slots=True)
class KeyFrameIndex:
    """Decoding times of all key frames of a file, in ticks and in µs of media time.

    Attributes:
        dts_ticks: In ticks of the file's clock, ascending.
        dts_us: The same in µs of media time.
        end_ticks: The dts of the last picture.
    """

    dts_ticks: tuple[int, ...]
    dts_us: tuple[int, ...]
    end_ticks: int

    def inside(self, position: int) -> int:
        """Return a time in ticks that no key frame after `position` is decoded before."""
        following = position + 1
        return self.dts_ticks[following] - 1 if following < len(self.dts_ticks) else self.end_ticks

    def last_at(self, time_us: int) -> int | None:
        """Return the position of the last key frame that is decoded at or before `time_us`."""
        position = bisect_right(self.dts_us, time_us) - 1
        return position if position >= 0 else None

    def first_from(self, time_us: int) -> int | None:
        """Return the position of the first key frame that is decoded at or after `time_us`."""
        position = bisect_left(self.dts_us, time_us)
        return position if position < len(self.dts_us) else None


class VideoFile:
    """An open file; not thread-safe. The owner closes it.

    Attributes:
        stream: The chosen track: the default one, else the largest; cover pictures do not count.
        timeline: Converts its times.
        selective: Whether packets say enough to decode only some of them (see `planning`). False
            for interlaced fields, missing time stamps and rare codecs.
        read_error: Why reading stopped before the end of the file, or None.

    Raises:
        MediaError: The file cannot be opened, or has no video track.
    """

    def __init__(self, media: Media) -> None:
        self._container, self.stream, self._opened = open_media(media)
        stream = self.stream
        self._length_size = nal_length_size(stream.codec_context.extradata)
        self._codec = stream.codec_context.codec.canonical_name
        time_base = stream.time_base or Fraction(1, _AV_TIME_BASE)
        rate = stream.average_rate or stream.guessed_rate or Fraction(_DEFAULT_FPS)
        self._is_reordered = bool(stream.codec_context.has_b_frames)
        self.timeline = Timeline(
            time_base,
            max(1, round(1 / (rate * time_base))),
            may_break=bool(self._container.format.flags & _TS_DISCONT),
            reordered=self._is_reordered,
        )
        self.read_error: str | None = None
        self._is_stopped = False
        # Measured: threads only add CPU time to one decoder; several files run side by side.
        stream.codec_context.thread_count = 1
        self._packets = self._demux()
        self._peeked: list[Packet[VideoStream]] = []
        self.selective = self._find_start()

    def close(self) -> None:
        """Close the file."""
        self._container.close()
        if self._opened is not None:
            self._opened.close()

    @property
    def promised_end_us(self) -> int | None:
        """Length in µs that a complete index of the file promises, or None without one."""
        if self.stream.duration is None or not self._has_complete_index:
            return None
        return self.timeline.duration_us(self.stream.duration)

    def stop(self) -> None:
        """End `packets` and `pictures` before the next packet; may be called by any thread."""
        self._is_stopped = True

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """Yield packets with repaired times from here on, in decode order."""
        peeked, self._peeked = self._peeked, []
        yield from peeked
        yield from self._packets

    def pictures(self) -> Iterator[EncodedPicture]:
        """Yield packets as pictures; only for a `selective` file."""
        for packet in self.packets():
            picture = self._picture(packet)
            if picture is not None:
                yield picture

    def key_frames(self) -> KeyFrameIndex | None:
        """Return the index if it is complete and proves that no time stamp needs repair."""
        if not self.selective or not self._has_complete_index:
            return None
        entries = list(self.stream.index_entries)
        if any(later.timestamp < earlier.timestamp for earlier, later in pairwise(entries)):
            return None
        ticks = tuple(entry.timestamp for entry in entries if entry.is_keyframe)
        return KeyFrameIndex(
            ticks, tuple(map(self.timeline.media_us, ticks)), entries[-1].timestamp
        )

    def seek(self, time_ticks: int) -> EncodedPicture | None:
        """Continue reading at the last key frame shown at or before a time; resets the decoder.

        Returns:
            The picture that `pictures` will yield first, or None at the end of the file.
        """
        try:
            self._container.seek(time_ticks, stream=self.stream, backward=True)
        except av.error.FFmpegError as error:
            self.read_error = error.strerror or str(error)
            self._peeked, self._packets = [], iter(())
            return None
        self.timeline.forget_position()
        self._packets = self._demux()
        first = next(self._packets, None)
        self._peeked = [] if first is None else [first]
        return None if first is None else self._picture(first)

    @property
    def _has_complete_index(self) -> bool:
        return len(self.stream.index_entries) == self.stream.frames > 0

    def _demux(self) -> Iterator[Packet[VideoStream]]:
        try:
            for packet in self._container.demux(self.stream):
                if self._is_stopped:
                    return
                if packet.size > 0:
                    packet.pts, packet.dts = self.timeline.repair(packet.pts, packet.dts)
                    yield packet
        except av.error.FFmpegError as error:
            self.read_error = error.strerror or str(error)

    def _find_start(self) -> bool:
        """Set media time 0; return whether the file can be decoded selectively."""
        context = self.stream.codec_context
        start: int | None = None
        for packet in self._packets:
            self._peeked.append(packet)
            if start is None and self._facts(packet).is_intra and packet.is_keyframe:
                start = len(self._peeked) - 1
            checked = 0 if start is None else len(self._peeked) - start
            if checked >= _CHECKED_PACKETS or len(self._peeked) >= _PEEKED_PACKETS:
                break
        following = [] if start is None else self._peeked[start:]
        if (
            not following
            or following[0].is_discard
            or any(packet.pts is None for packet in following)
            or all(packet.dts is None for packet in following)
            or self._codec not in _SELECTIVE_CODECS
            or context.field_order not in _PROGRESSIVE
        ):
            return False
        self.timeline.start_at(following[0].pts or 0)
        self._peeked = following
        return True

    def _facts(self, packet: Packet[VideoStream]) -> AccessUnitFacts:
        if self._codec == "h264":
            return inspect_h264(memoryview(packet), self._length_size)
        return AccessUnitFacts(is_reference=not packet.is_disposable, is_intra=packet.is_keyframe)

    def _picture(self, packet: Packet[VideoStream]) -> EncodedPicture | None:
        pts = packet.pts
        if pts is None:
            return None
        facts = self._facts(packet)
        timeline = self.timeline
        pts_us = timeline.media_us(pts)
        duration = packet.duration or timeline.frame_duration_ticks
        if self._is_reordered:
            # A packet then lasts until the next one is decoded, which may be another picture's gap.
            duration = min(duration, timeline.frame_duration_ticks)
        return EncodedPicture(
            pts_us=pts_us,
            dts_us=None if packet.dts is None else timeline.media_us(packet.dts),
            end_us=timeline.media_us(pts + duration),
            is_random_access=packet.is_keyframe and facts.is_intra,
            is_reference=facts.is_reference,
            is_shown=pts_us >= 0 and not packet.is_discard,
            size=packet.size,
            packet=packet,
        )
