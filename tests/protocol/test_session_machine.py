"""The session's states: what each error asks for, and where no way leads."""

from __future__ import annotations

import pytest

from overshoot_flow.errors import (
    AuthenticationError,
    InsufficientCreditsError,
    OvershootFlowError,
    PublishError,
    RejectedRequestError,
    ServiceUnavailableError,
    StreamEndedError,
    StreamLimitError,
    StreamNotFoundError,
    TransportError,
)
from overshoot_flow.protocol.session_machine import (
    Remedy,
    SessionMachine,
    SessionState,
    remedy_for,
)

S = SessionState


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (AuthenticationError("no"), Remedy.FAIL),
        (InsufficientCreditsError("no"), Remedy.FAIL),
        (RejectedRequestError("no"), Remedy.FAIL),
        (StreamEndedError("insufficient_credits"), Remedy.FAIL),
        (StreamEndedError("lease_expired"), Remedy.NEW_STREAM),
        (StreamEndedError("livekit_disconnected"), Remedy.NEW_STREAM),
        (StreamEndedError("something new"), Remedy.NEW_STREAM),
        (StreamNotFoundError("no"), Remedy.NEW_STREAM),
        (ServiceUnavailableError("no"), Remedy.NEW_STREAM),
        (TransportError("no"), Remedy.NEW_STREAM),
        (PublishError("no"), Remedy.NEW_STREAM),
        (StreamLimitError("no"), Remedy.WAIT_FOR_SLOT),
    ],
)
def test_every_error_has_its_remedy(error: OvershootFlowError, remedy: Remedy) -> None:
    assert remedy_for(error) is remedy


def live(max_restarts: int = 2) -> SessionMachine:
    machine = SessionMachine(max_restarts)
    for state in (S.CREATING, S.CONNECTING, S.LIVE):
        machine.move(state)
    return machine


def test_the_straight_way_ends_closed() -> None:
    machine = live()
    machine.move(S.DRAINING)
    machine.move(S.CLOSED)
    assert machine.ended
    assert machine.failure is None
    assert machine.streams_created == 1


@pytest.mark.parametrize("target", [S.CREATING, S.CONNECTING, S.CLOSED])
def test_a_live_session_cannot_jump(target: SessionState) -> None:
    with pytest.raises(RuntimeError, match="cannot go from live"):
        live().move(target)


def test_fruitless_streams_are_bounded_and_the_last_error_is_kept() -> None:
    machine = SessionMachine(max_restarts=2)
    remedies = []
    for attempt in range(3):
        machine.move(S.CREATING)
        remedies.append(machine.fault(TransportError(f"attempt {attempt}")))
    assert remedies == [Remedy.NEW_STREAM, Remedy.NEW_STREAM, Remedy.FAIL]
    assert machine.state is S.FAILED
    assert str(machine.failure) == "attempt 2"


def test_an_answer_makes_the_attempts_count_anew() -> None:
    machine = SessionMachine(max_restarts=1)
    for _ in range(5):
        machine.move(S.CREATING)
        machine.move(S.CONNECTING)
        machine.move(S.LIVE)
        machine.answered()
        assert machine.fault(PublishError("gone")) is Remedy.NEW_STREAM
    assert machine.streams_created == 5
    assert not machine.ended


def test_waiting_for_a_slot_never_fails() -> None:
    machine = SessionMachine(max_restarts=0)
    for _ in range(100):
        machine.move(S.CREATING)
        assert machine.fault(StreamLimitError("five are in use")) is Remedy.WAIT_FOR_SLOT
    assert machine.faults_in_a_row == 100
    assert not machine.ended


def test_abort_ends_but_keeps_a_failure() -> None:
    machine = live()
    machine.abort()
    assert machine.state is S.CLOSED
    failed = live()
    failed.fault(AuthenticationError("no"))
    failed.abort()
    assert failed.state is S.FAILED
