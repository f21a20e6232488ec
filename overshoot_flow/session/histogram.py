"""How values are distributed, counted into fixed buckets."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from overshoot_flow.errors import ConfigurationError

LATENCY_BOUNDS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a histogram had counted at one moment.

    Attributes:
        bounds: Upper bounds of the buckets, rising; the last bucket has none.
        cumulative: How many values were at most each bound; at the end all values, so that there
            is one number more than bounds.
        total: Sum of the values.
    """

    bounds: tuple[float, ...]
    cumulative: tuple[int, ...]
    total: float

    @property
    def count(self) -> int:
        """How many values there were."""
        return self.cumulative[-1]


class Histogram:
    """Counts values; it belongs to one thread, or its owner locks.

    Args:
        bounds: Upper bounds of the buckets, rising.

    Raises:
        ConfigurationError: The bounds do not rise.
    """

    def __init__(self, bounds: Sequence[float] = LATENCY_BOUNDS_S) -> None:
        self._bounds = tuple(bounds)
        if list(self._bounds) != sorted(set(self._bounds)):
            raise ConfigurationError(f"bounds of a histogram must rise: {self._bounds}")
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count `value`."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    @property
    def distribution(self) -> Distribution:
        """What was counted so far."""
        return Distribution(self._bounds, tuple(accumulate(self._counts)), self._total)
