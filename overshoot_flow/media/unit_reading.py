"""Reads a video file's pictures as they are encoded, as far as they can be passed on."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Final, TypeAlias

import av.error
from av.video.frame import VideoFrame

from overshoot_flow.errors import MediaError
from overshoot_flow.media.access_units import AccessUnit, Picture
from overshoot_flow.media.annex_b import AnnexBWriter, EncodedPictureData
from overshoot_flow.media.assembly import MediaProblem
from overshoot_flow.media.decoding import EARLY_END_US, SampleDecoder
from overshoot_flow.media.h264_parameters import SequenceParameters
from overshoot_flow.media.media_object import Media
from overshoot_flow.media.passthrough import PassthroughCheck, codec_refusal
from overshoot_flow.media.planning import EncodedPicture
from overshoot_flow.media.sampling import EveryFrame
from overshoot_flow.media.video_file import VideoFile

_FORMATS: Final = frozenset({"yuv420p", "yuvj420p"})
_NOT_PROVEN: Final = "its parameters do not rule out reordered pictures (B-frames)"

Items: TypeAlias = Generator[Picture | MediaProblem]


class UnitReader:
    """All pictures of one file in order, encoded where possible and decoded where not.

    They have the same times as those of `SampleDecoder` with the plan `EveryFrame`. What makes it
    decode: another codec than H.264, possible B-frames, a display rotation, larger pictures than
    `max_height`, the rest of a GOP in whose middle it begins, and everything from a damage on.

    Args:
        media: The file or object.
        stream_key: Key of the partition, for the pictures.
        source: The file as people read it, for the pictures; its path if None.
        max_height: Largest height in pixels, or None.
        start_us: Deliver only pictures at or after this media time.

    Attributes:
        refusal: Why everything is decoded from here on, or None so far.

    Raises:
        MediaError: The file cannot be opened, or has no video track.
    """

    def __init__(
        self,
        media: Media,
        *,
        stream_key: str,
        source: str | None = None,
        max_height: int | None = None,
        start_us: int = 0,
    ) -> None:
        self._media = media
        self._stream_key = stream_key
        self._source = str(media) if source is None else source
        self._max_height = max_height
        self._start_us = max(0, start_us)
        self._decoder: SampleDecoder | None = None
        self._is_stopped = False
        self._has_begun = False
        self._pictures: Iterator[EncodedPicture] = iter(())
        self._check = PassthroughCheck()
        self._writer: AnnexBWriter | None = None
        self._file = VideoFile(media)
        self.refusal = self._refusal()
        self._items = self._read()

    def __iter__(self) -> Items:
        """Iterate over the pictures."""
        return self._items

    def stop(self) -> None:
        """Make the iterator end soon, without what is missing; may be called by any thread."""
        self._is_stopped = True
        self._file.stop()
        decoder = self._decoder
        if decoder is not None:
            decoder.stop()

    def close(self) -> None:
        """Release the file and the decoder. Not while another thread iterates."""
        self._items.close()
        self._file.close()

    def _refusal(self) -> str | None:
        context = self._file.stream.codec_context
        refusal = codec_refusal(context.codec.canonical_name)
        if refusal is not None:
            return refusal
        if not self._file.selective:
            return "its packets do not say enough"
        try:
            self._writer = AnnexBWriter("h264", context.extradata)
            parameters = self._parameters(_first_picture(self._media))
        except MediaError as error:
            return str(error)
        if self._max_height is not None and parameters.height > self._max_height:
            return f"its pictures are higher than {self._max_height}"
        return None

    def _parameters(self, first: VideoFrame) -> SequenceParameters:
        """Return what the file says of its pictures.

        Raises:
            MediaError: They must be decoded.
        """
        parameters = None if self._writer is None else self._writer.parameters
        if parameters is None or parameters.reorders is not False:
            raise MediaError(_NOT_PROVEN)
        if first.rotation or first.format.name not in _FORMATS:
            raise MediaError(f"its pictures are {first.format.name}, turned {first.rotation}")
        return parameters

    def _read(self) -> Items:
        begin_us = self._start_us
        held: tuple[EncodedPicture, EncodedPictureData] | None = None
        end_us = 0
        while self.refusal is None and not self._is_stopped:
            picture = self._next_picture()
            if picture is None:
                break
            end_us = max(end_us, picture.end_us)
            data = self._taken(picture, None if held is None else held[0])
            if data is None:
                break
            if held is None:
                if picture.pts_us < self._start_us or not data.is_keyframe:
                    continue
                # The rest of the GOP in whose middle it begins.
                yield from self._decoded(begin_us, until_us=picture.pts_us)
            else:
                yield self._unit(*held, picture.pts_us)
            held = (picture, data)
            begin_us = picture.pts_us
        if self._is_stopped:
            return
        promised_us = self._file.promised_end_us or end_us
        is_whole = self._file.read_error is None and promised_us - end_us <= EARLY_END_US
        if self.refusal is None and is_whole and held is not None:
            yield self._unit(*held, end_us)
        else:
            yield from self._decoded(begin_us)

    def _next_picture(self) -> EncodedPicture | None:
        if not self._has_begun:
            self._has_begun = True
            if self._start_us > 0 and self._file.key_frames() is not None:
                self._file.seek(self._file.timeline.ticks_at(self._start_us))
            self._pictures = self._file.pictures()
        return next(self._pictures, None)

    def _taken(
        self, picture: EncodedPicture, before: EncodedPicture | None
    ) -> EncodedPictureData | None:
        """Return the picture as an access unit's data; None, and why, if it must be decoded."""
        packet = picture.packet
        data = None
        if packet is None or packet.is_corrupt or not picture.is_shown:
            self.refusal = "a picture is damaged or hidden"
        elif before is not None and picture.pts_us <= before.pts_us:
            self.refusal = "its pictures are not in order"
        else:
            try:
                data = None if self._writer is None else self._writer.picture(bytes(packet))
            except MediaError as error:
                self.refusal = str(error)
                return None
            if data is None or data.parameters is None or data.parameters.reorders is not False:
                self.refusal = _NOT_PROVEN
            else:
                self.refusal = self._check.observe(data, picture.pts_us)
        return None if self.refusal is not None else data

    def _unit(self, picture: EncodedPicture, data: EncodedPictureData, next_us: int) -> AccessUnit:
        if data.parameters is None:
            msg = "a picture without parameters is decoded"
            raise RuntimeError(msg)
        return AccessUnit(
            stream_key=self._stream_key,
            source=self._source,
            pts_us=picture.pts_us,
            duration_us=max(1, next_us - picture.pts_us),
            codec="h264",
            width=data.parameters.width,
            height=data.parameters.height,
            is_keyframe=data.is_keyframe,
            data=data.data,
        )

    def _decoded(self, from_us: int, *, until_us: int | None = None) -> Items:
        """Decode the pictures from `from_us` on, and before `until_us` if that is given."""
        if until_us is not None and until_us <= from_us:
            return
        decoder = self._decoder = SampleDecoder(
            self._media,
            EveryFrame(),
            stream_key=self._stream_key,
            source=self._source,
            max_height=self._max_height,
            start_us=from_us,
        )
        try:
            if self._is_stopped:
                return
            for item in decoder:
                moment_us = item.start_us if isinstance(item, MediaProblem) else item.pts_us
                if until_us is not None and moment_us >= until_us:
                    return
                yield item
        finally:
            self._decoder = None
            decoder.close()


def _first_picture(media: Media) -> VideoFrame:
    """Decode the first picture: it knows its rotation and format.

    Raises:
        MediaError: There is none.
    """
    file = VideoFile(media)
    try:
        context = file.stream.codec_context
        for picture in file.pictures():
            frames = context.decode(picture.packet) or context.decode(None)
            return frames[0]
    except (av.error.FFmpegError, IndexError) as error:
        raise MediaError(f"the first picture of {media} cannot be decoded") from error
    finally:
        file.close()
    raise MediaError(f"{media} has no picture")
