"""Masks black out every pixel that a shape touches, and no other."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overshoot_flow.media.masking import (
    MaskShape,
    PictureMask,
    Polygon,
    Rectangle,
    touched,
)

WIDTH, HEIGHT = 12, 8
FINE = 4
"""Corners lie on a grid of this many points for each pixel, so that edges meet pixels' corners."""


def pixels(
    shapes: list[MaskShape], width: int = WIDTH, height: int = HEIGHT
) -> set[tuple[int, int]]:
    rows = touched(shapes, width, height)
    return {
        (column, row)
        for row, spans in rows.items()
        for start, end in spans
        for column in range(start, end)
    }


def test_a_rectangle_covers_the_pixels_that_it_touches() -> None:
    shape = Rectangle(left=0.1, top=0.25, right=0.3, bottom=0.26)
    assert pixels([shape], 100, 100) == {(x, 25) for x in range(10, 30)}
    inside_of_one = Rectangle(left=0.101, top=0.251, right=0.102, bottom=0.252)
    assert pixels([inside_of_one], 100, 100) == {(10, 25)}
    whole = Rectangle(left=0, top=0, right=1, bottom=1)
    assert len(pixels([whole])) == WIDTH * HEIGHT


def test_a_polygon_that_crosses_itself_covers_what_it_goes_around() -> None:
    star = Polygon(((0.5, 0.0), (0.8, 1.0), (0.0, 0.4), (1.0, 0.4), (0.2, 1.0)))
    assert (50, 60) in pixels([star], 100, 100)
    assert (2, 2) not in pixels([star], 100, 100)


def cross(o: tuple[Fraction, ...], a: tuple[Fraction, ...], b: tuple[Fraction, ...]) -> Fraction:
    return (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0])


def separated(triangle: list[tuple[Fraction, ...]], square: list[tuple[Fraction, ...]]) -> bool:
    """Whether a line keeps two convex shapes apart, so that they share no area."""
    for shape, other in ((triangle, square), (square, triangle)):
        for index, corner in enumerate(shape):
            following = shape[(index + 1) % len(shape)]
            own = [cross(corner, following, each) for each in shape]
            others = [cross(corner, following, each) for each in other]
            if max(own) <= 0 <= min(others) or max(others) <= 0 <= min(own):
                return True
    return False


numbers = st.tuples(
    st.integers(0, WIDTH * FINE).map(lambda n: n / (WIDTH * FINE)),
    st.integers(0, HEIGHT * FINE).map(lambda n: n / (HEIGHT * FINE)),
)


@settings(deadline=None, max_examples=200)
@given(st.tuples(numbers, numbers, numbers))
def test_a_triangle_covers_exactly_the_pixels_that_share_area_with_it(
    corners: tuple[tuple[float, float], ...],
) -> None:
    scaled = [(Fraction(str(x)) * WIDTH, Fraction(str(y)) * HEIGHT) for x, y in corners]
    if cross(*scaled) == 0:
        return
    expected = {
        (x, y)
        for x in range(WIDTH)
        for y in range(HEIGHT)
        if not separated(
            scaled,
            [(Fraction(x + dx), Fraction(y + dy)) for dx, dy in ((0, 0), (1, 0), (1, 1), (0, 1))],
        )
    }
    assert pixels([Polygon(corners)]) == expected


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(numbers, min_size=3, max_size=6), min_size=1, max_size=3))
def test_a_picture_is_black_where_a_shape_is_and_unchanged_elsewhere(
    polygons: list[list[tuple[float, float]]],
) -> None:
    shapes: list[MaskShape] = [Polygon(tuple(points)) for points in polygons]
    data = bytearray(b"\xc8" * (WIDTH * HEIGHT * 3 // 2))
    PictureMask(shapes)(data, WIDTH, HEIGHT)
    black = pixels(shapes)
    blocks = {(x // 2, y // 2) for x, y in black}
    for y in range(HEIGHT):
        for x in range(WIDTH):
            assert data[y * WIDTH + x] == (16 if (x, y) in black else 200)
    for plane in range(2):
        offset = WIDTH * HEIGHT + plane * WIDTH * HEIGHT // 4
        for y in range(HEIGHT // 2):
            for x in range(WIDTH // 2):
                found = data[offset + y * WIDTH // 2 + x]
                assert found == (128 if (x, y) in blocks else 200)


@pytest.mark.parametrize("size", [(4, 2), (640, 360)])
def test_a_mask_follows_the_size_of_the_picture(size: tuple[int, int]) -> None:
    mask = PictureMask([Rectangle(left=0.5, top=0, right=1, bottom=1)])
    for width, height in ((8, 4), size):
        data = bytearray(b"\xc8" * (width * height * 3 // 2))
        mask(data, width, height)
        assert data[: width // 2] == b"\xc8" * (width // 2)
        assert data[width // 2 : width] == b"\x10" * (width // 2)
        assert len(data) == width * height * 3 // 2
