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
    is_about_key,
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


def test_a_wait_for_a_slot_is_new_after_an_answer_or_another_fault() -> None:
    machine = SessionMachine(max_restarts=9)
    no_slot, gone = StreamLimitError("five are in use"), TransportError("gone")

    def still_waits(*errors: OvershootFlowError) -> list[bool]:
        told = []
        for error in errors:
            machine.fault(error)
            told.append(machine.still_waits_for_slot)
        return told

    assert still_waits(gone, no_slot, no_slot, no_slot) == [False, False, True, True]
    assert still_waits(gone, no_slot) == [False, False]
    machine.answered()
    assert still_waits(no_slot, no_slot) == [False, True]


@pytest.mark.parametrize("rests", [True, False])
def test_what_another_key_may_do_neither_fails_nor_rests(*, rests: bool) -> None:
    machine = SessionMachine(max_restarts=0, rests=rests)
    for _ in range(3):
        machine.move(S.CREATING)
        remedy = machine.fault(InsufficientCreditsError("no"), has_other_key=True)
        assert remedy is Remedy.NEW_STREAM
    assert not machine.ended
    assert machine.fault(InsufficientCreditsError("no")) is (Remedy.REST if rests else Remedy.FAIL)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AuthenticationError("no"), True),
        (InsufficientCreditsError("no"), True),
        (StreamEndedError("insufficient_credits"), True),
        (StreamEndedError("lease_expired"), False),
        (RejectedRequestError("no"), False),
        (TransportError("no"), False),
    ],
)
def test_which_errors_are_about_the_key(error: OvershootFlowError, *, expected: bool) -> None:
    assert is_about_key(error) is expected


def test_abort_ends_but_keeps_a_failure() -> None:
    machine = live()
    machine.abort()
    assert machine.state is S.CLOSED
    failed = live()
    failed.fault(AuthenticationError("no"))
    failed.abort()
    assert failed.state is S.FAILED
