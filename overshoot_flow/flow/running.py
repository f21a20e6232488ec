"""Running a dataflow so that it stops in order, resumes, and leaves no stream alive."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main

from overshoot_flow.errors import OvershootFlowError
from overshoot_flow.flow.first_failure import FirstFailure
from overshoot_flow.flow.heartbeats import heartbeat_keys
from overshoot_flow.flow.membership import Membership
from overshoot_flow.flow.peer_line import Greeting, digest_of
from overshoot_flow.flow.peers import Peer
from overshoot_flow.flow.run_shape import shape_of
from overshoot_flow.flow.run_state import RunState, recovery_config_of
from overshoot_flow.flow.slots import check_slots
from overshoot_flow.flow.stopping import STOP, StopSignals, stop_on_signals
from overshoot_flow.media.frames import PICKLES
from overshoot_flow.session.runtime import RUNTIME
from overshoot_flow.timer_slack import timer_slack_restored

DEFAULT_PEER_TIMEOUT: Final = timedelta(seconds=60)
INTERRUPTED_EXIT_CODE: Final = 130
_LOGGER: Final = logging.getLogger(__name__)
_NEWS_OF_LOSS_S: Final = 1.0
"""How long after the engine's panic the news may take that a peer is lost."""


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
    _is_going: bool = False
    _not_closed: list[OvershootFlowError] = field(default_factory=list)

    def at_success(self, callback: Callable[[], None]) -> None:
        """Call `callback` after the engine has ended without an error: its last state is durable.

        Callbacks are called in the order in which they came, in the thread of `run`; they are
        dropped when the run fails.
        """
        self._at_success.append(callback)

    def not_closed(self, error: OvershootFlowError) -> None:
        """Let the run fail with what the closing of a partition met, if it has not failed already.

        A partition's `close` must not raise it: the engine closes partitions also while it gives
        up after another failure, and there a second one aborts the whole process.

        Raises:
            OvershootFlowError: `error`, when no run of this library is going on.
        """
        if not self._is_going:
            raise error
        _LOGGER.warning("a partition could not be closed in order: %s", error)
        self._not_closed.append(error)

    @contextmanager
    def begin(self, *, durable: bool, heartbeat_keys: tuple[str, ...]) -> Iterator[None]:
        """Be the current run; at a good end call what was registered."""
        self._forget()
        self.durable = durable
        self.heartbeat_keys = heartbeat_keys
        self._is_going = True
        try:
            yield
            if self._not_closed:
                raise self._not_closed[0]
            for callback in self._at_success:
                callback()
        finally:
            self._forget()

    def _forget(self) -> None:
        self.durable = False
        self.heartbeat_keys = ()
        self._is_going = False
        self._at_success.clear()
        self._not_closed.clear()


RUN: Final = CurrentRun()
"""The run of this process; sinks register their last publication here."""


def run(
    flow: Dataflow,
    *,
    state: str | os.PathLike[str] | None = None,
    workers: int = 1,
    epoch_interval: timedelta = timedelta(seconds=2),
    peer: Peer | None = None,
    peer_timeout: timedelta = DEFAULT_PEER_TIMEOUT,
) -> bool:
    """Run `flow` in this process until it ends; return whether it was stopped by a signal.

    The first SIGTERM or SIGINT stops reading: what is published is answered (within the
    service's deadline), records are written, streams are deleted. The second one stops at once:
    streams are deleted, records of the unfinished epoch are lost. Call it from the main thread,
    because only there Python receives signals; elsewhere it runs without handling them.

    As one process of a cluster it first meets the others. When one of them fails or dies, the
    others delete their streams and raise; one that the engine does not let go ends with exit code
    75. The second signal ends such a process with exit code 130 as soon as its streams are deleted.
    An engine that has lost a peer leaves threads behind that can abort Python's orderly end: end
    the process with `os._exit`, as the command line does.

    Args:
        flow: The dataflow.
        state: Folder of the recovery state. A run with the same folder goes on where the one
            before ended or died. None: nothing is remembered. The processes of a cluster share
            one folder.
        workers: Worker threads of this process.
        epoch_interval: How often positions and records become durable together.
        peer: Which process of a cluster this is; None when it is alone.
        peer_timeout: How long the other processes are waited for.

    Raises:
        ConfigurationError: The state does not fit the flow, another process uses it, the
            processes of the cluster do not fit together, or the flow's streams can starve each
            other.
        PeerMissingError: Processes of the cluster did not come in time.
        PeerLostError: Another process of the cluster failed or died.
        KeyboardInterrupt: The second signal came (while a cluster runs, see above).
        OvershootFlowError: A step failed with it.
        bytewax.errors.BytewaxRuntimeError: A step failed with anything else; see its cause.
    """
    check_slots(flow, processes=1 if peer is None else len(peer.addresses))
    engine: dict[str, Any] = {"workers_per_process": workers, "epoch_interval": epoch_interval}
    if peer is None or len(peer.addresses) == 1:
        with _recovery(flow, state, leads=True) as recovery:
            return _run_alone(flow, {**engine, "recovery_config": recovery})
    greeting = Greeting(peer.process_id, peer.addresses, workers, digest_of(shape_of(flow)))
    with _recovery(flow, state, leads=peer.process_id == 0) as recovery:
        engine |= {"process_id": peer.process_id, "addresses": list(peer.addresses)}
        return _run_together(
            flow,
            {**engine, "recovery_config": recovery},
            Membership(
                peer,
                greeting,
                timeout_s=peer_timeout.total_seconds(),
                stopped=STOP.is_set,
                at_hang=RUNTIME.shutdown,
            ),
        )


