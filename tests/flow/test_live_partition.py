"""A live partition without a camera: brakes, gaps, accounting, and going on after a crash."""

from __future__ import annotations

import pytest
from live_rig import BEGUN_US, Rig, frame, kinds

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.items import EndOfMedia, Item, MediaGap, Tick
from overshoot_flow.flow.live_partition import FRAMES_UNDER_WAY
from overshoot_flow.flow.stopping import STOP
from overshoot_flow.flow.unfinished import unfinished
from overshoot_flow.media.frames import Frame
from overshoot_flow.results import GapReason
from overshoot_flow.session.position import Position


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
