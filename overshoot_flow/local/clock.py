"""The server's one clock."""

from __future__ import annotations

import time


class SteadyClock:
    """UTC that never jumps: the wall clock at construction plus monotonic progress."""

    def __init__(self) -> None:
        self._offset_s = time.time() - time.monotonic()

    def now_s(self) -> float:
        """Seconds of UTC since 1970."""
        return self._offset_s + time.monotonic()
