"""Time, passed in wherever it is needed so that it can be chosen."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks: one that never jumps, one that people read."""

    def monotonic_s(self) -> float:
        """Seconds of a clock that only goes forward."""
        ...

    def wall_us(self) -> int:
        """µs of UTC since 1970."""
        ...


class SteadyUtc:
    """UTC that never steps: the wall clock as it was at construction, carried on steadily.

    A corrected wall clock would make a camera's time line jump or run backwards.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begun_us = clock.wall_us()
        self._begun_s = clock.monotonic_s()

    def now_us(self) -> int:
        """µs of UTC since 1970; never smaller than before."""
        return self._begun_us + round((self._clock.monotonic_s() - self._begun_s) * 1_000_000)


class SystemClock:
    """The machine's clocks."""

    def monotonic_s(self) -> float:
        """Seconds of a clock that only goes forward."""
        return time.monotonic()

    def wall_us(self) -> int:
        """µs of UTC since 1970."""
        return time.time_ns() // 1000
