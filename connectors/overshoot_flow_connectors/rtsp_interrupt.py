"""Ends a network call of PyAV at once, from another thread.

FFmpeg asks every 0.1 s whether it shall give up, and PyAV answers by its time-outs alone; the
camera that is dead when the run ends would hold it up for as long as these are. But PyAV reads the
clock for its answer in the calling thread, through a name of its module. That name is replaced
here: in a thread that shall end, the clock leaps beyond every time-out. Should another version of
PyAV read the clock in another way, ending takes a time-out again; a test notices.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace
from typing import Final

import av.container.core

_LEAP_S: Final = 1_000_000.0
"""Beyond every time-out."""


class _Interrupt(threading.local):
    """What the thread has to look at."""

    stopping: threading.Event | None = None
    # Time-outs are measured from a reading of the same clock, so every reading has to leap.
    leaps: Iterator[int] = count(1)


_INTERRUPT: Final = _Interrupt()


def _monotonic_s() -> float:
    stopping = _INTERRUPT.stopping
    if stopping is None or not stopping.is_set():
        return time.monotonic()
    return time.monotonic() + next(_INTERRUPT.leaps) * _LEAP_S


@contextmanager
def interruptible(stopping: threading.Event) -> Iterator[None]:
    """While it lasts, `stopping` ends PyAV's network calls of this thread as a time-out does."""
    _INTERRUPT.stopping = stopping
    try:
        yield
    finally:
        _INTERRUPT.stopping = None


if getattr(av.container.core, "time", None) is time:
    setattr(  # noqa: B010 - a name that the module's types do not have
        av.container.core, "time", SimpleNamespace(**{**vars(time), "monotonic": _monotonic_s})
    )
