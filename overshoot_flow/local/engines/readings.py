"""What recognised text says: its rows, and the values that stand behind a name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")


def rows(boxes: npt.NDArray[np.float32], texts: Sequence[str]) -> list[str]:
    """Join texts that stand beside each other into rows, top to bottom, left to right.

    Args:
        boxes: Corners of each text in pixels: count x 4 x 2.
        texts: The text of each box.
    """
    tops, bottoms = boxes[:, :, 1].min(axis=1), boxes[:, :, 1].max(axis=1)
    lefts, middles = boxes[:, :, 0].min(axis=1), (tops + bottoms) / 2
    found: list[list[int]] = []
    for index in (int(one) for one in np.argsort(middles, kind="stable")):
        # Two boxes share a row when the middle of one lies within the height of the other.
        if found and tops[found[-1][-1]] <= middles[index] <= bottoms[found[-1][-1]]:
            found[-1].append(index)
        else:
            found.append([index])
    return [
        " ".join(texts[one] for one in sorted(row, key=lambda one: lefts[one])) for row in found
    ]


def value_after(text: str, name: str) -> str | None:
    """Return the word behind `name` in `text`, or None: `value_after("LANE 3", "lane")` is `"3"`.

    Case does not matter; `plateNumber` and `plate_number` both match `PLATE NUMBER`. Between name
    and value stand spaces, a colon, an equals sign or a number sign, all in one line.
    """
    words = _WORDS.findall(name)
    if not words:
        return None
    spelled = r"[ _-]*".join(map(re.escape, words))
    separator = r"(?:[ \t]*[:=#][ \t]*|[ \t]+|(?=[0-9]))"
    found = re.search(rf"(?<!\w){spelled}{separator}([^\s,;]+)", text, re.IGNORECASE)
    return found.group(1).rstrip(".:") or None if found else None
