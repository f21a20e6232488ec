"""Frees what is left of the rooms that were left.

A stream that ends with an error is part of reference cycles: a traceback holds the frames, and
these hold the room, with about 1 MiB of memory (`benchmarks/rooms.py`). Python's collector looks at
old objects only when they have become a quarter more, and native memory is none of these. So it is
asked to after some rooms.
"""

from __future__ import annotations

import gc
from typing import Final

MANY: Final = 8


class RoomsLeft:
    """Counts the rooms that were left since the collector came by; used in one event loop."""

    def __init__(self) -> None:
        self._count = 0

    def note(self) -> None:
        """Take note of a room that was left."""
        self._count += 1

    def free_if_many(self) -> bool:
        """Collect garbage if there are many; return whether it was done."""
        if self._count < MANY:
            return False
        self._count = 0
        gc.collect()
        return True


ROOMS_LEFT: Final = RoomsLeft()
"""Those of the process."""
