"""The account brakes the source by its slowest session and loses no piece."""

from __future__ import annotations

import threading

from overshoot_flow.results import Piece
from overshoot_flow.session.ledger import PIECES_CAPACITY, UNATTACHED_BATCH, Account, Ledger


def piece(step_id: str, number: int) -> Piece:
    return Piece(step_id=step_id, stream_key="k", start_us=number, end_us=number + 1, outcomes=())


def test_nothing_is_known_before_infer_has_seen_the_stream() -> None:
    account = Account("k")
    assert account.room() == UNATTACHED_BATCH
    assert not account.attached
    assert not account.unwanted


def test_the_slowest_session_brakes() -> None:
    account = Account("k", capacity=10)
    account.emitted(4)
    account.attach("fast")
    account.attach("slow")
    account.release("fast", 4)
    assert account.room() == 6
    account.emitted(6)
    account.release("fast", 6)
    assert account.room() == 0
    account.release("slow", 3)
    assert account.room() == 3


def test_a_session_that_wants_no_more_does_not_brake_the_other() -> None:
    account = Account("k", capacity=4)
    account.attach("broken")
    account.attach("working")
    account.emitted(4)
    account.release("working", 4)
    assert account.room() == 0
    account.refuse("broken")
    assert account.room() == 4
    assert not account.unwanted
    account.refuse("working")
    assert account.unwanted
    assert account.room() == 0


def test_drained_means_ended_and_taken() -> None:
    account = Account("k")
    account.attach("a")
    account.put(piece("a", 1))
    account.session_ended("a")
    assert not account.drained
    assert [p.start_us for p in account.take()] == [1]
    assert account.drained


def test_too_many_waiting_pieces_congest() -> None:
    account = Account("k")
    for number in range(PIECES_CAPACITY):
        assert not account.congested
        account.put(piece("a", number))
    assert account.congested
    account.take()
    assert not account.congested


def test_no_piece_is_lost_between_threads() -> None:
    account = Account("k")
    per_thread = 2000
    taken: list[Piece] = []

    def put(step_id: str) -> None:
        for number in range(per_thread):
            account.put(piece(step_id, number))

    writers = [threading.Thread(target=put, args=(name,)) for name in ("a", "b")]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        taken += account.take()
    taken += account.take()
    for name in ("a", "b"):
        assert [p.start_us for p in taken if p.step_id == name] == list(range(per_thread))


def test_a_new_account_takes_the_place_and_the_old_cannot_close_it() -> None:
    ledger = Ledger()
    old, new = Account("k"), Account("k")
    ledger.open(old)
    ledger.open(new)
    ledger.close(old)
    assert ledger.account("k") is new
    new.emitted(3)
    assert ledger.frames_emitted("k") == 3
    ledger.close(new)
    assert ledger.account("k") is None
    assert ledger.frames_emitted("k") == 3
