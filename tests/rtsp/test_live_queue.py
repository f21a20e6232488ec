"""What comes out of a camera's queue covers every moment and counts every frame."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.media.access_units import AccessUnit, Picture
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


def unit(pts_us: int, duration_us: int = 100, *, key: bool = False) -> AccessUnit:
    return AccessUnit(
        stream_key="k",
        source="s",
        pts_us=pts_us,
        duration_us=duration_us,
        codec="h264",
        width=2,
        height=2,
        is_keyframe=key,
        data=b"\x00\x00\x01\x65",
    )


def queue(
    max_frames: int = 4, max_bytes: int = 1000, report_us: int = 10**9, max_access_units: int = 4
) -> LiveQueue:
    return LiveQueue(
        0,
        max_frames=max_frames,
        max_bytes=max_bytes,
        report_us=report_us,
        max_access_units=max_access_units,
    )


def gaps(items: list[Picture | LiveGap]) -> list[tuple[int, int, GapReason, int]]:
    return [
        (item.start_us, item.end_us, item.reason, item.frames_lost)
        for item in items
        if isinstance(item, LiveGap)
    ]


def test_the_first_gap_has_its_reason_until_another_one_is_known() -> None:
    live = LiveQueue(0, max_frames=4, max_bytes=1000, first_gap=GapReason.CHANGED)
    live.lose(40, GapReason.OUTAGE, "connection refused")
    live.put(frame(100))
    assert gaps(live.poll(9, 9, 200)) == [
        (0, 40, GapReason.CHANGED, 0),
        (40, 100, GapReason.OUTAGE, 0),
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


def test_a_dropped_access_unit_takes_those_along_that_need_it() -> None:
    record = queue(max_access_units=5)
    for number in range(8):
        record.put(unit(number * 100, key=number in (0, 4)))
    items = record.poll(9, 9, 800)
    assert gaps(items) == [(0, 400, GapReason.DROPPED, 4)]
    assert [item.pts_us for item in items if isinstance(item, AccessUnit)] == [400, 500, 600, 700]


def test_without_a_key_frame_all_are_dropped_until_one_comes() -> None:
    record = queue(max_access_units=3)
    for number in range(5):
        record.put(unit(number * 100, key=number == 0))
    # More are to come that nobody can use: they become one gap.
    assert record.poll(9, 9, 500) == []
    record.put(unit(500, key=True))
    assert gaps(record.poll(9, 9, 600)) == [(0, 500, GapReason.DROPPED, 5)]
    assert record.given_up == {GapReason.DROPPED: 5}


def test_after_a_pause_access_units_begin_with_a_key_frame() -> None:
    record = queue()
    record.put(unit(0, key=True))
    record.pause(100, GapReason.SLOT, "no slot")
    assert record.paused
    record.put(unit(100))
    record.put(unit(200, key=True))
    record.go_on()
    record.put(unit(300))
    record.put(unit(400, key=True))
    assert gaps(record.poll(9, 9, 500)) == [(0, 400, GapReason.SLOT, 2)]


def test_a_key_frame_of_the_past_is_left_out_with_those_that_need_it() -> None:
    record = LiveQueue(250, max_frames=4, max_bytes=1000)
    for number in range(5):
        record.put(unit(number * 100, key=number in (0, 4)))
    assert gaps(record.poll(9, 9, 500)) == [(250, 400, GapReason.OUTAGE, 2)]


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
        st.sampled_from(
            [
                *("frame", "key", "unit", "unit", "hole", "lose", "give_up", "poll", "poll_gaps"),
                *("pause", "go_on"),
            ]
        ),
        st.integers(1, 300),
    ),
    max_size=80,
)


def bring(record: LiveQueue, what: str, now_us: int, duration_us: int) -> None:
    """A picture comes."""
    if what == "frame":
        record.put(frame(now_us, duration_us))
    elif what == "give_up":
        record.give_up(frame(now_us, duration_us), GapReason.FROZEN, "")
    else:
        record.put(unit(now_us, duration_us, key=what == "key"))


@settings(max_examples=400, deadline=None)
@given(STEPS)
def test_whatever_happens_every_moment_and_every_picture_comes_out(
    steps: list[tuple[str, int]],
) -> None:
    record = queue(max_frames=3, report_us=500)
    now_us = put = 0
    out: list[Picture | LiveGap] = []
    for what, amount in steps:
        if what in ("frame", "key", "unit", "give_up"):
            put += not record.paused
            bring(record, what, now_us, amount)
            now_us += amount
        elif what == "pause":
            record.pause(now_us, GapReason.SLOT, "")
        elif what == "go_on":
            record.go_on()
        elif what == "hole":
            now_us += amount
        elif what == "lose":
            record.lose(now_us, (GapReason.OUTAGE, GapReason.STALLED)[amount % 2], "")
        else:
            out += record.poll(2 if what == "poll" else 0, 2, now_us)
    record.end(now_us + 1, GapReason.STOPPED, "")
    while not record.exhausted:
        out += record.poll(1, 1, now_us + 1)
    check(out, until_us=now_us + 1, pictures=put)


def check(out: list[Picture | LiveGap], *, until_us: int, pictures: int) -> None:
    """No moment is left out, every picture is counted, every access unit can be decoded."""
    covered_us = counted = 0
    can_follow = False
    for item in out:
        start_us = item.start_us if isinstance(item, LiveGap) else item.pts_us
        end_us = item.end_us if isinstance(item, LiveGap) else item.pts_us + item.duration_us
        if isinstance(item, AccessUnit):
            assert item.is_keyframe or can_follow
        can_follow = isinstance(item, AccessUnit)
        assert start_us == covered_us
        assert end_us > start_us
        covered_us = end_us
        counted += item.frames_lost if isinstance(item, LiveGap) else 1
    assert covered_us == until_us
    assert counted == pictures
