"""The pictures that a stream still remembers. Pure: arrival times are passed in."""

from __future__ import annotations

from collections import deque
from typing import Final

from overshoot_flow.local.engines.base import SeenFrame

MAX_RETENTION_S: Final = 60.0
"""The longest clip that the contract allows."""


class FrameRing:
    """Bounded memory of a stream's newest pictures, by arrival.

    Overflow policy: the oldest picture goes. Pictures that leave because they are too old were
    promised no longer; pictures that leave earlier, for want of bytes, are counted.

    Args:
        retention_s: How long a picture is kept; 0 keeps the newest only.
        target_fps: Keep at most this many pictures per second, or None for all of them.
        max_bytes: Bound of the kept pictures' planes in bytes.
    """

    def __init__(self, *, retention_s: float, target_fps: float | None, max_bytes: int) -> None:
        self._retention_s = min(retention_s, MAX_RETENTION_S)
        self._period_s = 1 / target_fps if target_fps else 0.0
        self._max_bytes = max_bytes
        self._frames: deque[SeenFrame] = deque()
        self._bytes = 0
        self._due_s = 0.0
        self._newest: SeenFrame | None = None
        self.evicted_early = 0

    def add(self, frame: SeenFrame) -> None:
        """Remember `frame`, which arrived after all others."""
        self._newest = frame
        arrived_s = frame.arrived_at_s
        if self._retention_s == 0 or arrived_s < self._due_s:
            return
        # Keeps the phase of the grid under jitter, and starts it anew after a pause.
        self._due_s = max(self._due_s + self._period_s, arrived_s)
        self._frames.append(frame)
        self._bytes += _plane_bytes(frame)
        while self._frames[0].arrived_at_s <= arrived_s - self._retention_s:
            self._drop_oldest()
        while self._bytes > self._max_bytes and len(self._frames) > 1:
            self._drop_oldest()
            self.evicted_early += 1

    def window(self, length_s: float, end_s: float) -> list[SeenFrame]:
        """Return the kept pictures of the last `length_s` before `end_s`, oldest first.

        When none arrived in that time, or `length_s` is 0, the newest picture stands for the
        window. The list is empty only before the first picture.
        """
        start_s = end_s - length_s
        inside = [frame for frame in self._frames if start_s < frame.arrived_at_s <= end_s]
        if inside:
            return inside
        return [] if self._newest is None else [self._newest]

    def clear(self) -> None:
        """Let go of every picture."""
        self._frames.clear()
        self._bytes = 0
        self._newest = None

    def _drop_oldest(self) -> None:
        self._bytes -= _plane_bytes(self._frames.popleft())


def _plane_bytes(frame: SeenFrame) -> int:
    return frame.image.width * frame.image.height * 3 // 2
