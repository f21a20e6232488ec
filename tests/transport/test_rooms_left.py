"""What a failed stream leaves in reference cycles is freed after some rooms, not some day."""

from __future__ import annotations

import gc
import weakref

from overshoot_flow.transport.rooms_left import MANY, RoomsLeft


class Room:
    """Holds itself, as a room does that a traceback's frames hold."""

    def __init__(self) -> None:
        self.itself = self


def test_many_rooms_are_freed_together() -> None:
    left = RoomsLeft()
    gc.disable()
    try:
        rooms = []
        for _ in range(MANY):
            assert not left.free_if_many()
            rooms.append(weakref.ref(Room()))
            left.note()
        assert all(room() is not None for room in rooms)
        assert left.free_if_many()
        assert all(room() is None for room in rooms)
        assert not left.free_if_many()
    finally:
        gc.enable()
