"""Running a dataflow so that it stops in order, resumes, and leaves no stream alive."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Final

from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main

from overshoot_flow.errors import OvershootFlowError
from overshoot_flow.flow.heartbeats import heartbeat_keys
from overshoot_flow.flow.run_shape import shape_of
from overshoot_flow.flow.run_state import RunState
from overshoot_flow.flow.slots import check_slots
from overshoot_flow.flow.stopping import STOP
from overshoot_flow.session.runtime import RUNTIME

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_STOPPING: Final = b"stopping: collecting the answers due; once more to stop at once\n"


@dataclass(slots=True)
class CurrentRun:
    """What steps may know about the run that they are part of.

    Attributes:
        durable: Whether the run has a state folder, so that it can be resumed after a crash.
        heartbeat_keys: Keys that together reach every partition of the flow's sinks.
    """

    durable: bool = False
    heartbeat_keys: tuple[str, ...] = ()
    _at_success: list[Callable[[], None]] = field(default_factory=list)

    def at_success(self, callback: Callable[[], None]) -> None:
        """Call `callback` after the engine has ended without an error: its last state is durable.

        Callbacks are called in the order in which they came, in the thread of `run`; they are
        dropped when the run fails.
        """
        self._at_success.append(callback)

    @contextmanager
    def begin(self, *, durable: bool, heartbeat_keys: tuple[str, ...]) -> Iterator[None]:
        """Be the current run; at a good end call what was registered."""
        self.durable = durable
        self.heartbeat_keys = heartbeat_keys
        self._at_success.clear()
        try:
            yield
            for callback in self._at_success:
                callback()
        finally:
            self.durable = False
            self.heartbeat_keys = ()
            self._at_success.clear()


RUN: Final = CurrentRun()
"""The run of this process; sinks register their last publication here."""


def run(
    flow: Dataflow,
    *,
    state: str | os.PathLike[str] | None = None,
    workers: int = 1,
    epoch_interval: timedelta = timedelta(seconds=2),
) -> bool:
    """Run `flow` in this process until it ends; return whether it was stopped by a signal.

    The first SIGTERM or SIGINT stops reading: what is published is answered (within the
    service's deadline), records are written, streams are deleted. The second one stops at once:
    streams are deleted, records of the unfinished epoch are lost. Call it from the main thread,
    because only there Python receives signals; elsewhere it runs without handling them.

    Args:
        flow: The dataflow.
        state: Folder of the recovery state. A run with the same folder goes on where the one
            before ended or died. None: nothing is remembered.
        workers: Worker threads.
        epoch_interval: How often positions and records become durable together.

    Raises:
        ConfigurationError: The state does not fit the flow, or another process uses it; or the
            flow's streams can starve each other.
        KeyboardInterrupt: The second signal came.
        OvershootFlowError: A step failed with it.
        bytewax.errors.BytewaxRuntimeError: A step failed with anything else; see its cause.
    """
    check_slots(flow)
    if state is None:
        return _run(flow, None, workers, epoch_interval)
    with RunState(Path(state), shape_of(flow)) as durable:
        return _run(flow, durable.recovery_config, workers, epoch_interval)


def _run(
    flow: Dataflow, recovery: RecoveryConfig | None, workers: int, epoch_interval: timedelta
) -> bool:
    STOP.clear()
    keys = heartbeat_keys(flow)
    with RUN.begin(durable=recovery is not None, heartbeat_keys=keys), _stop_on_signals():
        try:
            cli_main(  # type: ignore[no-untyped-call]
                flow,
                workers_per_process=workers,
                epoch_interval=epoch_interval,
                recovery_config=recovery,
            )
        except BytewaxRuntimeError as error:
            raise _cause_of(error) from error
        finally:
            RUNTIME.shutdown()
    return STOP.is_set()


def _cause_of(error: BaseException) -> BaseException:
    """The engine wraps what a step raised, sometimes more than once."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OvershootFlowError | KeyboardInterrupt):
            return cause
        cause = cause.__cause__ or cause.__context__
    return error


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
