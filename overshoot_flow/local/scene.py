"""What a frame of the test pattern shows: a moving scene, changing text and the frame stamp.

Everything is a function of the frame's index, so a test can say what any frame must contain.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from overshoot_flow.local.stamp import draw, stamp_height

Plane = npt.NDArray[np.uint8]

# Letters and digits that text recognition does not confuse with one another.
_PLATE_LETTERS: Final = "ACEFHKLMNPRTXY"
_LANES: Final = 4
_FIRST_COUNT: Final = 42
_COUNT_STEP: Final = 7
_BLACK: Final = 16
_WHITE: Final = 235
_NEUTRAL: Final = 128
# Speeds are fractions of the picture's width per frame: a box crosses it in 2 to 7 s at 30 fps.
_SCROLL_PER_FRAME: Final = 1 / 300
_BOXES: Final = (
    # top, height, speed (fractions of the picture), luma, U, V
    (0.16, 0.10, 1 / 70, 210, 60, 150),
    (0.72, 0.12, -1 / 110, 90, 190, 90),
    (0.86, 0.08, 1 / 200, 150, 90, 220),
)
_BOX_WIDTH: Final = 0.14
_TEXT_TOP: Final = 0.32
_TEXT_HEIGHT: Final = 0.36


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternText:
    """What the text of a frame says, as values to compare answers with.

    Attributes:
        lane: 1 to 4.
        count: 0 to 9999; it grows by 7 every second.
        plate: Two letters, a hyphen, three digits.
    """

    lane: int
    count: int
    plate: str

    def __str__(self) -> str:
        """Return the text as it stands in the picture: two lines joined by a newline."""
        return f"LANE {self.lane} COUNT {self.count:04}\nPLATE {self.plate}"


def values_at(frame_index: int, fps: float | Fraction) -> PatternText:
    """Return what the text of frame `frame_index` says; it changes every second of media time."""
    second = int(frame_index / Fraction(fps))
    letters = len(_PLATE_LETTERS)
    return PatternText(
        lane=second % _LANES + 1,
        count=(_FIRST_COUNT + _COUNT_STEP * second) % 10_000,
        plate=(
            f"{_PLATE_LETTERS[second % letters]}{_PLATE_LETTERS[second // letters % letters]}"
            f"-{(123 + 37 * second) % 900 + 100}"
        ),
    )


def text_at(frame_index: int, fps: float | Fraction) -> str:
    r"""Return the text of frame `frame_index`, such as `"LANE 1 COUNT 0042\nPLATE AA-223"`."""
    return str(values_at(frame_index, fps))


class Scene:
    """Draws the frames of one test video.

    Args:
        width: Width in pixels, even.
        height: Height in pixels, even.
        fps: Frames per second; it decides when the text changes.
        text: Whether there is text.
    """

    def __init__(self, *, width: int, height: int, fps: float | Fraction, text: bool) -> None:
        self._width = width
        self._height = height
        self._fps = Fraction(fps)
        self._text = text
        self._drawn_text: tuple[str, Plane] | None = None
        # One period of a triangle wave, twice, so that a scrolled view is a plain slice.
        wave = 1 - np.abs(np.linspace(-1, 1, width, endpoint=False))
        slope = np.linspace(0, 40, height)[:, np.newaxis]
        self._luma = np.tile(60 + 80 * wave + slope, (1, 2)).astype(np.uint8)
        half_slope = np.linspace(-20, 20, height // 2)[:, np.newaxis]
        self._u = np.tile(108 + 40 * wave[::2] + half_slope, (1, 2)).astype(np.uint8)
        self._v = np.tile(148 - 40 * wave[::2] + half_slope, (1, 2)).astype(np.uint8)

    def frame(self, index: int) -> tuple[Plane, Plane, Plane]:
        """Return the Y, U and V planes of frame `index`, upright, as fresh arrays."""
        shift = round(index * _SCROLL_PER_FRAME * self._width / 2) % (self._width // 2)
        luma = self._luma[:, 2 * shift : 2 * shift + self._width].copy()
        u = self._u[:, shift : shift + self._width // 2].copy()
        v = self._v[:, shift : shift + self._width // 2].copy()
        self._draw_boxes(index, luma, u, v)
        if self._text:
            self._draw_text(index, luma, u, v)
        half_stamp = -(-stamp_height(self._height) // 2)
        u[:half_stamp], v[:half_stamp] = _NEUTRAL, _NEUTRAL
        draw(luma, index)
        return luma, u, v

    def _draw_boxes(self, index: int, luma: Plane, u: Plane, v: Plane) -> None:
        for top, height, speed, y_value, u_value, v_value in _BOXES:
            left = round(index * speed % 1 * self._width * (1 - _BOX_WIDTH) / 2)
            half_rows = slice(
                round(top * self._height / 2), round((top + height) * self._height / 2)
            )
            half_columns = slice(left, left + round(_BOX_WIDTH * self._width / 2))
            rows = slice(2 * half_rows.start, 2 * half_rows.stop)
            columns = slice(2 * half_columns.start, 2 * half_columns.stop)
            luma[rows, columns] = y_value
            u[half_rows, half_columns] = u_value
            v[half_rows, half_columns] = v_value

    def _draw_text(self, index: int, luma: Plane, u: Plane, v: Plane) -> None:
        text = text_at(index, self._fps)
        if self._drawn_text is None or self._drawn_text[0] != text:
            self._drawn_text = (text, self._render(text))
        panel = self._drawn_text[1]
        half_top = round(_TEXT_TOP * self._height / 2)
        half_rows = slice(half_top, half_top + panel.shape[0] // 2)
        luma[2 * half_rows.start : 2 * half_rows.stop] = panel
        u[half_rows], v[half_rows] = _NEUTRAL, _NEUTRAL

    def _render(self, text: str) -> Plane:
        """Return the text, white on black, as a luma strip as wide as the picture."""
        lines = text.splitlines()
        strip_height = 2 * round(_TEXT_HEIGHT * self._height / 2)
        # A character is at most 0.65 em wide on average; narrow pictures get smaller text.
        longest = max(map(len, lines))
        size = min(0.72 * strip_height / len(lines), 0.9 * self._width / (0.65 * longest))
        # Pillow's bundled font: the pattern looks the same on every machine.
        font = ImageFont.load_default(size)
        image = Image.new("L", (self._width, strip_height), _BLACK)
        canvas = ImageDraw.Draw(image)
        for row, line in enumerate(lines):
            middle = ((self._width / 2), (row + 0.5) * strip_height / len(lines))
            canvas.text(middle, line, fill=_WHITE, font=font, anchor="mm")
        return np.asarray(image)
