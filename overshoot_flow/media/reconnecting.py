"""When to connect to a camera again: a pure schedule that never gives up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Final

from overshoot_flow.errors import ConfigurationError

_JITTER: Final = 0.2


@dataclass(frozen=True, slots=True)
class ReconnectPlan:
    """The pauses between attempts.

    Args:
        tiers: Number of attempts and the pause in seconds after each of them, in order.
        longest_s: Pause after all attempts that follow, and after refused credentials: cameras
            lock out who tries a wrong password too often.
        stable_s: A connection that lasted this long makes the tiers begin anew.

    Raises:
        ConfigurationError: A number is not above 0.
    """

    tiers: tuple[tuple[int, float], ...] = ((5, 1.0), (5, 5.0), (10, 10.0))
    longest_s: float = 60.0
    stable_s: float = 60.0

    def __post_init__(self) -> None:
        """Refuse pauses that would make a storm of attempts."""
        pauses_s = [pause_s for _, pause_s in self.tiers]
        if not all(0 < value < math.inf for value in (*pauses_s, self.longest_s, self.stable_s)):
            raise ConfigurationError("every pause between attempts must be above 0 and finite")
        if any(attempts < 1 for attempts, _ in self.tiers):
            raise ConfigurationError("every tier must have at least 1 attempt")


class ReconnectSchedule:
    """Counts failed attempts at one camera and says how long to wait after each.

    Args:
        plan: The pauses.
        random: Source of the jitter of ±20 %, so that a hundred cameras behind one switch do not
            return as one.
    """

    def __init__(self, plan: ReconnectPlan, random: Random) -> None:
        self._plan = plan
        self._random = random
        self._failures = 0

    def pause_s(self, connected_for_s: float, *, credentials_refused: bool = False) -> float:
        """Return the pause after a connection has failed or ended.

        Args:
            connected_for_s: How long it gave pictures; 0 when it never did.
            credentials_refused: Whether the camera refuses the user name or the password.
        """
        if connected_for_s >= self._plan.stable_s:
            self._failures = 0
        self._failures += 1
        full_s = self._plan.longest_s if credentials_refused else self._tier_s()
        return full_s * (1 - _JITTER + 2 * _JITTER * self._random.random())

    def _tier_s(self) -> float:
        left = self._failures
        for attempts, pause_s in self._plan.tiers:
            if left <= attempts:
                return pause_s
            left -= attempts
        return self._plan.longest_s
