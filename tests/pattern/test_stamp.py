from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overshoot_flow.local.stamp import (
    INDEX_BITS,
    MAX_INDEX,
    MIN_HEIGHT,
    MIN_WIDTH,
    Luma,
    draw,
    read,
    stamp_height,
)


def grey(width: int, height: int) -> Luma:
    return np.full((height, width), 120, dtype=np.uint8)


@settings(deadline=None, max_examples=60)
@given(
    index=st.integers(0, MAX_INDEX),
    width=st.integers(MIN_WIDTH, 2000),
    height=st.integers(MIN_HEIGHT, 1200),
)
def test_what_is_drawn_is_read_at_any_size(index: int, width: int, height: int) -> None:
    luma = grey(width, height)
    draw(luma, index)
    assert read(luma) == index


@pytest.mark.parametrize("bit", range(INDEX_BITS))
def test_every_bit_of_the_index_counts(bit: int) -> None:
    luma = grey(640, 360)
    draw(luma, 1 << bit)
    assert read(luma) == 1 << bit


def test_the_stamp_stays_in_its_strip() -> None:
    luma = grey(1280, 720)
    draw(luma, MAX_INDEX)
    assert stamp_height(720) == 64
    assert (luma[64:] == 120).all()
    assert (luma[:64, :128] == 120).all()
    assert (luma[:64, -128:] == 120).all()
    assert (luma[:64, 128:-128] != 120).all()


@pytest.mark.parametrize("step", [2, 3, 4])
def test_a_picture_scaled_without_filter_is_read(step: int) -> None:
    luma = grey(1280, 720)
    draw(luma, 8_675_309)
    assert read(luma[::step, ::step]) == 8_675_309


def test_low_contrast_and_strong_noise_are_survived() -> None:
    random = np.random.default_rng(7)
    luma = grey(640, 360)
    draw(luma, 4_711)
    faded = 90 + luma.astype(np.float64) * 0.4 + random.normal(0, 25, luma.shape)
    assert read(faded.clip(0, 255).astype(np.uint8)) == 4_711


def test_one_flipped_cell_is_unreadable_never_wrong() -> None:
    luma = grey(1280, 720)
    draw(luma, 5)
    cells = [(row, column) for row in (0, 1) for column in range(32)]
    for row, column in cells:
        damaged = luma.copy()
        cell = damaged[32 * row : 32 * row + 32, 128 + 32 * column : 160 + 32 * column]
        cell[...] = 248 - cell
        assert read(damaged) is None, (row, column)


def test_random_cells_with_a_true_locator_are_never_a_number() -> None:
    # Everything is right but the 56 bits: only the CRC stands between noise and a wrong number.
    random = np.random.default_rng(11)
    luma = grey(320, 180)
    draw(luma, 0)
    for _ in range(3_000):
        bits = np.where(random.integers(0, 2, (2, 28)), 224, 24).astype(np.uint8)
        luma[:16, 48:272] = bits.repeat(8, axis=0).repeat(8, axis=1)
        assert read(luma) is None


def test_pictures_without_a_stamp_are_never_a_number() -> None:
    random = np.random.default_rng(13)
    for _ in range(300):
        assert read(random.integers(0, 256, (90, 160), dtype=np.uint8)) is None
        blocks = random.integers(0, 2, (45, 40), dtype=np.uint8) * 255
        assert read(blocks.repeat(4, axis=0).repeat(8, axis=1)) is None
    for level in (0, 128, 255):
        assert read(np.full((720, 1280), level, dtype=np.uint8)) is None
    assert read(np.zeros((4, 4), dtype=np.uint8)) is None


def test_what_cannot_be_stamped_is_refused() -> None:
    with pytest.raises(ValueError, match="16777215"):
        draw(grey(640, 360), MAX_INDEX + 1)
    with pytest.raises(ValueError, match="not -1"):
        draw(grey(640, 360), -1)
    with pytest.raises(ValueError, match="160x90, not 158x90"):
        draw(grey(158, 90), 0)
