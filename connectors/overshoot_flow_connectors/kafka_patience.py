"""How long a sink waits for a broker that takes nothing, and when it says so: pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

FIRST_WORD_S: Final = 10.0
"""A broker that restarts is away for a few seconds, which is nobody's concern."""
NEXT_WORD_S: Final = 60.0


class Verdict(Enum):
    """What to do now."""

    WAIT = auto()
    SAY = auto()
    """Wait on, and say that one waits."""
    GIVE_UP = auto()


@dataclass(slots=True)
class Patience:
    """The account of one wait.

    Args:
        limit_s: How long it may last.
        began_s: Any clock's time at its beginning.
    """

    limit_s: float
    began_s: float
    _next_word_s: float = FIRST_WORD_S

    @property
    def has_spoken(self) -> bool:
        """Whether anybody has been told of the wait."""
        return self._next_word_s > FIRST_WORD_S

    def waited_s(self, now_s: float) -> float:
        """How long it lasts already."""
        return now_s - self.began_s

    def look(self, now_s: float) -> Verdict:
        """Decide at this time of the same clock."""
        waited_s = self.waited_s(now_s)
        if waited_s >= self.limit_s:
            return Verdict.GIVE_UP
        if waited_s >= self._next_word_s:
            self._next_word_s = waited_s + NEXT_WORD_S
            return Verdict.SAY
        return Verdict.WAIT
