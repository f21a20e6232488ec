"""A camera's time, with made-up packets: drift, jumps, resets, wrong wall clocks."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.media.camera_clock import CameraClock, ClockLimits, PacketTime

ANCHOR_US = 1_800_000_000_000_000
STEP_US = 40_000


def watch(
    clock: CameraClock,
    *,
    begin_us: int,
    count: int,
    pts_us: int = 0,
    rate: float = 1.0,
    wall_offset_us: int | None = None,
    jitter_us: int = 0,
    seed: int = 0,
) -> list[PacketTime]:
    """Packets every 40 ms of arrival; the camera's time stamps run `rate` times as fast."""
    chance = Random(seed)  # noqa: S311 - repeatable on purpose
    arrival_us = 0
    times = []
    for number in range(count):
        due_us = ANCHOR_US + begin_us + number * STEP_US
        arrival_us = max(arrival_us, due_us + chance.randint(0, jitter_us))
        ntp_us = None if wall_offset_us is None else due_us + wall_offset_us
        stamp = clock.stamp(pts_us + round(number * STEP_US * rate), arrival_us, ntp_us)
        times.append(stamp)
    return times


def grows(times: list[PacketTime]) -> bool:
    return all(a.media_us < b.media_us for a, b in pairwise(times))


def test_media_time_begins_at_the_anchor_and_keeps_the_distances() -> None:
    times = watch(CameraClock(ANCHOR_US), begin_us=500_000, count=100, pts_us=123_456)
    assert times[0].media_us == 500_000
    assert {b.media_us - a.media_us for a, b in pairwise(times)} == {STEP_US}
    assert {(time.capture_basis, time.segment) for time in times} == {("arrival", 1)}
    assert times[50].captured_at_us == ANCHOR_US + 500_000 + 50 * STEP_US


def test_jitter_of_the_network_does_not_move_media_time() -> None:
    times = watch(CameraClock(ANCHOR_US), begin_us=0, count=3000, jitter_us=30_000)
    late = times[1000:]
    distances = [b.media_us - a.media_us for a, b in pairwise(late)]
    assert all(abs(distance - STEP_US) <= 20 for distance in distances)
    assert all(abs(t.media_us - n * STEP_US) < 3_000 for n, t in enumerate(times) if n > 1000)


def test_a_packet_without_a_time_stamp_follows_the_one_before() -> None:
    clock = CameraClock(ANCHOR_US)
    first = clock.stamp(None, ANCHOR_US + 1000, None)
    second = clock.stamp(STEP_US, ANCHOR_US + 1000 + STEP_US, None)
    third = clock.stamp(None, ANCHOR_US + 1000 + 2 * STEP_US, None)
    assert [first.media_us, second.media_us, third.media_us] == [1000, 41_000, 81_000]


@pytest.mark.parametrize("jump_us", [-50_000_000, -3_000_000, 3_000_000, 50_000_000])
def test_a_jump_of_the_time_stamps_begins_a_segment_and_leaves_no_hole(jump_us: int) -> None:
    clock = CameraClock(ANCHOR_US)
    before = watch(clock, begin_us=0, count=200, pts_us=60_000_000)
    pts_us = 60_000_000 + 200 * STEP_US + jump_us
    after = watch(clock, begin_us=200 * STEP_US, count=200, pts_us=pts_us)
    assert {time.segment for time in before} == {1}
    assert {time.segment for time in after} == {2}
    assert grows(before + after)
    assert after[0].media_us - before[-1].media_us == STEP_US
    assert clock.health.segments == 2


def test_reordered_pictures_are_no_jump() -> None:
    clock = CameraClock(ANCHOR_US)
    order = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8]
    times = [
        clock.stamp(place * STEP_US, ANCHOR_US + number * STEP_US, None)
        for number, place in enumerate(order)
    ]
    in_order = sorted(times, key=lambda time: time.media_us)
    assert [order[times.index(time)] for time in in_order] == list(range(10))
    assert {time.segment for time in times} == {1}


def test_a_pause_in_which_the_time_stamps_run_on_is_no_jump() -> None:
    clock = CameraClock(ANCHOR_US)
    before = watch(clock, begin_us=0, count=100)
    after = watch(clock, begin_us=30_000_000, count=100, pts_us=30_000_000)
    assert after[-1].segment == 1
    assert after[0].media_us - before[-1].media_us == 30_000_000 - 99 * STEP_US


