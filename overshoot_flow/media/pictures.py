"""From a decoder's picture to packed I420, upright and of the asked size. Never through RGB."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, VideoReformatter

from overshoot_flow.errors import MediaError
from overshoot_flow.media.sampling import US_PER_S

_QUARTER: Final = 90
_ANY_TIME_BASE: Final = Fraction(1, US_PER_S)  # turning a picture does not look at its time
_FULL_TURN: Final = 360
# Counterclockwise turns as FFmpeg spells them; each works on the planes as they are.
_TURNS: Final = {
    90: (("transpose", "cclock"),),
    180: (("hflip", None), ("vflip", None)),
    270: (("transpose", "clock"),),
}


def fit(width: int, height: int, max_height: int | None) -> tuple[int, int]:
    """Return the even size that a picture of `width` by `height` pixels is delivered in.

    Above `max_height` both sides shrink by the same factor; otherwise an odd side loses its last
    row or column.
    """
    if max_height is None or height <= max_height:
        return width & ~1, height & ~1
    fitted_height = max_height & ~1
    return max(2, round(width * fitted_height / height / 2) * 2), fitted_height


class PictureConverter:
    """Converts decoded pictures of one file; keeps the scaler and the rotation between them.

    The display matrix is honoured by its rotation, rounded to quarter turns. Full-range video
    (`yuvj420p` and the like) becomes limited range, as the receivers of I420 expect.

    Args:
        max_height: Largest height of the upright picture in pixels, or None for the file's own.
    """

    def __init__(self, max_height: int | None) -> None:
        self._max_height = max_height
        self._reformatter = VideoReformatter()
        self._graph: Graph | None = None
        self._graph_key: tuple[int, int, int] | None = None

    def convert(self, frame: VideoFrame) -> tuple[int, int, bytes]:
        """Return width, height and the packed planes.

        Raises:
            MediaError: The picture is narrower or lower than 2 pixels.
        """
        turn = round(frame.rotation / _QUARTER) * _QUARTER % _FULL_TURN
        sideways = turn % (2 * _QUARTER) == _QUARTER
        upright = (frame.height, frame.width) if sideways else (frame.width, frame.height)
        width, height = fit(*upright, self._max_height)
        if min(width, height) < 2:  # noqa: PLR2004 - a chroma sample covers 2 by 2 pixels
            raise MediaError(f"a picture of {frame.width}x{frame.height} pixels is too small")
        if self._max_height is not None and upright[1] > self._max_height:
            size = (height, width) if sideways else (width, height)
        else:
            size = (frame.width, frame.height)
        return (
            width,
            height,
            _pack(self._turned(self._as_yuv420p(frame, *size), turn), width, height),
        )

    def _as_yuv420p(self, frame: VideoFrame, width: int, height: int) -> VideoFrame:
        name = frame.format.name
        is_full_range = frame.color_range == ColorRange.JPEG or name.startswith("yuvj")
        has_size = (width, height) == (frame.width, frame.height)
        if has_size and name == "yuv420p" and not is_full_range:
            return frame
        return self._reformatter.reformat(
            frame,
            width,
            height,
            "yuv420p",
            src_color_range=ColorRange.JPEG if is_full_range else ColorRange.MPEG,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )

    def _turned(self, frame: VideoFrame, turn: int) -> VideoFrame:
        if turn == 0:
            return frame
        key = (frame.width, frame.height, turn)
        if self._graph is None or self._graph_key != key:
            self._graph, self._graph_key = _turning_graph(frame, turn), key
        self._graph.vpush(frame)
        return self._graph.vpull()


def _turning_graph(frame: VideoFrame, turn: int) -> Graph:
    graph = Graph()
    nodes = [
        graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=_ANY_TIME_BASE,
        )
    ]
    nodes += [graph.add(name, argument) for name, argument in _TURNS[turn]]
    nodes.append(graph.add("buffersink"))
    graph.link_nodes(*nodes).configure()
    return graph


def _pack(frame: VideoFrame, width: int, height: int) -> bytes:
    luma, *chroma = frame.planes
    parts = _rows(luma, width, height)
    for plane in chroma:
        parts += _rows(plane, width // 2, height // 2)
    return b"".join(parts)


def _rows(plane: VideoPlane, width: int, height: int) -> list[memoryview]:
    data, stride = memoryview(plane), plane.line_size
    if stride == width:
        return [data[: width * height]]
    return [data[start : start + width] for start in range(0, stride * height, stride)]
