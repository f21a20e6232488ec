"""Trying again what the network or other writers have kept from succeeding."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, TypeVar

from overshoot_flow.errors import OvershootFlowError

MAX_ATTEMPTS: Final = 12
"""Attempts at one thing; between them are about 20 s in all."""

FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 4.0
_Done = TypeVar("_Done")


def attempted(
    attempt: Callable[[], _Done],
    passing: type[OvershootFlowError],
    pause: Callable[[float], None],
) -> _Done:
    """Return what `attempt` returns, at the latest after `MAX_ATTEMPTS`.

    Args:
        attempt: May be repeated.
        passing: The error that another attempt may overcome; the last one is raised.
        pause: Waits for so many seconds.
    """
    longest_s = FIRST_PAUSE_S
    for _ in range(MAX_ATTEMPTS - 1):
        try:
            return attempt()
        except passing:
            # Writers that collided must not collide again in step.
            pause(random.uniform(longest_s / 2, longest_s))  # noqa: S311 - no secret
            longest_s = min(2 * longest_s, LONGEST_PAUSE_S)
    return attempt()
