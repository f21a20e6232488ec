"""The machine-readable frame stamp of the test pattern.

A stamp says which frame of the source a picture is, so that a test can prove what a server really
saw. It is two rows of 32 light or dark cells along the top edge, laid out in fractions of the
picture, hence readable after any scaling that keeps the whole picture:

    cell width   1/40 of the picture's width, the first cell starts at 4/40
    cell height  2/45 of the picture's height, the first row starts at the top
    first row    light dark | 28 bits | light dark
    second row   dark light | 28 bits | dark light

The four cells at each end are the locator: they show that there is a stamp and how light and dark
look here. The 56 bits are the frame index (24 bits) and its CRC-32, most significant bit first.
At 1280x720 and 1920x1080, and at half and a third of that, cells are whole multiples of 8 pixels:
a codec that works in blocks of 8 or 16 pixels spends next to nothing on them.
"""

from __future__ import annotations

import zlib
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Luma: TypeAlias = npt.NDArray[np.uint8]
"""One luma plane: height x width samples of 8 bits."""

INDEX_BITS: Final = 24
MAX_INDEX: Final = 2**INDEX_BITS - 1
MIN_WIDTH: Final = 160
MIN_HEIGHT: Final = 90

_ROWS: Final = 2
_COLUMNS: Final = 32
_COLUMN_PITCH: Final = 1 / 40
_ROW_PITCH: Final = 2 / 45
_LEFT: Final = 4 * _COLUMN_PITCH
_DARK: Final = 24
_LIGHT: Final = 224
# Ringing and scaling eat contrast; below this a picture is too poor to trust its bits.
_MIN_CONTRAST: Final = 48.0
_LOCATOR: Final = np.array([[1, 0, 1, 0], [0, 1, 0, 1]], dtype=np.uint8)
_LOCATOR_COLUMNS: Final = np.array([0, 1, _COLUMNS - 2, _COLUMNS - 1])
# Samples stay in the middle half of a cell, away from edges that scaling and the codec blur.
_SAMPLES: Final = np.array([0.3, 0.43, 0.57, 0.7])


def stamp_height(height: int) -> int:
    """Return how many lines at the top of a picture of `height` lines the stamp takes."""
    return round(_ROWS * _ROW_PITCH * height)


def draw(luma: Luma, index: int) -> None:
    """Write the stamp for frame `index` into `luma`, in place.

    Args:
        luma: Writable luma plane, at least 160 wide and 90 high.
        index: Frame index, 0 to 16,777,215.

    Raises:
        ValueError: The index does not fit into 24 bits, or the picture is too small.
    """
    if not 0 <= index <= MAX_INDEX:
        raise ValueError(f"a frame stamp holds 0 to {MAX_INDEX}, not {index}")
    height, width = luma.shape
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        raise ValueError(f"a frame stamp needs {MIN_WIDTH}x{MIN_HEIGHT}, not {width}x{height}")
    columns = np.rint((_LEFT + np.arange(_COLUMNS + 1) * _COLUMN_PITCH) * width).astype(np.intp)
    rows = np.rint(np.arange(_ROWS + 1) * _ROW_PITCH * height).astype(np.intp)
    cells = np.where(_cells(index), _LIGHT, _DARK).astype(np.uint8)
    lines = np.repeat(cells, np.diff(columns), axis=1)
    luma[: rows[-1], columns[0] : columns[-1]] = np.repeat(lines, np.diff(rows), axis=0)


def read(luma: Luma) -> int | None:
    """Return the frame index that the stamp in `luma` says, or None when there is none to read.

    A picture without a stamp passes as one with a probability of about 2**-40 (locator and
    CRC-32), so a number that comes back is the number that was drawn.
    """
    height, width = luma.shape
    if width < _COLUMNS or height < _COLUMNS:
        return None
    columns = np.add.outer(np.arange(_COLUMNS), _SAMPLES).ravel() * _COLUMN_PITCH + _LEFT
    rows = np.add.outer(np.arange(_ROWS), _SAMPLES).ravel() * _ROW_PITCH
    samples = luma[np.ix_((rows * height).astype(np.intp), (columns * width).astype(np.intp))]
    levels = samples.reshape(_ROWS, _SAMPLES.size, _COLUMNS, _SAMPLES.size).mean(axis=(1, 3))
    locator = levels[:, _LOCATOR_COLUMNS]
    light, dark = locator[_LOCATOR == 1], locator[_LOCATOR == 0]
    if light.min() - dark.max() < _MIN_CONTRAST:
        return None
    bits = levels[:, 2:-2] > (light.mean() + dark.mean()) / 2
    value = int.from_bytes(np.packbits(bits.ravel()).tobytes(), "big")
    index, checksum = value >> 32, value & 0xFFFF_FFFF
    return index if checksum == _checksum(index) else None


def _cells(index: int) -> npt.NDArray[np.uint8]:
    """Return the 2 x 32 cells for `index`: 1 is light, 0 is dark."""
    value = index << 32 | _checksum(index)
    cells = np.empty((_ROWS, _COLUMNS), dtype=np.uint8)
    cells[:, _LOCATOR_COLUMNS] = _LOCATOR
    bits = np.unpackbits(np.frombuffer(value.to_bytes(7, "big"), dtype=np.uint8))
    cells[:, 2:-2] = bits.reshape(_ROWS, -1)
    return cells


def _checksum(index: int) -> int:
    return zlib.crc32(index.to_bytes(3, "big"))
