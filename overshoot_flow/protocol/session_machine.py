"""The life of one leased stream's session, as a pure state machine.

    waiting → creating → connecting → live → draining → closed
       ▲          │          │          │        │
       └──────────┴──────────┴──────────┴────────┤
                 (a new stream, later)           │
    any state but closed ────────────────────────┴──▶ failed

The machine decides; `overshoot_flow.session` acts. A lost stream is replaced by a new one, a
service that has no slot or a fault of its own is asked again later, and what no repetition can
mend (a wrong key, no credit, a refused request) fails the session.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from overshoot_flow.errors import (
    AuthenticationError,
    ConfigurationError,
    InsufficientCreditsError,
    OvershootFlowError,
    RejectedRequestError,
    StreamEndedError,
    StreamLimitError,
)


class SessionState(StrEnum):
    """Where a session stands."""

    WAITING = "waiting"
    """No stream is leased: nothing to publish yet, or waiting before the next attempt."""
    CREATING = "creating"
    CONNECTING = "connecting"
    """The stream is leased and billed; the room is being joined."""
    LIVE = "live"
    DRAINING = "draining"
    """Everything is published; the answers still due are awaited."""
    CLOSED = "closed"
    FAILED = "failed"


class Remedy(StrEnum):
    """What an error asks for."""

    FAIL = "fail"
    """No repetition can help."""
    WAIT_FOR_SLOT = "wait_for_slot"
    """All streams of the key are in use; ask again, however long it takes."""
    NEW_STREAM = "new_stream"
    """Lease a new stream, a bounded number of times in a row."""
    REST = "rest"
    """No repetition helps now; but the question, the key or the credit may change."""


_TERMINAL_END_REASONS: Final = frozenset({"insufficient_credits"})
_MOVES: Final[dict[SessionState, frozenset[SessionState]]] = {
    SessionState.WAITING: frozenset({SessionState.CREATING, SessionState.CLOSED}),
    SessionState.CREATING: frozenset({SessionState.CONNECTING, SessionState.WAITING}),
    SessionState.CONNECTING: frozenset({SessionState.LIVE, SessionState.WAITING}),
    SessionState.LIVE: frozenset({SessionState.DRAINING, SessionState.WAITING}),
    SessionState.DRAINING: frozenset({SessionState.CLOSED, SessionState.WAITING}),
    SessionState.CLOSED: frozenset(),
    SessionState.FAILED: frozenset(),
}


def is_about_key(error: OvershootFlowError) -> bool:
    """Say whether another key may do what this one may not."""
    if isinstance(error, StreamEndedError):
        return error.reason in _TERMINAL_END_REASONS
    return isinstance(error, AuthenticationError | InsufficientCreditsError)


def remedy_for(error: OvershootFlowError) -> Remedy:
    """Say what `error`, raised while a session works, asks for."""
    if isinstance(error, StreamLimitError):
        return Remedy.WAIT_FOR_SLOT
    if is_about_key(error) or isinstance(error, ConfigurationError | RejectedRequestError):
        return Remedy.FAIL
    return Remedy.NEW_STREAM


@dataclass(slots=True)
class SessionMachine:
    """State of one session.

    Args:
        max_restarts: New streams in a row, none of which gave an answer, before it fails.
        rests: Whether it rests where another one would fail.

    Attributes:
        waits_for_slot: Whether the last fault was that no slot was free, and no answer came since.
        still_waits_for_slot: Whether the last two faults were that no slot was free, and no answer
            came between.
    """

    max_restarts: int
    rests: bool = False
    state: SessionState = SessionState.WAITING
    failure: OvershootFlowError | None = None
    streams_created: int = 0
    fruitless_attempts: int = 0
    faults_in_a_row: int = 0
    waits_for_slot: bool = False
    still_waits_for_slot: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in (SessionState.CLOSED, SessionState.FAILED)

    def move(self, target: SessionState) -> None:
        """Go to `target`.

        Raises:
            RuntimeError: The contract of the states does not allow it: a defect of the caller.
        """
        if target not in _MOVES[self.state]:
            msg = f"a session cannot go from {self.state} to {target}"
            raise RuntimeError(msg)
        self.state = target
        if target is SessionState.CONNECTING:
            self.streams_created += 1

    def answered(self) -> None:
        """Note that the stream is fruitful, so that attempts are counted anew."""
        self.fruitless_attempts = 0
        self.faults_in_a_row = 0
        self.waits_for_slot = False

    def fault(self, error: OvershootFlowError, *, has_other_key: bool = False) -> Remedy:
        """Take in an error and go to `waiting` or `failed`; return what to do.

        Args:
            error: What went wrong.
            has_other_key: Whether it can be done with another key instead.
        """
        remedy = remedy_for(error)
        self.faults_in_a_row += 1
        waited, self.waits_for_slot = self.waits_for_slot, remedy is Remedy.WAIT_FOR_SLOT
        self.still_waits_for_slot = waited and self.waits_for_slot
        if has_other_key:
            remedy = Remedy.NEW_STREAM
        elif remedy is Remedy.NEW_STREAM:
            self.fruitless_attempts += 1
            if self.fruitless_attempts > self.max_restarts:
                remedy = Remedy.FAIL
        if remedy is Remedy.FAIL and self.rests:
            remedy = Remedy.REST
        if remedy is Remedy.FAIL:
            self.state = SessionState.FAILED
            self.failure = error
        elif self.state is not SessionState.WAITING:
            self.move(SessionState.WAITING)
        return remedy

    def abort(self) -> None:
        """End at once, from whatever state."""
        if not self.ended:
            self.state = SessionState.CLOSED
