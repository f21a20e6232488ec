"""Progress by step: what a resumed source must read again, and for whom."""

from __future__ import annotations

from overshoot_flow.results import Piece
from overshoot_flow.session.progress import Progress


def piece(start_us: int, end_us: int, step_id: str = "a") -> Piece:
    return Piece(step_id=step_id, stream_key="k", start_us=start_us, end_us=end_us, outcomes=())


def emitting(count: int) -> Progress:
    progress = Progress()
    for number in range(count):
        progress.emitted(number * 10)
    return progress


def restored(progress: Progress) -> Progress:
    return Progress.from_state(progress.to_state())


def test_nothing_is_finished_before_any_piece() -> None:
    progress = emitting(5)
    assert restored(progress).start_us == 0
    assert not progress.is_finished(0)


def test_the_start_is_the_first_unfinished_sample_although_times_do_not_touch() -> None:
    progress = emitting(5)
    # Rounded durations leave holes of a microsecond between pieces.
    progress.take([piece(0, 9), piece(10, 19)], {"a"})
    assert progress.start_us == 20
    assert restored(progress).start_us == 20


def test_pieces_out_of_order_are_kept_apart() -> None:
    progress = emitting(5)
    progress.take([piece(20, 29)], {"a"})
    again = restored(progress)
    assert again.start_us == 0
    assert [again.is_finished(n * 10) for n in range(5)] == [False, False, True, False, False]


def test_all_finished_starts_behind_the_last_sample() -> None:
    progress = emitting(3)
    progress.take([piece(0, 100)], {"a"})
    assert restored(progress).start_us > 20


def test_the_slower_step_decides_where_to_read() -> None:
    progress = emitting(4)
    progress.take([piece(0, 30, "a"), piece(0, 10, "b")], {"a", "b"})
    again = restored(progress)
    assert again.start_us == 10
    assert not again.is_finished(20)
    assert again.finished_before("a", 20)
    assert not again.finished_before("b", 20)
    assert not again.finished_before("c", 20)


def test_a_step_that_has_said_nothing_keeps_everything_unfinished() -> None:
    progress = emitting(4)
    progress.take([piece(0, 40, "a")], {"a", "b"})
    assert restored(progress).start_us == 0


def test_memory_stays_bounded_by_what_is_under_way() -> None:
    progress = Progress()
    for number in range(10_000):
        progress.emitted(number * 10)
        progress.take([piece(number * 10, number * 10 + 9)], {"a"})
    assert len(progress._emitted) <= 1
    assert progress.to_state()["a"]["stretches"] == []
