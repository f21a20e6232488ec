"""The process's wish to stop: sources stop reading, what is under way is answered."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final

STOP: Final = threading.Event()
"""Set by `overshoot_flow.flow.run` on the first SIGTERM or SIGINT."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_STOPPING: Final = b"stopping: collecting the answers due; once more to stop at once\n"


@dataclass(slots=True)
class StopSignals:
    """What a signal means now.

    Attributes:
        at_once: Stops the process at once where an exception would not do; None: it does.
        ending: Streams are being deleted, which is bounded in time and must not be broken off.
        quiet: Whether there is nothing to tell the user, or another process does.
    """

    at_once: Callable[[], None] | None = None
    ending: bool = False
    quiet: Callable[[], bool] = lambda: False

    def take(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal: the first one sets `STOP`, the second one stops at once."""
        if self.ending:
            return
        if STOP.is_set():
            if self.at_once is None:
                raise KeyboardInterrupt
            self.at_once()
        STOP.set()
        if not self.quiet():
            # A logger or a buffered stream may be in use by the very code that was interrupted.
            os.write(2, _STOPPING)


@contextmanager
def stop_on_signals() -> Iterator[StopSignals]:
    """Handle SIGTERM and SIGINT; outside of the main thread Python offers no such thing.

    A wish to stop is about the run inside alone: the next one begins without it.
    """
    signals = StopSignals()
    in_main_thread = threading.current_thread() is threading.main_thread()
    numbers = _SIGNALS if in_main_thread else ()
    STOP.clear()
    before = {number: signal.signal(number, signals.take) for number in numbers}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        STOP.clear()
