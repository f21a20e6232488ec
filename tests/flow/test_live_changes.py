"""A live stream is held, asked something else, read elsewhere, taken out and brought back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from live_rig import BEGUN_US, QueueReader, Rig, frame, kinds

from overshoot_flow.assignment import Assignment
from overshoot_flow.config import Inference, Secret, Service
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.items import Assigned, EndOfMedia, MediaGap, Tick
from overshoot_flow.media.frames import Frame
from overshoot_flow.results import GapReason, Piece, Usage
from overshoot_flow.session.ledger import Hold

ASSIGNMENT = Assignment(
    inference=Inference(prompt="?"), services=(Service(key=Secret("ovs-hidden")),)
)


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    rig.next()
    rig.account.attach("ask")
    yield rig
    rig.partition.close()


def gap_of(rig: Rig) -> tuple[int, int, GapReason]:
    gaps = [item for item in rig.next() if isinstance(item, MediaGap)]
    assert len(gaps) == 1
    return gaps[0].start_us, gaps[0].end_us, gaps[0].reason


def test_an_assignment_comes_once_and_before_everything_else(rig: Rig) -> None:
    rig.partition.assign(ASSIGNMENT)
    rig.queue.put(frame(0))
    assert kinds(rig.next()) == [Assigned, Frame]
    assert rig.next() == []
    rig.partition.assign(ASSIGNMENT)
    assert kinds(rig.next()) == [Assigned]


def test_while_a_session_wants_no_frames_the_time_is_a_gap_with_its_reason(rig: Rig) -> None:
    rig.queue.put(frame(0))
    rig.next()
    rig.account.hold("ask", Hold(GapReason.SLOT, "all in use"))
    rig.queue.put(frame(1))
    rig.clock.now_us = BEGUN_US + 2500
    # What was read and not handed over is part of the gap, and counted.
    rig.next()
    rig.queue.put(frame(3))
    rig.clock.now_us = BEGUN_US + 4000
    assert not [item for item in rig.next() if isinstance(item, Frame)]
    rig.account.hold("ask", None)
    rig.next()
    rig.queue.put(frame(5))
    items = rig.next()
    gaps = [item for item in items if isinstance(item, MediaGap)]
    assert [(g.start_us, g.end_us, g.reason) for g in gaps] == [(1000, 5000, GapReason.SLOT)]
    assert items[-1] == frame(5)


def test_frames_come_as_long_as_one_of_several_sessions_wants_them(rig: Rig) -> None:
    rig.account.attach("other")
    rig.account.hold("ask", Hold(GapReason.SLOT, ""))
    rig.queue.put(frame(0))
    assert kinds(rig.next()) == [Frame]
    rig.account.hold("other", Hold(GapReason.BUDGET, ""))
    rig.queue.put(frame(1))
    assert Frame not in kinds(rig.next())


def test_an_outage_while_on_hold_is_an_outage(rig: Rig) -> None:
    rig.queue.put(frame(0))
    rig.next()
    rig.account.hold("ask", Hold(GapReason.SLOT, ""))
    rig.clock.now_us = BEGUN_US + 1000
    rig.next()
    rig.queue.lose(3000, GapReason.OUTAGE, "gone")
    rig.queue.put(frame(6))
    rig.queue.lose(8000, GapReason.OUTAGE, "gone")
    items = rig.next()
    gaps = [item for item in items if isinstance(item, MediaGap)]
    assert [(g.start_us, g.end_us, g.reason) for g in gaps] == [
        (1000, 3000, GapReason.SLOT),
        (3000, 6000, GapReason.OUTAGE),
        (6000, 8000, GapReason.SLOT),
    ]


def test_another_reader_goes_on_where_the_first_one_ended(rig: Rig) -> None:
    first = rig.reader
    assert first is not None
    rig.queue.put(frame(0))
    rig.next()
    started: list[tuple[int, int]] = []

    def open_second(start_us: int, anchor_us: int) -> QueueReader:
        started.append((start_us, anchor_us))
        rig.reader = QueueReader(start_us)
        return rig.reader

    rig.partition.replace_reader("rtsp://other", open_second)
    rig.clock.now_us = BEGUN_US + 4000
    assert gap_of(rig) == (1000, 4000, GapReason.CHANGED)
    assert started == [(4000, BEGUN_US)]
    rig.queue.put(frame(6))
    gap, shown = rig.next()
    assert isinstance(gap, MediaGap)
    assert (gap.start_us, gap.end_us, gap.source) == (4000, 6000, "rtsp://other")
    assert shown == frame(6)


def test_a_reader_that_comes_while_on_hold_is_on_hold_too(rig: Rig) -> None:
    rig.account.hold("ask", Hold(GapReason.SLOT, ""))
    rig.next()

    def open_second(start_us: int, _anchor_us: int) -> QueueReader:
        rig.reader = QueueReader(start_us)
        return rig.reader

    rig.partition.replace_reader("rtsp://other", open_second)
    rig.clock.now_us = BEGUN_US + 1000
    rig.next()
    rig.next()
    rig.queue.put(frame(3))
    assert Frame not in kinds(rig.next())


def test_a_stream_that_was_taken_out_comes_back_with_a_gap_that_says_so() -> None:
    first = Rig()
    first.next()
    first.account.attach("ask")
    first.queue.put(frame(0))
    first.next()
    first.partition.remove("it is not in the fleet any more")
    first.clock.now_us = BEGUN_US + 3000
    gap, end = first.next()
    assert isinstance(gap, MediaGap)
    assert (gap.start_us, gap.end_us, gap.reason) == (1000, 3000, GapReason.REMOVED)
    assert isinstance(end, EndOfMedia)
    first.settle(0, 3000, 1)
    first.account.session_ended("ask")
    assert kinds(first.next()) == [Tick]
    with pytest.raises(StopIteration):
        first.next()
    state = first.partition.snapshot()
    first.partition.close()

    second = Rig(state, at_us=BEGUN_US + 9000)
    gap, _ = second.next()
    assert isinstance(gap, MediaGap)
    assert (gap.start_us, gap.end_us, gap.reason) == (3000, 9000, GapReason.REMOVED)
    second.partition.close()


def test_what_is_spent_is_part_of_the_state(rig: Rig) -> None:
    charge = Usage(
        stream_key="cam",
        source="rtsp://cam",
        stream_id="s",
        model="m",
        at_us=0,
        seconds_charged=15.0,
        cost_cents=0.5,
        credits_remaining_cents=None,
    )
    for _ in range(3):
        rig.account.put(
            Piece(step_id="ask", stream_key="cam", start_us=0, end_us=0, outcomes=(charge,))
        )
        rig.next()
    state = rig.partition.snapshot()
    assert "ovs-hidden" not in repr(state)
    again = Rig(state)
    assert again.account.spending.spent_cents == 1.5
    again.partition.close()


def test_the_state_of_another_version_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="another version"):
        Rig({"camera": 1, "anchor_us": 0, "ended_us": None, "steps": {}})
