"""How late the kernel may wake a thread whose wait is over, so that it wakes it less often."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

EXACT_US: Final = 50
"""What Linux gives a thread by default."""

_PR_SET_TIMERSLACK: Final = 29
_PR_GET_TIMERSLACK: Final = 30
_NS_PER_US: Final = 1000


def set_timer_slack(slack_us: int) -> bool:
    """Let timed waits of the calling thread end up to `slack_us` late; what is waited for does not.

    Threads that it starts afterwards inherit that. See `prctl(2)`, PR_SET_TIMERSLACK.

    Returns:
        Whether the system knows such a thing; only Linux does.
    """
    if sys.platform != "linux":
        return False
    slack_ns = ctypes.c_ulong(slack_us * _NS_PER_US)
    return bool(ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, slack_ns, 0, 0, 0) == 0)


@contextmanager
def timer_slack_restored() -> Iterator[None]:
    """Whatever slack is set inside, the calling thread has afterwards what it had before."""
    if sys.platform != "linux":
        yield
        return
    slack_ns = int(ctypes.CDLL(None).prctl(_PR_GET_TIMERSLACK, 0, 0, 0, 0))
    try:
        yield
    finally:
        set_timer_slack(slack_ns // _NS_PER_US)