@contextmanager
def _recovery(
    flow: Dataflow, state: str | os.PathLike[str] | None, *, leads: bool
) -> Iterator[RecoveryConfig | None]:
    """The engine's store. One process checks and locks the folder, before it meets the others."""
    if state is None:
        yield None
    elif leads:
        with RunState(Path(state), shape_of(flow)) as durable:
            yield durable.recovery_config
    else:
        yield recovery_config_of(Path(state))


def _begun(flow: Dataflow, engine: Mapping[str, Any]) -> AbstractContextManager[None]:
    RUNTIME.begin_run()
    return RUN.begin(
        durable=engine["recovery_config"] is not None, heartbeat_keys=heartbeat_keys(flow)
    )


def _run_alone(flow: Dataflow, engine: dict[str, Any]) -> bool:
    with stop_on_signals() as signals, timer_slack_restored(), _begun(flow, engine):
        try:
            cli_main(flow, **engine)  # type: ignore[no-untyped-call]
        except BytewaxRuntimeError as error:
            cause = _cause_of(error)
            if cause is error:
                raise
            raise cause from error
        finally:
            _delete_streams(signals)
        return STOP.is_set()


def _run_together(flow: Dataflow, engine: dict[str, Any], member: Membership) -> bool:
    with stop_on_signals() as signals:
        signals.quiet = lambda: engine["process_id"] != 0 or member.is_lost
        with member, timer_slack_restored(), _begun(flow, engine):
            if not member.together:
                return True
            failure = FirstFailure()
            failure.watch(flow)
            frames_refused = PICKLES.refused
            signals.at_once = partial(_leave_at_once, signals)
            try:
                cli_main(flow, **engine)  # type: ignore[no-untyped-call]
                member.left_engine(failed=False)
            # The engine's panics are exceptions of no importable type outside of `Exception`.
            except BaseException as error:
                member.left_engine(failed=True)
                if PICKLES.refused > frames_refused:
                    raise PICKLES.explanation() from error
                explained = _explained(error, failure.error, member)
                if explained is error:
                    raise
                raise explained from (explained.__cause__ or error)
            finally:
                _delete_streams(signals)
                signals.at_once = None
            return STOP.is_set()


def _leave_at_once(signals: StopSignals) -> None:
    """Stop a process of a cluster: its engine aborts it when it is interrupted by an exception."""
    _delete_streams(signals)
    os._exit(INTERRUPTED_EXIT_CODE)


def _delete_streams(signals: StopSignals) -> None:
    signals.ending = True
    RUNTIME.shutdown()
    signals.ending = False


def _explained(
    error: BaseException, failure: BaseException | None, member: Membership
) -> BaseException:
    """Why the engine ended: in a cluster it says the same of a step's failure and a peer's."""
    if failure is not None and not isinstance(failure, KeyboardInterrupt):
        cause = _cause_of(failure)
        if isinstance(cause, OvershootFlowError):
            return cause
        wrapped = BytewaxRuntimeError(f"a step failed: {failure!r}")
        wrapped.__cause__ = failure
        return wrapped
    return member.loss(wait_s=_NEWS_OF_LOSS_S) or _cause_of(error)


def _cause_of(error: BaseException) -> BaseException:
    """The engine wraps what a step raised, sometimes more than once."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OvershootFlowError | KeyboardInterrupt):
            return cause
        cause = cause.__cause__ or cause.__context__
    return error