def test_a_burst_after_a_stalled_network_keeps_its_times() -> None:
    clock = CameraClock(ANCHOR_US)
    watch(clock, begin_us=0, count=100)
    # Four seconds of packets arrive at once.
    late_us = ANCHOR_US + 200 * STEP_US
    burst = [clock.stamp(n * STEP_US, late_us, None) for n in range(100, 200)]
    after = watch(clock, begin_us=200 * STEP_US, count=100, pts_us=200 * STEP_US)
    assert {time.segment for time in burst + after} == {1}
    assert [time.media_us for time in burst] == [n * STEP_US for n in range(100, 200)]
    assert all(time.captured_at_us == ANCHOR_US + time.media_us for time in burst)


def test_a_clock_that_stood_still_is_noticed_after_a_window() -> None:
    clock = CameraClock(ANCHOR_US)
    watch(clock, begin_us=0, count=100)
    times = watch(clock, begin_us=60_000_000, count=600, pts_us=100 * STEP_US)
    assert times[-1].segment == 2
    assert times[-1].media_us == 60_000_000 + 599 * STEP_US
    assert grows(times)


def test_a_new_connection_goes_on_by_arrival() -> None:
    clock = CameraClock(ANCHOR_US)
    before = watch(clock, begin_us=0, count=100)
    clock.disconnected()
    after = watch(clock, begin_us=20_000_000, count=100, pts_us=7)
    assert after[0].media_us == 20_000_000
    assert grows(before + after)


def test_a_picture_delayed_on_connecting_moves_media_time_for_seconds_only() -> None:
    clock = CameraClock(ANCHOR_US)
    clock.stamp(0, ANCHOR_US + 100_000, None)
    times = [
        clock.stamp(n * STEP_US, max(ANCHOR_US + 100_000, ANCHOR_US + n * STEP_US), None)
        for n in range(1, 100)
    ]
    assert grows(times)
    assert times[-1].media_us == 99 * STEP_US


@pytest.mark.parametrize("ppm", [-300, -100, 100, 300])
def test_drift_is_measured_flagged_and_slewed_away(ppm: int) -> None:
    clock = CameraClock(ANCHOR_US)
    times = watch(clock, begin_us=0, count=20_000, rate=1 + ppm / 1e6, jitter_us=10_000)
    health = clock.health
    assert health.drift_ppm == pytest.approx(ppm, abs=15)
    assert health.drift_exceeded == (abs(ppm) > 200)
    assert health.segments == 1
    assert grows(times)
    # Without slewing the distance would be 240 ms at 300 ppm.
    assert abs(times[-1].media_us - 19_999 * STEP_US) < 20_000


def test_drift_is_unknown_at_first() -> None:
    clock = CameraClock(ANCHOR_US)
    watch(clock, begin_us=0, count=500)
    assert clock.health.drift_ppm is None


def test_sender_reports_give_the_capture_time() -> None:
    clock = CameraClock(ANCHOR_US)
    times = watch(clock, begin_us=0, count=10, wall_offset_us=-80_000)
    assert {time.capture_basis for time in times} == {"ntp"}
    assert times[3].captured_at_us == ANCHOR_US + 3 * STEP_US - 80_000
    assert clock.health.offset_s == pytest.approx(-0.08)


def test_a_wrong_wall_clock_is_flagged_and_not_used() -> None:
    clock = CameraClock(ANCHOR_US)
    times = watch(clock, begin_us=0, count=10, wall_offset_us=-3600_000_000)
    assert {time.capture_basis for time in times} == {"arrival"}
    assert times[3].captured_at_us == ANCHOR_US + 3 * STEP_US
    assert clock.health.offset_exceeded


@given(
    st.lists(
        st.tuples(st.integers(-(10**9), 10**9) | st.none(), st.integers(0, 20_000_000)),
        min_size=2,
        max_size=60,
    )
)
def test_whatever_comes_a_new_segment_lies_after_the_old_one(
    packets: list[tuple[int | None, int]],
) -> None:
    clock = CameraClock(ANCHOR_US)
    arrival_us = ANCHOR_US
    newest: dict[int, int] = {}
    for pts_us, wait_us in packets:
        arrival_us += wait_us
        time = clock.stamp(pts_us, arrival_us, None)
        older = [media_us for segment, media_us in newest.items() if segment < time.segment]
        if time.segment not in newest:
            assert all(time.media_us > media_us for media_us in older)
        newest[time.segment] = max(newest.get(time.segment, time.media_us), time.media_us)
        assert time.captured_at_us <= arrival_us


def test_limits_are_checked() -> None:
    with pytest.raises(ConfigurationError, match="drift_ppm"):
        ClockLimits(drift_ppm=0)
