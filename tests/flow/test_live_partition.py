"""A live partition without a camera: brakes, gaps, accounting, and going on after a crash."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.items import EndOfMedia, Item, MediaGap, Tick
from overshoot_flow.flow.live_partition import FRAMES_UNDER_WAY, LivePartition, unfinished
from overshoot_flow.flow.stopping import STOP
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.live_queue import LiveGap, LiveQueue
from overshoot_flow.results import GapReason, Piece
from overshoot_flow.session.clock import SteadyUtc
from overshoot_flow.session.ledger import LEDGER, Account
from overshoot_flow.session.position import Position

BEGUN_US = 1_800_000_000_000_000


class ChosenClock:
    """Both clocks, moved by hand."""

    def __init__(self, now_us: int = BEGUN_US) -> None:
        self.now_us = now_us

    def monotonic_s(self) -> float:
        return self.now_us / 1_000_000

    def wall_us(self) -> int:
        return self.now_us


class QueueReader:
    """A camera's queue, filled by hand."""

    def __init__(self, start_us: int) -> None:
        self.queue = LiveQueue(start_us, max_frames=4, max_bytes=10**6)
        self.closed = 0

    def poll(self, max_frames: int, max_gaps: int, now_us: int) -> list[Frame | LiveGap]:
        return self.queue.poll(max_frames, max_gaps, now_us)

    def stop(self, now_us: int, reason: GapReason, detail: str) -> None:
        self.queue.end(now_us, reason, detail)

    @property
    def exhausted(self) -> bool:
        return self.queue.exhausted

    def close(self) -> None:
        self.closed += 1


class Rig:
    """A partition with its reader and clock."""

    def __init__(self, state: dict[str, object] | None = None, at_us: int = BEGUN_US) -> None:
        self.clock = ChosenClock(at_us)
        self.reader: QueueReader | None = None
        self.anchor_us = -1
        self.partition = LivePartition(
            "cam", "rtsp://cam", self._open, clock=SteadyUtc(self.clock), state=state
        )

    def _open(self, start_us: int, anchor_us: int) -> QueueReader:
        self.reader, self.anchor_us = QueueReader(start_us), anchor_us
        return self.reader

    @property
    def queue(self) -> LiveQueue:
        assert self.reader is not None
        return self.reader.queue

    @property
    def account(self) -> Account:
        account = LEDGER.account("cam")
        assert account is not None
        return account

    def next(self) -> list[Item]:
        return self.partition.next_batch()

    def settle(self, start_us: int, end_us: int, frames: int = 0) -> None:
        self.account.release("ask", frames)
        self.account.put(
            Piece(step_id="ask", stream_key="cam", start_us=start_us, end_us=end_us, outcomes=())
        )


@pytest.fixture(autouse=True)
def nobody_asked_to_stop() -> Iterator[None]:
    STOP.clear()
    yield
    STOP.clear()


def frame(number: int) -> Frame:
    return Frame(
        stream_key="cam",
        source="rtsp://cam",
        pts_us=number * 1000,
        duration_us=1000,
        width=2,
        height=2,
        data=bytes(6),
    )


def kinds(items: list[Item]) -> list[type]:
    return [type(item) for item in items]


def test_media_time_begins_with_the_partition() -> None:
    rig = Rig()
    rig.clock.now_us += 500
    assert kinds(rig.next()) == [Tick]
    assert rig.anchor_us == BEGUN_US
    rig.queue.put(frame(2))
    gap, first = rig.next()
    assert first == frame(2)
    assert gap == MediaGap(
        stream_key="cam",
        source="rtsp://cam",
        start_us=0,
        end_us=2000,
        reason=GapReason.OUTAGE,
        detail="not connected yet",
    )
    rig.partition.close()
    assert rig.reader is not None
    assert rig.reader.closed == 1


def test_a_slow_session_gets_the_newest_frames_and_a_gap_that_counts_the_others() -> None:
    rig = Rig()
    rig.next()
    rig.account.attach("ask")
    for number in range(FRAMES_UNDER_WAY):
        rig.queue.put(frame(number))
    assert kinds(rig.next()) == [Frame] * FRAMES_UNDER_WAY
    for number in range(FRAMES_UNDER_WAY, 50):
        rig.queue.put(frame(number))
        assert rig.next() == []
    assert rig.account.frames_emitted == FRAMES_UNDER_WAY
    rig.account.release("ask", FRAMES_UNDER_WAY)
    gap, *frames = rig.next()
    assert isinstance(gap, MediaGap)
    assert (gap.reason, gap.frames_lost) == (GapReason.DROPPED, 50 - FRAMES_UNDER_WAY - 4)
    assert frames == [frame(number) for number in range(46, 50)]
    assert rig.account.frames_emitted == 50
    rig.partition.close()


