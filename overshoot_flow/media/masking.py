"""Blacks out parts of a picture, so that nobody sees them outside of this machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from typing import Final, TypeAlias

_BLACK_LUMA: Final = b"\x10"
_BLACK_CHROMA: Final = b"\x80"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rectangle:
    """A part of the picture; 0 is its left or top edge, 1 its right or bottom edge."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Polygon:
    """A part of the picture within corners `(x, y)`, in the coordinates of `Rectangle`.

    Where it crosses itself, everything that it goes around belongs to it.
    """

    points: tuple[tuple[float, float], ...]


MaskShape: TypeAlias = Rectangle | Polygon

Spans: TypeAlias = list[tuple[int, int]]
"""Columns of one row: half-open, in order, apart from each other."""

_Point: TypeAlias = tuple[Fraction, Fraction]


class PictureMask:
    """Blacks out shapes in I420 pictures; call it with each picture.

    Every pixel that a shape touches is black afterwards, and so is the colour of every block of
    two by two pixels with such a pixel. What is to be filled is computed once for each size.

    Args:
        shapes: The parts of the picture.
    """

    def __init__(self, shapes: Sequence[MaskShape]) -> None:
        self._shapes = tuple(shapes)
        self._size = (0, 0)
        self._fills: tuple[tuple[slice, bytes], ...] = ()

    def __call__(self, data: bytearray, width: int, height: int) -> None:
        """Black the shapes out in place.

        Args:
            data: The packed Y, U and V planes.
            width: Width in pixels, even.
            height: Height in pixels, even.
        """
        if self._size != (width, height):
            self._fills = tuple(_fills(touched(self._shapes, width, height), width, height))
            self._size = (width, height)
        for where, black in self._fills:
            data[where] = black


def touched(shapes: Sequence[MaskShape], width: int, height: int) -> dict[int, Spans]:
    """Return the pixels that the shapes touch, by row, of a picture of `width` by `height`."""
    found: defaultdict[int, Spans] = defaultdict(list)
    for shape in shapes:
        rows = _polygon(_scaled(_corners(shape), width, height))
        for row, span in rows:
            if 0 <= row < height:
                found[row].append((max(0, span[0]), min(width, span[1])))
    return {row: merged(spans) for row, spans in found.items()}


def merged(spans: Spans) -> Spans:
    """Return the same columns in order, each once."""
    joined: Spans = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        elif start < end:
            joined.append((start, end))
    return joined


def _corners(shape: MaskShape) -> Sequence[tuple[float, float]]:
    if isinstance(shape, Polygon):
        return shape.points
    return (
        (shape.left, shape.top),
        (shape.right, shape.top),
        (shape.right, shape.bottom),
        (shape.left, shape.bottom),
    )


def _scaled(points: Sequence[tuple[float, float]], width: int, height: int) -> list[_Point]:
    # A number is meant as it is written: 0.1 of 100 columns are 10, in binary it would be 11.
    return [(Fraction(str(x)) * width, Fraction(str(y)) * height) for x, y in points]


def _polygon(corners: Sequence[_Point]) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield the columns that a polygon touches in each row; they may overlap.

    A pixel that no edge goes through lies inside or outside as a whole, so its middle tells.
    """
    crossings: defaultdict[int, list[tuple[Fraction, int]]] = defaultdict(list)
    for (x0, y0), (x1, y1) in pairwise([*corners, corners[0]]):
        downward = 1 if y0 < y1 else -1
        (left, top), (right, bottom) = ((x0, y0), (x1, y1)) if y0 < y1 else ((x1, y1), (x0, y0))
        slope = Fraction(0) if top == bottom else (right - left) / (bottom - top)
        # A level edge between two rows goes through neither.
        last = floor(bottom) if top == bottom and bottom != floor(bottom) else ceil(bottom) - 1
        for row in range(floor(top), last + 1):
            begin, end = max(top, Fraction(row)), min(bottom, Fraction(row + 1))
            at_begin, at_end = left + (begin - top) * slope, left + (end - top) * slope
            if top == bottom:
                at_end = right
            yield row, (floor(min(at_begin, at_end)), ceil(max(at_begin, at_end)))
            middle = row + Fraction(1, 2)
            if top <= middle < bottom:
                crossings[row].append((left + (middle - top) * slope, downward))
    for row, found in crossings.items():
        turns = 0
        for (x, downward), (following, _) in pairwise(sorted(found)):
            turns += downward
            if turns:
                yield row, (floor(x), ceil(following))


def _fills(rows: Mapping[int, Spans], width: int, height: int) -> Iterator[tuple[slice, bytes]]:
    """Yield what to write where, for all three planes."""
    yield from _plane(rows, width, 0, _BLACK_LUMA)
    blocks: defaultdict[int, Spans] = defaultdict(list)
    for row, spans in rows.items():
        blocks[row // 2] += [(start // 2, (end + 1) // 2) for start, end in spans]
    chroma = {row: merged(spans) for row, spans in blocks.items()}
    size = (width // 2) * (height // 2)
    for plane in range(2):
        yield from _plane(chroma, width // 2, width * height + plane * size, _BLACK_CHROMA)


def _plane(
    rows: Mapping[int, Spans], width: int, offset: int, black: bytes
) -> Iterator[tuple[slice, bytes]]:
    # Whole rows follow each other in memory: they become one piece.
    pieces = merged(
        [
            (offset + row * width + start, offset + row * width + end)
            for row, spans in rows.items()
            for start, end in spans
        ]
    )
    by_length: dict[int, bytes] = {}
    for start, end in pieces:
        yield slice(start, end), by_length.setdefault(end - start, black * (end - start))
