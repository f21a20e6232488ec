"""What comes out of a camera's queue covers every moment and counts every frame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.live_queue import MAX_ADJACENT_GAPS, LiveGap, LiveQueue
from overshoot_flow.results import GapReason


def frame(pts_us: int, duration_us: int = 100) -> Frame:
    return Frame(
        stream_key="k",
        source="s",
        pts_us=pts_us,
        duration_us=duration_us,
        width=2,
        height=2,
        data=bytes(6),
    )


def queue(max_frames: int = 4, max_bytes: int = 1000, report_us: int = 10**9) -> LiveQueue:
    return LiveQueue(0, max_frames=max_frames, max_bytes=max_bytes, report_us=report_us)


def gaps(items: list[Frame | LiveGap]) -> list[tuple[int, int, GapReason, int]]:
    return [
        (item.start_us, item.end_us, item.reason, item.frames_lost)
        for item in items
        if isinstance(item, LiveGap)
    ]


def test_time_before_the_first_frame_is_an_outage() -> None:
    record = queue()
    record.put(frame(500))
    first, second = record.poll(9, 9, 600)
    assert gaps([first]) == [(0, 500, GapReason.OUTAGE, 0)]
    assert second == frame(500)


def test_frames_that_follow_each_other_have_no_gap_between() -> None:
    record = queue()
    for pts_us in (0, 100, 200):
        record.put(frame(pts_us))
    assert gaps(record.poll(9, 9, 300)) == []


def test_a_hole_is_a_gap_with_the_reason_of_the_loss() -> None:
    record = queue()
    record.put(frame(0))
    record.lose(100, GapReason.STALLED, "mute")
    record.lose(300, GapReason.OUTAGE, "refused")
    record.lose(400, GapReason.OUTAGE, "refused again")
    record.put(frame(700))
    assert gaps(record.poll(9, 9, 800)) == [
        (100, 300, GapReason.STALLED, 0),
        (300, 700, GapReason.OUTAGE, 0),
    ]


def test_the_newest_frames_win_and_the_oldest_are_one_gap() -> None:
    record = queue(max_frames=3)
    for number in range(10):
        record.put(frame(number * 100))
    assert record.poll(0, 9, 1000) == []
    items = record.poll(9, 9, 1000)
    assert gaps(items) == [(0, 700, GapReason.DROPPED, 7)]
    assert [item.pts_us for item in items if isinstance(item, Frame)] == [700, 800, 900]
    assert record.given_up == {GapReason.DROPPED: 7}


def test_pixels_are_bounded_too_and_one_frame_always_fits() -> None:
    record = queue(max_bytes=5)
    for number in range(3):
        record.put(frame(number * 100))
    items = record.poll(9, 9, 300)
    assert gaps(items) == [(0, 200, GapReason.DROPPED, 2)]
    assert items[-1] == frame(200)


def test_a_long_gap_is_reported_in_parts() -> None:
    record = queue(report_us=1000)
    assert record.poll(9, 9, 999) == []
    assert gaps(record.poll(9, 9, 1500)) == [(0, 1500, GapReason.OUTAGE, 0)]
    record.put(frame(1700))
    assert gaps(record.poll(9, 9, 1800)) == [(1500, 1700, GapReason.OUTAGE, 0)]


def test_frozen_pictures_are_one_gap_that_grows() -> None:
    record = queue(report_us=350)
    for number in range(5):
        record.give_up(frame(number * 100), GapReason.FROZEN, "the same picture")
        expected = [(0, 400, GapReason.FROZEN, 4)] if number == 3 else []
        assert gaps(record.poll(9, 9, 0)) == expected
    record.put(frame(500))
    assert gaps(record.poll(9, 9, 600)) == [(400, 500, GapReason.FROZEN, 1)]


def test_gaps_wait_when_there_is_no_room_for_them() -> None:
    record = queue()
    record.put(frame(500))
    assert record.poll(9, 0, 600) == []
    assert len(record.poll(9, 1, 600)) == 2


def test_gaps_in_a_row_are_bounded() -> None:
    record = queue()
    reasons = (GapReason.STALLED, GapReason.OUTAGE)
    for number in range(1, 1000):
        record.lose(number * 10, reasons[number % 2], "")
    record.put(frame(10_000))
    found = gaps(record.poll(9, 10**6, 10_000))
    assert len(found) == MAX_ADJACENT_GAPS
    assert (found[0][0], found[-1][1]) == (0, 10_000)


def test_the_end_gives_up_what_is_waiting_and_closes_the_record() -> None:
    record = queue()
    record.put(frame(0))
    record.put(frame(100))
    record.end(450, GapReason.STOPPED, "stopped")
    record.put(frame(500))
    assert not record.exhausted
    assert gaps(record.poll(0, 9, 600)) == [(0, 450, GapReason.STOPPED, 2)]
    assert record.exhausted


def test_an_outage_is_an_outage_until_the_end() -> None:
    record = queue()
    record.put(frame(0))
    assert len(record.poll(9, 9, 0)) == 1
    record.lose(100, GapReason.OUTAGE, "gone")
    record.end(450, GapReason.STOPPED, "stopped")
    assert gaps(record.poll(0, 9, 600)) == [(100, 450, GapReason.OUTAGE, 0)]


def test_bounds_are_checked() -> None:
    with pytest.raises(ConfigurationError):
        queue(max_frames=0)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "hole", "lose", "give_up", "poll", "poll_gaps"]),
        st.integers(1, 300),
    ),
    max_size=80,
)


@given(STEPS)
def test_whatever_happens_every_moment_and_every_frame_comes_out(
    steps: list[tuple[str, int]],
) -> None:
    record = queue(max_frames=3, report_us=500)
    now_us = put = 0
    out: list[Frame | LiveGap] = []
    for what, amount in steps:
        if what in ("put", "give_up"):
            put += 1
            if what == "put":
                record.put(frame(now_us, amount))
            else:
                record.give_up(frame(now_us, amount), GapReason.FROZEN, "")
            now_us += amount
        elif what == "hole":
            now_us += amount
        elif what == "lose":
            record.lose(now_us, (GapReason.OUTAGE, GapReason.STALLED)[amount % 2], "")
        else:
            out += record.poll(2 if what == "poll" else 0, 2, now_us)
    record.end(now_us + 1, GapReason.STOPPED, "")
    while not record.exhausted:
        out += record.poll(1, 1, now_us + 1)

    covered_us = counted = 0
    for item in out:
        start_us = item.pts_us if isinstance(item, Frame) else item.start_us
        end_us = item.pts_us + item.duration_us if isinstance(item, Frame) else item.end_us
        assert start_us == covered_us
        assert end_us > start_us
        covered_us = end_us
        counted += 1 if isinstance(item, Frame) else item.frames_lost
    assert covered_us == now_us + 1
    assert counted == put
