"""The source side of the drain token, without a service: order, brake, turns and endings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from overshoot_flow.errors import MediaError
from overshoot_flow.flow.items import EndOfMedia, MediaGap, Tick
from overshoot_flow.flow.partition import ReaderPartition, Turnstile
from overshoot_flow.flow.stopping import STOP
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.reader import MediaProblem
from overshoot_flow.results import GapReason, Piece
from overshoot_flow.session.ledger import LEDGER, UNATTACHED_BATCH, Account


def frame(number: int) -> Frame:
    return Frame(
        stream_key="k",
        source="s",
        pts_us=number * 1000,
        duration_us=1000,
        width=2,
        height=2,
        data=bytes(6),
    )


class ListReader:
    """A reader that has everything ready."""

    def __init__(self, items: Sequence[Frame | MediaProblem]) -> None:
        self.items = list(items)
        self.closed = 0

    def poll(self, max_frames: int) -> list[Frame | MediaProblem]:
        taken, self.items = self.items[:max_frames], self.items[max_frames:]
        return taken

    @property
    def exhausted(self) -> bool:
        return not self.items

    def close(self) -> None:
        self.closed += 1


def partition(
    reader: ListReader, key: str = "k", turnstile: Turnstile | None = None
) -> ReaderPartition:
    return ReaderPartition(key, "s", lambda _start_us: reader, turnstile or Turnstile(1))


def account_of(key: str = "k") -> Account:
    account = LEDGER.account(key)
    assert account is not None
    return account


def piece(start_us: int, end_us: int | None = None) -> Piece:
    return Piece(
        step_id="a", stream_key="k", start_us=start_us, end_us=end_us or start_us + 1, outcomes=()
    )


HEARTBEAT = Tick(stream_key="k", frames_emitted=0, pieces=())


def run_out(source: ReaderPartition) -> None:
    """Activate `source`, which has nothing more to say, until it stops."""
    try:
        for _ in range(10):
            assert source.next_batch() == []
    except StopIteration:
        return
    pytest.fail("it never stopped")


def test_without_infer_the_media_ends_by_itself() -> None:
    source = partition(ListReader([frame(0)]))
    assert [type(item) for item in source.next_batch()] == [Frame, Tick, EndOfMedia]
    run_out(source)
    source.close()


def test_every_epoch_has_a_tick_even_without_pieces() -> None:
    taken = Turnstile(1)
    assert taken.try_enter()
    source = partition(ListReader([frame(0)]), turnstile=taken)
    for _ in range(3):
        assert source.next_batch() == [HEARTBEAT]
        assert source.next_batch() == []
        source.snapshot()
    source.close()


def test_a_tick_with_pieces_is_enough_for_an_epoch() -> None:
    taken = Turnstile(1)
    assert taken.try_enter()
    source = partition(ListReader([]), turnstile=taken)
    account_of().attach("a")
    account_of().put(piece(1))
    assert source.next_batch() == [replace(HEARTBEAT, pieces=(piece(1),))]
    assert source.next_batch() == []
    source.close()


def test_the_first_batch_is_small_and_then_the_session_brakes() -> None:
    source = partition(ListReader([frame(n) for n in range(100)]))
    assert len(source.next_batch()) == UNATTACHED_BATCH + len([HEARTBEAT])
    account = account_of()
    account.attach("a")
    assert len(source.next_batch()) == account.capacity - UNATTACHED_BATCH
    assert source.next_batch() == []
    account.release("a", 3)
    assert len(source.next_batch()) == 3
    source.close()


def test_it_ticks_until_everything_is_answered() -> None:
    source = partition(ListReader([frame(0)]))
    source.next_batch()
    account = account_of()
    account.attach("a")
    assert source.next_batch() == []
    account.put(piece(1))
    assert source.next_batch() == [Tick(stream_key="k", frames_emitted=1, pieces=(piece(1),))]
    account.put(piece(2))
    account.session_ended("a")
    assert source.next_batch() == [Tick(stream_key="k", frames_emitted=1, pieces=(piece(2),))]
    with pytest.raises(StopIteration):
        source.next_batch()
    source.close()


def test_frames_come_before_the_tick_that_counts_them() -> None:
    source = partition(ListReader([frame(0), frame(1)]))
    account_of().attach("a")
    account_of().put(piece(1))
    assert [type(item) for item in source.next_batch()] == [Frame, Frame, Tick, EndOfMedia]
    source.close()


def test_a_wish_to_stop_ends_the_reading_but_not_the_answers() -> None:
    reader = ListReader([frame(n) for n in range(100)])
    source = partition(reader)
    source.next_batch()
    account_of().attach("a")
    STOP.set()
    (end,) = source.next_batch()
    assert end == EndOfMedia(stream_key="k", frames_emitted=UNATTACHED_BATCH)
    account_of().put(piece(1))
    assert [type(item) for item in source.next_batch()] == [Tick]
    source.close()


def test_failed_sessions_end_the_reading() -> None:
    source = partition(ListReader([frame(n) for n in range(100)]))
    source.next_batch()
    account_of().attach("a")
    account_of().refuse("a")
    assert [type(item) for item in source.next_batch()] == [EndOfMedia]
    source.close()


def test_what_cannot_be_read_is_a_gap() -> None:
    problem = MediaProblem(start_us=5, end_us=7, detail="damaged")
    source = partition(ListReader([frame(0), problem]))
    assert source.next_batch()[1] == MediaGap(
        stream_key="k", source="s", start_us=5, end_us=7, detail="damaged"
    )
    source.close()


def test_a_file_that_cannot_be_opened_is_a_gap_and_an_end() -> None:
    def fail(_start_us: int) -> ListReader:
        raise MediaError("no video in it")

    source = ReaderPartition("k", "s", fail, Turnstile(1))
    gap, tick, end = source.next_batch()
    assert isinstance(gap, MediaGap)
    assert tick == HEARTBEAT
    assert gap.detail == "no video in it"
    assert isinstance(end, EndOfMedia)
    source.close()


def test_partitions_take_turns() -> None:
    turnstile = Turnstile(1)
    first_reader, second_reader = ListReader([frame(0)]), ListReader([frame(0)])
    first = partition(first_reader, "one", turnstile)
    second = partition(second_reader, "two", turnstile)
    assert [type(item) for item in first.next_batch()] == [Frame, Tick, EndOfMedia]
    assert [type(item) for item in second.next_batch()] == [Tick]
    run_out(first)
    assert first_reader.closed == 1
    assert [type(item) for item in second.next_batch()] == [Frame, EndOfMedia]
    first.close()
    second.close()
    assert turnstile.try_enter()
    assert not turnstile.try_enter()


def test_a_resumed_partition_reads_on_from_the_first_unfinished_sample() -> None:
    first = partition(ListReader([frame(n) for n in range(8)]))
    first.next_batch()
    account_of().attach("a")
    account_of().put(piece(0, 3000))
    account_of().put(piece(5000, 6000))
    first.next_batch()
    state = first.snapshot()
    first.close()

    opened_at: list[int] = []

    def open_reader(start_us: int) -> ListReader:
        opened_at.append(start_us)
        return ListReader([frame(n) for n in range(start_us // 1000, 8)])

    second = ReaderPartition("k", "s", open_reader, Turnstile(1), state=state)
    items = second.next_batch()
    assert opened_at == [3000]
    assert [item.pts_us for item in items if isinstance(item, Frame)] == [3000, 4000, 6000, 7000]
    assert account_of().frames_emitted == 4
    assert account_of().finished_before("a", 5000)
    second.close()


def test_changed_media_is_reported_and_not_read() -> None:
    reader = ListReader([frame(0)])
    source = ReaderPartition(
        "k",
        "s",
        lambda _start_us: reader,
        Turnstile(1),
        refused=(GapReason.SOURCE_CHANGED, "the file was replaced"),
    )
    gap, tick, end = source.next_batch()
    assert isinstance(gap, MediaGap)
    assert tick == HEARTBEAT
    assert (gap.reason, gap.detail) == (GapReason.SOURCE_CHANGED, "the file was replaced")
    assert isinstance(end, EndOfMedia)
    source.close()
