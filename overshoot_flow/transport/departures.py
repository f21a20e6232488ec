"""Rooms that are being left in the background, because they cannot be left at once.

LiveKit's SDK ends the whole process when the joining of a room is given up, and aborts it when a
room is left while it joins anew and publishes its tracks again (`livekit/src/room/mod.rs` of 1.2.1
unwraps a track that leaving has taken away). Seen when many rooms were lost at the same time. So
such a room is left when the SDK has done with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

_logger = logging.getLogger(__name__)


class Departures:
    """Owns the tasks that leave rooms; used in one event loop at a time."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, leaving: Coroutine[Any, Any, None]) -> None:
        """Let `leaving` go on in the background."""
        task = asyncio.get_running_loop().create_task(leaving, name="leave-room")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    @property
    def pending(self) -> int:
        """How many rooms are not left yet."""
        return len(self._tasks)

    async def end(self, timeout_s: float) -> None:
        """Wait for all, at most `timeout_s`; what is not left then ends with the process."""
        if not self._tasks:
            return
        _, left = await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.warning("a room could not be left: %s", type(error).__name__)


DEPARTURES: Final = Departures()
"""Those of the process."""
