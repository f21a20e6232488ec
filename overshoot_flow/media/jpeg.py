"""From packed I420 to JPEG files."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import av.error
from av.codec import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter

from overshoot_flow.errors import MediaError
from overshoot_flow.media.pictures import fit

_ANY_TIME_BASE: Final = Fraction(1, 1_000_000)  # a JPEG file has no time
_COARSEST_SCALE: Final = 31
_MIDDLE_QUALITY: Final = 50


class JpegEncoder:
    """Makes JPEG files of full range, as every decoder expects them.

    It keeps its codec and scaler as long as the pictures' size does not change. Not thread-safe.

    Args:
        quality: 1 to 100, on the scale that libjpeg made usual.
        max_height: Larger pictures are scaled down to this height, or None.
    """

    def __init__(self, quality: int, max_height: int | None = None) -> None:
        self._scale = _quantiser_scale(quality)
        self._max_height = max_height
        self._reformatter = VideoReformatter()
        self._codec: VideoCodecContext | None = None
        self._encoded = 0

    def size_of(self, width: int, height: int) -> tuple[int, int]:
        """Return the size in which a picture of `width` by `height` pixels is delivered."""
        return fit(width, height, self._max_height)

    def encode(self, width: int, height: int, planes: bytes | bytearray | memoryview) -> bytes:
        """Return the file.

        Args:
            width: Width in pixels, even.
            height: Height in pixels, even.
            planes: The packed Y, U and V planes of limited range, as in `Frame.data`.

        Raises:
            MediaError: The picture cannot be encoded.
        """
        fitted_width, fitted_height = self.size_of(width, height)
        try:
            picture = self._reformatter.reformat(
                _picture(width, height, planes),
                fitted_width,
                fitted_height,
                "yuvj420p",
                src_color_range=ColorRange.MPEG,
                dst_color_range=ColorRange.JPEG,
                threads=1,
            )
            codec = self._codec_for(fitted_width, fitted_height)
            # Encoders want times that ascend.
            picture.pts = self._encoded
            self._encoded += 1
            return b"".join(bytes(packet) for packet in codec.encode(picture))
        except av.error.FFmpegError as error:
            detail = error.strerror or str(error)
            raise MediaError(
                f"a picture of {width}x{height} pixels cannot become a JPEG: {detail}"
            ) from error

    def _codec_for(self, width: int, height: int) -> VideoCodecContext:
        codec = self._codec
        if codec is None or (codec.width, codec.height) != (width, height):
            codec = self._codec = CodecContext.create("mjpeg", "w")
            codec.width, codec.height = width, height
            codec.pix_fmt = "yuvj420p"
            codec.color_range = ColorRange.JPEG
            codec.time_base = _ANY_TIME_BASE
            # Without a choice the encoder's rate control is constant quality.
            codec.qmin = codec.qmax = self._scale
            # A thread of its own would make it hold pictures back.
            codec.thread_count = 1
        return codec


def _quantiser_scale(quality: int) -> int:
    """Return FFmpeg's scale, 1 (best) to 31, whose tables are about those of libjpeg's quality."""
    percent = 200 - 2 * quality if quality >= _MIDDLE_QUALITY else 5_000 // quality
    return min(max(1, round(percent / 10)), _COARSEST_SCALE)


def _picture(width: int, height: int, planes: bytes | bytearray | memoryview) -> VideoFrame:
    picture = VideoFrame(width, height, "yuv420p")
    data, start = memoryview(planes), 0
    for plane in picture.planes:
        end = start + plane.width * plane.height
        plane.update(_padded(data[start:end], plane.width, plane.line_size))
        start = end
    return picture


def _padded(rows: memoryview, width: int, line_size: int) -> bytes:
    """FFmpeg lays rows out at multiples of its own."""
    if width == line_size:
        return bytes(rows)
    padding = bytes(line_size - width)
    return b"".join(
        part
        for start in range(0, len(rows), width)
        for part in (rows[start : start + width], padding)
    )