def test_gaps_wait_for_a_session_that_records_none() -> None:
    rig = Rig()
    rig.next()
    rig.account.attach("ask")
    reasons = (GapReason.STALLED, GapReason.OUTAGE)
    emitted: list[Item] = []
    for number in range(1, 1000):
        rig.queue.lose(number * 1000, reasons[number % 2], "")
        emitted += rig.next()
    assert 0 < len(emitted) < 20
    first = emitted[0]
    assert isinstance(first, MediaGap)
    rig.settle(first.start_us, first.end_us)
    assert kinds(rig.next()) == [Tick]
    assert kinds(rig.next()) == [MediaGap]
    rig.partition.close()


def test_a_wish_to_stop_ends_the_record_at_that_moment() -> None:
    rig = Rig()
    rig.next()
    rig.account.attach("ask")
    rig.queue.put(frame(0))
    assert kinds(rig.next()) == [Frame]
    rig.clock.now_us += 5000
    STOP.set()
    gap, end = rig.next()
    assert isinstance(gap, MediaGap)
    assert (gap.start_us, gap.end_us, gap.reason) == (1000, 5000, GapReason.STOPPED)
    assert end == EndOfMedia(stream_key="cam", frames_emitted=1)
    assert rig.account.ending
    rig.settle(0, 5000, 1)
    rig.account.session_ended("ask")
    assert kinds(rig.next()) == [Tick]
    with pytest.raises(StopIteration):
        rig.next()
    rig.partition.close()


def test_a_failed_session_ends_the_record() -> None:
    rig = Rig()
    rig.next()
    rig.account.attach("ask")
    rig.account.refuse("ask")
    rig.clock.now_us += 5000
    assert kinds(rig.next()) == [MediaGap, EndOfMedia]
    rig.partition.close()


def test_after_a_crash_what_was_unfinished_is_a_gap_up_to_the_new_start() -> None:
    first = Rig()
    first.next()
    first.account.attach("ask")
    for number in range(4):
        first.queue.put(frame(number))
    first.next()
    first.settle(0, 2000, 2)
    first.next()
    state = first.partition.snapshot()
    first.partition.close()

    second = Rig(state, at_us=BEGUN_US + 60_000_000)
    gap, _ = second.next()
    assert second.anchor_us == BEGUN_US
    assert isinstance(gap, MediaGap)
    assert (gap.start_us, gap.end_us, gap.reason) == (2000, 60_000_000, GapReason.CRASH)
    second.account.attach("ask")
    second.clock.now_us += 1000
    second.queue.put(frame(60_001))
    assert second.next() == [
        MediaGap(
            stream_key="cam",
            source="rtsp://cam",
            start_us=60_000_000,
            end_us=60_001_000,
            reason=GapReason.OUTAGE,
            detail="not connected yet",
        ),
        frame(60_001),
    ]
    second.partition.close()


def test_after_an_orderly_stop_the_time_until_the_new_start_is_no_crash() -> None:
    first = Rig()
    first.next()
    first.account.attach("ask")
    first.clock.now_us += 5000
    STOP.set()
    first.next()
    first.settle(0, 5000)
    first.next()
    state = first.partition.snapshot()
    first.partition.close()

    STOP.clear()
    second = Rig(state, at_us=BEGUN_US + 9000)
    gap, _ = second.next()
    assert isinstance(gap, MediaGap)
    assert (gap.start_us, gap.end_us, gap.reason) == (5000, 9000, GapReason.STOPPED)
    second.partition.close()


def test_a_wall_clock_that_was_set_back_puts_nothing_into_the_past() -> None:
    first = Rig()
    first.next()
    first.account.attach("ask")
    first.settle(0, 70_000_000)
    first.next()
    state = first.partition.snapshot()
    first.partition.close()
    second = Rig(state, at_us=BEGUN_US + 1_000_000)
    items = second.next()
    assert [item.start_us for item in items if isinstance(item, MediaGap)] == [70_000_000]
    second.partition.close()


def test_a_state_of_a_file_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="begin anew"):
        Rig({"identity": {}, "steps": {}})


def test_what_is_unfinished_is_cut_where_any_step_changes() -> None:
    one, two = Position(prefix_us=10), Position(prefix_us=30)
    one.finish(40, 50)
    two.finish(40, 50)
    two.finish(60, 70)
    assert unfinished([one, two], 100, 80) == [
        (10, 30),
        (30, 40),
        (50, 60),
        (60, 70),
        (70, 80),
        (80, 100),
    ]
    assert unfinished([], 100, None) == [(0, 100)]
