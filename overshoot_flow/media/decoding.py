"""Decodes the samples of a video file, and of the other pictures only what those need."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import chain
from typing import Final, TypeAlias

import av.error
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from overshoot_flow.errors import MediaError
from overshoot_flow.media.assembly import FrameAssembler, MediaProblem
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.media_object import Media
from overshoot_flow.media.pictures import PictureConverter
from overshoot_flow.media.planning import DecodePlanner, DecodeStep, EncodedPicture
from overshoot_flow.media.sampling import SamplingPlan
from overshoot_flow.media.video_file import KeyFrameIndex, MediaInfo, VideoFile, probe

__all__ = ["MediaInfo", "MediaProblem", "SampleDecoder", "probe"]

_WORTHWHILE_SKIP_FRAMES: Final = 8
"""Reading this many packets costs about as much as one seek."""

EARLY_END_US: Final = 1_000_000
"""A file that ends this much before its own duration has lost something."""

Items: TypeAlias = Generator[Frame | MediaProblem]


class SampleDecoder:
    """The samples of one file in order, as an iterator of `Frame` and `MediaProblem`.

    Every delivered picture is byte for byte what decoding the whole file would give. Media time
    is counted from the first key frame; what precedes it cannot be decoded and is left out, and
    so are pictures with the pts of another one (they are on screen for no time). A frame's
    `duration_us` reaches to the next sample or problem, for the last one to the end of the media.

    Damage is a value: pictures that cannot be decoded become a `MediaProblem` over their time,
    and a file that ends too early ends with one.

    Args:
        media: The file or object.
        plan: Which pictures are samples.
        stream_key: Key of the partition, for the frames.
        source: The file as people read it, for the frames; its path if None.
        max_height: Largest height in pixels, or None; scaling keeps the aspect ratio.
        start_us: Deliver only samples at or after this media time. They are the same ones, with
            the same times, as when reading from the beginning.
        until_us: Deliver only samples before this media time, or None for all; there the media
            counts as over, so the last sample's duration ends there at the latest.

    Raises:
        MediaError: The file cannot be opened, or has no video track.
    """

    def __init__(
        self,
        media: Media,
        plan: SamplingPlan,
        *,
        stream_key: str,
        source: str | None = None,
        max_height: int | None = None,
        start_us: int = 0,
        until_us: int | None = None,
    ) -> None:
        self._file = VideoFile(media)
        self._plan = plan
        self._start_us = max(0, start_us)
        self._until_us = until_us
        self._converter = PictureConverter(max_height)
        self._assembler = FrameAssembler(stream_key, str(media) if source is None else source)
        self._undecodable: list[tuple[int, str]] = []  # time in µs and why
        self._failures: dict[int, str] = {}  # why, by pts of what the decoder refused
        self._worthwhile_skip_us = self._file.timeline.duration_us(
            _WORTHWHILE_SKIP_FRAMES * self._file.timeline.frame_duration_ticks
        )
        self._items = self._selected() if self._file.selective else self._picked()
        self._awaited: dict[int, EncodedPicture] = {}  # samples inside the decoder, by pts
        self._end_us = 0
        self._is_decoder_fresh = True
        self._is_stopped = False

    def __iter__(self) -> Items:
        """Iterate over the samples."""
        return self._items

    def stop(self) -> None:
        """Make the iterator end soon, without what is missing; may be called by any thread."""
        self._is_stopped = True
        self._file.stop()

    def close(self) -> None:
        """Release the file and the decoder. Not while another thread iterates."""
        self._items.close()
        self._file.close()

    # Selective decoding: packets decide, and the decoder sees few of them.

    def _selected(self) -> Items:
        planner = DecodePlanner(self._plan, floor_us=self._start_us, ceiling_us=self._until_us)
        index = self._file.key_frames() if self._may_skip() else None
        position = None if index is None else index.last_at(self._start_us)
        if index is not None and position is not None and self._start_us > 0:
            yield from self._skip(index, position, planner, self._start_us)
        pictures = self._file.pictures()
        while (picture := next(pictures, None)) is not None:
            if picture.is_shown:
                self._end_us = max(self._end_us, picture.end_us)
            for step in planner.push(picture):
                yield from self._take_step(step)
            if self._is_over(picture):
                break
            target = None if index is None else self._skip_target(index, planner, picture)
            if index is not None and target is not None and target > (position or 0):
                position = target
                yield from self._skip(index, target, planner, planner.next_wanted_us())
                pictures = self._file.pictures()
        for step in planner.finish(self._end_us):
            yield from self._take_step(step)
        yield from self._drain()
        yield from self._finish()

    def _is_over(self, picture: EncodedPicture) -> bool:
        """Whether no picture after this one is shown early enough: none has a pts below its dts."""
        until_us = self._until_us
        return until_us is not None and picture.dts_us is not None and picture.dts_us >= until_us

    def _may_skip(self) -> bool:
        plan = self._plan
        return self._start_us > 0 or plan.key_frames_only or plan.next_wanted_us(0) is not None

    def _skip_target(
        self, index: KeyFrameIndex, planner: DecodePlanner, picture: EncodedPicture
    ) -> int | None:
        """Return the key frame to read on from, if that is worth a seek."""
        if self._plan.key_frames_only:
            here_us = picture.pts_us if picture.dts_us is None else picture.dts_us
            target = index.first_from(here_us + 1)
        else:
            here_us = planner.newest_pts_us
            wanted_us = planner.next_wanted_us()
            target = None if wanted_us is None else index.last_at(wanted_us)
        if target is None or index.dts_us[target] < here_us + self._worthwhile_skip_us:
            return None
        return target

    def _skip(
        self, index: KeyFrameIndex, target: int, planner: DecodePlanner, wanted_us: int | None
    ) -> Items:
        """Read on from a key frame that is shown at or before `wanted_us`."""
        for step in planner.skip():
            yield from self._take_step(step)
        yield from self._drain()
        if wanted_us is None:
            self._file.seek(index.inside(target))
            return
        first = self._file.seek(self._file.timeline.ticks_at(wanted_us))
        # Containers call more pictures key frames than decoding can really begin at.
        while (
            target > 0
            and self._file.read_error is None
            and not (first is not None and first.is_random_access and first.pts_us <= wanted_us)
        ):
            target -= 1
            first = self._file.seek(index.inside(target))

    def _take_step(self, step: DecodeStep) -> Items:
        if step.restart:
            yield from self._drain()
        picture = step.picture
        packet = picture.packet
        if packet is None or packet.pts is None or self._is_stopped:
            return
        if picture.is_wanted:
            self._awaited[packet.pts] = picture
        self._is_decoder_fresh = False
        try:
            frames = self._file.stream.codec_context.decode(packet)
        except av.error.FFmpegError as error:
            self._awaited[packet.pts] = picture
            self._failures[packet.pts] = error.strerror or str(error)
            return
        for frame in frames:
            yield from self._deliver(frame)

    def _drain(self) -> Items:
        """Take out what the decoder still holds, so that it can begin anywhere."""
        if self._is_decoder_fresh:
            return
        context = self._file.stream.codec_context
        try:
            frames = context.decode(None)
        except av.error.FFmpegError as error:
            frames = []
            self._failures.update(dict.fromkeys(self._awaited, error.strerror or str(error)))
        context.flush_buffers()
        self._is_decoder_fresh = True
        for frame in frames:
            yield from self._deliver(frame)
        yield from self._give_up(None)

    def _deliver(self, frame: VideoFrame) -> Items:
        picture = None if frame.pts is None else self._awaited.pop(frame.pts, None)
        if picture is None or not picture.is_wanted:
            return
        if self._awaited:
            yield from self._give_up(picture.pts_us)
        yield from self._sample(frame, picture.pts_us, picture.end_us)

    def _give_up(self, before_us: int | None) -> Items:
        """Report samples that never came out; the decoder returns pictures in order of pts."""
        for pts, picture in sorted(self._awaited.items()):
            if before_us is None or picture.pts_us < before_us:
                del self._awaited[pts]
                detail = self._failures.pop(pts, "the decoder returned no picture")
                yield from self._assembler.problem(picture.pts_us, picture.end_us, detail)

    # Where packets say too little: decode everything and pick.

    def _picked(self) -> Items:
        previous: tuple[VideoFrame, int] | None = None
        for frame, pts_us in self._all_frames():
            if previous is not None:
                yield from self._pick(*previous, pts_us)
            previous = None
            if self._until_us is not None and pts_us >= self._until_us:
                break
            previous = (frame, pts_us)
        if previous is not None:
            yield from self._pick(*previous, self._end_us)
        yield from self._finish()

    def _all_frames(self) -> Iterator[tuple[VideoFrame, int]]:
        timeline = self._file.timeline
        ticks: int | None = None
        latest_us = -1
        for frame in self._every_frame():
            if frame.pts is not None:
                following = frame.pts
            else:
                following = 0 if ticks is None else ticks + timeline.frame_duration_ticks
            if ticks is None:
                timeline.start_at(following)
            ticks = following
            pts_us = timeline.media_us(ticks)
            self._end_us = timeline.media_us(
                ticks + (frame.duration or timeline.frame_duration_ticks)
            )
            if pts_us > latest_us:
                latest_us = pts_us
                yield frame, pts_us

    def _every_frame(self) -> Iterator[VideoFrame]:
        context = self._file.stream.codec_context
        packets: Iterator[Packet[VideoStream] | None] = chain(self._file.packets(), (None,))
        for packet in packets:
            try:
                frames = context.decode(packet)
            except av.error.FFmpegError as error:
                self._undecodable.append((self._end_us, error.strerror or str(error)))
                continue
            yield from frames

    def _pick(self, frame: VideoFrame, pts_us: int, following_us: int) -> Items:
        wanted = self._plan.wants(pts_us, following_us, is_key_frame=frame.key_frame)
        if wanted and pts_us >= self._start_us:
            yield from self._sample(frame, pts_us, following_us)
        yield from self._report_undecodable()

    def _report_undecodable(self) -> Items:
        for start_us, detail in self._undecodable:
            if start_us >= self._start_us:
                yield from self._assembler.problem(start_us, start_us, detail)
        self._undecodable.clear()

    # Common to both.

    def _sample(self, frame: VideoFrame, pts_us: int, end_us: int) -> Items:
        if frame.is_corrupt:
            yield from self._assembler.problem(pts_us, end_us, "the picture is damaged")
            return
        try:
            picture = self._converter.convert(frame)
        except (MediaError, av.error.FFmpegError) as error:
            yield from self._assembler.problem(pts_us, end_us, str(error))
            return
        yield from self._assembler.sample(pts_us, end_us, picture)

    def _finish(self) -> Items:
        """Report a file that stopped early, and give out the last sample."""
        if self._is_stopped:
            return
        promised_us = self._file.promised_end_us or self._end_us
        if self._until_us is not None:
            promised_us = min(promised_us, self._until_us)
            self._end_us = min(self._end_us, self._until_us)
        yield from self._report_undecodable()
        if self._file.read_error is not None:
            detail = self._file.read_error
            yield from self._assembler.problem(self._end_us, max(promised_us, self._end_us), detail)
        elif promised_us - self._end_us > EARLY_END_US:
            yield from self._assembler.problem(
                self._end_us, promised_us, "the file ends before its own duration"
            )
        yield from self._assembler.finish(self._end_us)
