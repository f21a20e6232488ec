"""Follows, while pictures flow, which lifetime index the service gives them. Pure.

A camera cannot wait until the service has everything. Two signs tell that pictures were lost. The
sender counts what it has sent of those that were handed over: that is exact. And the service says
when its newest frame came: one that came later than usual may be a later one than its number says,
or the way has become longer. That cannot be told apart while pictures flow; a short standstill can.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Final

_MEMORY: Final = 4_096
"""Hand-overs whose time is remembered; the service's newest frame is a second or two behind."""

_LOOKS: Final = 4
"""Looks of which the best counts: a picture under way is not a lost one, and jitter is no delay."""

_LATE_DISTANCES: Final = 0.7
_LEAST_LATE_S: Final = 0.02
"""So much later than usual (in distances of pictures, in seconds) is suspicious."""

_RECENT: Final = 16


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What a look has shown.

    Attributes:
        captured: Of so many pictures handed over it is known what became of them.
        low: The least offset since the last time that something was confirmed.
        high: The greatest one.
    """

    captured: int
    low: int
    high: int


@dataclass(slots=True)
class OffsetTracking:
    """Tracks `index - number` on one connection.

    Args:
        offset: What it was when everything handed over had come.
        lag_s: The service's clock minus ours, and the way there, measured then.
        unsent: Pictures handed over and never sent, by the sender's count then.

    Attributes:
        is_doubtful: Whether pictures come too late; nothing is confirmed until `settled`.
    """

    offset: int
    lag_s: float
    unsent: int
    is_doubtful: bool = field(default=False, init=False)
    _handed_over_s: deque[tuple[int, float]] = field(
        default_factory=lambda: deque(maxlen=_MEMORY), init=False
    )
    _unsent: deque[tuple[int, int]] = field(
        default_factory=lambda: deque(maxlen=_LOOKS), init=False
    )
    _late_s: deque[float] = field(default_factory=lambda: deque(maxlen=_LOOKS), init=False)
    _low: int = field(init=False)
    _high: int = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is in doubt yet."""
        self._low = self._high = self.offset

    def captured(self, number: int, at_s: float) -> None:
        """A picture was handed over at `at_s` of our clock, after `number` others."""
        self._handed_over_s.append((number, at_s))

    def look(
        self, *, captured: int, sent: int, index: int, arrived_at_s: float
    ) -> Confirmed | None:
        """Take in what the sender and the service say at one moment.

        Args:
            captured: Pictures handed over, read after the sender was asked.
            sent: Those that it has sent.
            index: The service's newest frame.
            arrived_at_s: When that one came, by the service's clock.

        Returns:
            What is known now, or None while that is nothing.
        """
        self._unsent.append((captured, captured - sent))
        self._note_lateness(index, arrived_at_s)
        if len(self._unsent) < _LOOKS:
            return None
        unsent = min(lost for _, lost in self._unsent)
        if unsent != self.unsent:
            self._move(self.unsent - unsent)
            self.unsent = unsent
            # The times were compared by another offset.
            self._late_s.clear()
        self.is_doubtful = self.is_doubtful or self._is_late()
        if self.is_doubtful or len(self._late_s) < _LOOKS:
            return None
        known = min(self._unsent[0][0], index - self.offset + 1)
        confirmed = Confirmed(known, self._low, self._high)
        self._low = self._high = self.offset
        return confirmed

    def settled(self, offset: int, lag_s: float, unsent: int) -> tuple[int, int]:
        """Everything handed over has come; return the bounds since the last confirmation."""
        self.unsent = unsent
        self._move(offset - self.offset)
        bounds = self._low, self._high
        self._low = self._high = self.offset
        self.lag_s = lag_s
        self.is_doubtful = False
        self._late_s.clear()
        self._unsent.clear()
        return bounds

    def _move(self, by: int) -> None:
        self.offset += by
        self._low, self._high = min(self._low, self.offset), max(self._high, self.offset)

    def _note_lateness(self, index: int, arrived_at_s: float) -> None:
        expected = index - self.offset
        at_s = next((at for n, at in reversed(self._handed_over_s) if n == expected), None)
        if at_s is None:
            return
        late_s = arrived_at_s - self.lag_s - at_s
        # The shortest way seen is the usual one.
        self.lag_s += min(0.0, late_s)
        self._late_s.append(late_s)

    def _is_late(self) -> bool:
        if len(self._late_s) < _LOOKS:
            return False
        recent_s = [at_s for _, at_s in list(self._handed_over_s)[-_RECENT:]]
        distances_s = [after - before for before, after in pairwise(recent_s)]
        distance_s = median(distances_s) if distances_s else 0.0
        return min(self._late_s) > max(_LEAST_LATE_S, _LATE_DISTANCES * distance_s)
