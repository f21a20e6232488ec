"""When to try again: exponential backoff with jitter, as a pure function of the attempt."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

_LARGEST_EXPONENT: Final = 32


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that double from `first_s` up to `longest_s`, each shortened by up to a half.

    Args:
        first_s: Pause after the first failed attempt.
        longest_s: Bound of every pause.
        random: Source of the jitter, so that a thousand clients do not return as one.

    Raises:
        ValueError: The bounds make no sense.
    """

    first_s: float
    longest_s: float
    random: Random

    def __post_init__(self) -> None:
        """Refuse bounds that are not ordered."""
        if not 0 < self.first_s <= self.longest_s:
            msg = f"need 0 < first_s <= longest_s, got {self.first_s} and {self.longest_s}"
            raise ValueError(msg)

    def pause_s(self, attempt: int, retry_after_s: float | None = None) -> float:
        """Return the pause after failed attempt number `attempt` (from 1).

        A `retry_after_s` of the service is a lower bound, whatever the cap says.
        """
        exponent = min(max(attempt - 1, 0), _LARGEST_EXPONENT)
        full_s = min(self.longest_s, self.first_s * 2.0**exponent)
        pause_s = full_s * (0.5 + self.random.random() / 2)
        return max(pause_s, retry_after_s or 0.0)
