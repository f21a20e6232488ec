"""The scheduling of the threads that WebRTC starts in this process."""

from __future__ import annotations

import os
import sys
from typing import Final

_THREADS: Final = "/proc/self/task"
_REAL_TIME: Final = (os.SCHED_FIFO, os.SCHED_RR) if sys.platform == "linux" else ()


def give_up_real_time() -> int:
    """Give every thread of this process that has real-time scheduling the usual one.

    WebRTC asks for SCHED_FIFO, which root gets (seen with livekit 1.2: priority 49 for the encoder,
    98 for decoders). Such a thread is interrupted by no usual one, and the VP8 encoder's threads
    spin while they wait for each other: two publishing processes on two processors blocked the
    machine for 45 minutes, 95 % of both spent in spinning.

    Returns:
        How many threads had it. 0 where threads cannot be told, as outside of Linux.
    """
    if sys.platform != "linux":
        return 0
    changed = 0
    # Twice a second over hundreds of threads: paths as objects would cost more than the question.
    for thread_id in map(int, os.listdir(_THREADS)):  # noqa: PTH208 - see above
        try:
            if os.sched_getscheduler(thread_id) in _REAL_TIME:
                os.sched_setscheduler(thread_id, os.SCHED_OTHER, os.sched_param(0))
                changed += 1
        except ProcessLookupError:
            continue
    return changed
