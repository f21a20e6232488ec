"""Running a dataflow so that it stops in order and leaves no stream alive."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Final

from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from overshoot_flow.flow.stopping import STOP
from overshoot_flow.session.runtime import RUNTIME

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_STOPPING: Final = b"stopping: collecting the answers due; once more to stop at once\n"


def run(
    flow: Dataflow, *, workers: int = 1, epoch_interval: timedelta = timedelta(seconds=2)
) -> bool:
    """Run `flow` in this process until it ends; return whether it was stopped by a signal.

    The first SIGTERM or SIGINT stops reading: what is published is answered (within the
    service's deadline), records are written, streams are deleted. The second one stops at once:
    streams are deleted, records of the unfinished epoch are lost. Call it from the main thread,
    because only there Python receives signals; elsewhere it runs without handling them.

    Raises:
        KeyboardInterrupt: The second signal came.
        bytewax.errors.BytewaxRuntimeError: A step failed; its cause says why.
    """
    STOP.clear()
    with _stop_on_signals():
        try:
            cli_main(  # type: ignore[no-untyped-call]
                flow, workers_per_process=workers, epoch_interval=epoch_interval
            )
        finally:
            RUNTIME.shutdown()
    return STOP.is_set()


@contextmanager
def _stop_on_signals() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if STOP.is_set():
            raise KeyboardInterrupt
        STOP.set()
        # A logger or a buffered stream may be in use by the very code that was interrupted.
        os.write(2, _STOPPING)

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
