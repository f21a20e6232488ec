"""An event loop whose time is a number: it jumps to the next timer, and has no sockets."""

from __future__ import annotations

import asyncio
from typing import Any, Final

WALL_START_US: Final = 1_700_000_000_000_000


_MOST_TURNS: Final = 50_000
"""Turns of the loop in one schedule; a usual one takes a hundred."""


class StuckError(Exception):
    """No task can go on and no timer is set, or tasks go round in circles."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs asyncio programs as fast as they compute, and always in the same order.

    `BaseEventLoop` asks its selector to wait for the next timer; this loop is its own selector
    and moves its clock instead.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._turns = 0
        self._selector = self

    def time(self) -> float:
        return self._now_s

    def select(self, timeout_s: float | None) -> tuple[()]:
        self._turns += 1
        if self._turns > _MOST_TURNS:
            raise StuckError("tasks wake each other for ever")
        if timeout_s is None:
            raise StuckError("every task waits for another one")
        self._now_s += timeout_s
        return ()

    def _process_events(self, event_list: Any) -> None:
        """There are no sockets."""

    def _write_to_self(self) -> None:
        """Nobody sleeps in a system call that would have to be interrupted."""


class VirtualClock:
    """The clocks that sessions read, both driven by the loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def monotonic_s(self) -> float:
        return self._loop.time()

    def wall_us(self) -> int:
        return WALL_START_US + round(self._loop.time() * 1_000_000)

    def wall_s(self) -> float:
        return self.wall_us() / 1_000_000
