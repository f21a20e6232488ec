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


class SystemClock:
    """The machine's clocks."""

    def monotonic_s(self) -> float:
        """Seconds of a clock that only goes forward."""
        return time.monotonic()

    def wall_us(self) -> int:
        """µs of UTC since 1970."""
        return time.time_ns() // 1000
