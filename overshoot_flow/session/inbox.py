"""The hand-over from the engine's worker thread to a session in the runtime's event loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from dataclasses import dataclass
from typing import Final, TypeAlias

from overshoot_flow.assignment import Assignment
from overshoot_flow.errors import OvershootFlowError
from overshoot_flow.media.access_units import Picture
from overshoot_flow.results import GapReason

INBOX_CAPACITY: Final = 256
"""Items that may wait for a session. The ledger's brake keeps frames far below it; an overflow is
refused with an error (policy: refuse), because it means that the brake does not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotPublished:
    """Frames or a stretch of media that will not be published, and why.

    Attributes:
        frames: How many emitted frames this stands for.
        failure: Set when a user function failed: its dead letter's detail.
    """

    source: str
    start_us: int
    end_us: int
    frames: int
    reason: GapReason
    detail: str
    failure: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """No frame comes any more."""


InboxItem: TypeAlias = Picture | NotPublished | Assignment | End


class Inbox:
    """A bounded queue: any thread puts, the event loop of `loop` gets."""

    def __init__(self, loop: asyncio.AbstractEventLoop, capacity: int = INBOX_CAPACITY) -> None:
        self._loop = loop
        self._capacity = capacity
        self._items: deque[InboxItem] = deque()
        self._lock = threading.Lock()
        self._filled = asyncio.Event()

    def put(self, item: InboxItem) -> None:
        """Add `item`.

        Raises:
            OvershootFlowError: The inbox is full.
        """
        with self._lock:
            if len(self._items) >= self._capacity:
                raise OvershootFlowError(
                    f"{self._capacity} items wait for a session: its source does not heed the brake"
                )
            self._items.append(item)
        self._loop.call_soon_threadsafe(self._filled.set)

    def get_nowait(self) -> InboxItem | None:
        """Take the oldest item, or None when there is none."""
        with self._lock:
            return self._items.popleft() if self._items else None

    async def get(self, unless: asyncio.Event | None = None) -> InboxItem | None:
        """Wait for the oldest item and take it; None as soon as `unless` is set.

        Whoever sets `unless` calls `wake` too.
        """
        while (item := self.get_nowait()) is None:
            if unless is not None and unless.is_set():
                return None
            self._filled.clear()
            with self._lock:
                empty = not self._items
            if empty:
                await self._filled.wait()
        return item

    def wake(self) -> None:
        """Let a waiting `get` look again; to be called in the event loop."""
        self._filled.set()
