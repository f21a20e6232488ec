"""What an archive has published since the service was last known to have everything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from overshoot_flow.session.clock import Clock
from overshoot_flow.session.outcomes import PendingFrame

LENGTH_S: Final = (0.5, 3.0)
"""An archive waits for the service after so much publishing, three times as long as the last wait
took: the longer, the more is published again when something is lost."""

_PUBLISHING_PER_WAITING: Final = 3

MAX_BYTES: Final = 48 * 1024 * 1024
"""Pixels of a stretch; they are kept until it is known to have come."""


@dataclass(slots=True)
class Stretch:
    """Frames that are published and may have to be published again.

    Args:
        clock: Time.
    """

    clock: Clock
    frames: list[PendingFrame] = field(init=False, default_factory=list)
    _bytes: int = field(init=False, default=0)
    _since_s: float = field(init=False, default=0.0)
    _length_s: float = field(init=False, default=LENGTH_S[0])

    def add(self, frame: PendingFrame) -> None:
        """`frame` is published."""
        if not self.frames:
            self._since_s = self.clock.monotonic_s()
        self.frames.append(frame)
        self._bytes += _size(frame)

    @property
    def left_s(self) -> float:
        """How long more may be published before it is waited."""
        return max(0.0, self._since_s + self._length_s - self.clock.monotonic_s())

    def is_full_before(self, following: PendingFrame) -> bool:
        """Whether it is to be waited before `following` is published."""
        too_large = self._bytes + _size(following) > MAX_BYTES
        return bool(self.frames) and (too_large or not self.left_s)

    def settled(self, waited_s: float) -> None:
        """Everything has come, after a wait of `waited_s`; another stretch begins."""
        self.frames.clear()
        self._bytes = 0
        shortest_s, longest_s = LENGTH_S
        self._length_s = min(longest_s, max(shortest_s, _PUBLISHING_PER_WAITING * waited_s))


def _size(frame: PendingFrame) -> int:
    return 0 if frame.frame is None else len(frame.frame.data)
