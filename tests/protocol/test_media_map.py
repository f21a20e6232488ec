"""Answers are mapped back to media time, and every published frame is settled exactly once."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overshoot_flow.protocol.media_map import PublishedMedia, Settlement

FRAME_US = 100_000
TRANSIT_S = 0.2


@dataclass(frozen=True)
class Shown:
    pts_us: int
    duration_us: int = FRAME_US


def media(length_s: float = 0.5, period_s: float = 0.5) -> PublishedMedia[Shown]:
    return PublishedMedia(length_s=length_s, period_s=period_s, transit_s=TRANSIT_S, horizon_s=10.0)


def publish(log: PublishedMedia[Shown], frames: int, *, start_s: float = 100.0) -> None:
    for index in range(frames):
        log.published(Shown(index * FRAME_US), start_s + index * FRAME_US / 1e6)


def test_an_answer_before_any_frame_is_about_nothing() -> None:
    assert media().interval(100.0, 0.1) is None


def test_a_clip_covers_its_window_the_transit_and_the_picture_on_screen() -> None:
    log = media()
    publish(log, 30)
    # The window ended at 102.0 s: it can hold what was published from 101.3 s on.
    interval = log.interval(102.35, 0.35)
    assert interval is not None
    assert interval.start_us == 1_300_000
    assert interval.end_us == 2_000_000 + FRAME_US
    assert interval.uncertainty_us == 200_000


def test_a_frame_window_holds_only_what_can_have_been_newest() -> None:
    log = media(length_s=0.0, period_s=1.0)
    publish(log, 30)
    interval = log.interval(102.05, 0.0)
    assert interval is not None
    # Newest at 102.05 s is the frame of 102.0 s; 0.2 s earlier it was that of 101.8 s.
    assert (interval.start_us, interval.end_us) == (1_800_000, 2_100_000)


def test_without_a_latency_the_answer_may_be_a_period_older() -> None:
    log = media()
    publish(log, 30)
    exact, vague = log.interval(102.0, 0.0), log.interval(102.0, None)
    assert exact is not None
    assert vague is not None
    assert vague.start_us == exact.start_us - 500_000
    assert vague.uncertainty_us == exact.uncertainty_us + 500_000


def test_a_picture_that_stays_on_screen_is_what_later_windows_see() -> None:
    log = media()
    publish(log, 3)
    interval = log.interval(109.0, 0.0)
    assert interval is not None
    assert (interval.start_us, interval.end_us) == (200_000, 300_000)


def test_frames_between_windows_are_told_from_answered_ones() -> None:
    log = media(length_s=0.0, period_s=1.0)
    publish(log, 30)
    first = log.interval(100.55, 0.0)
    assert first is not None
    assert [len(part) for part in _parts(log.settle(first))] == [3, 3, 0]
    second = log.interval(101.55, 0.0)
    assert second is not None
    assert [len(part) for part in _parts(log.settle(second))] == [3, 7, 0]


def test_a_stretch_longer_than_the_period_had_an_answer_due() -> None:
    log = media(length_s=0.0, period_s=0.5)
    publish(log, 30)
    late = log.interval(102.55, 0.0)
    assert late is not None
    covered, between, unanswered = _parts(log.settle(late))
    assert (len(covered), len(between), len(unanswered)) == (3, 0, 23)


def test_a_late_answer_settles_nothing_twice() -> None:
    log = media()
    publish(log, 30)
    newer, older = log.interval(102.5, 0.0), log.interval(102.0, 0.0)
    assert newer is not None
    assert older is not None
    log.settle(newer)
    assert [len(part) for part in _parts(log.settle(older))] == [0, 0, 0]


def test_old_entries_are_forgotten_but_never_unsettled_ones() -> None:
    log = media()
    publish(log, 500)
    assert log.unsettled == 500
    assert len(log.take_unsettled(100.0 + 49.9 - 1e-9)) == 499
    assert log.unsettled == 1


def test_a_new_stream_needs_the_old_one_settled() -> None:
    log = media()
    publish(log, 3)
    with pytest.raises(RuntimeError, match="settle or take"):
        log.restart()
    log.take_unsettled()
    log.restart()
    assert log.interval(101.0, 0.0) is None


@settings(deadline=None)  # a test asserts no time
@given(
    frames=st.integers(1, 60),
    answers=st.lists(st.tuples(st.floats(0, 8), st.floats(0, 2) | st.none()), max_size=12),
    in_order=st.booleans(),
)
def test_each_frame_is_settled_exactly_once(
    *, frames: int, answers: list[tuple[float, float | None]], in_order: bool
) -> None:
    log = media()
    publish(log, frames)
    settled: list[int] = []
    for received_s, latency_s in sorted(answers, key=lambda a: a[0]) if in_order else answers:
        interval = log.interval(100.0 + received_s, latency_s)
        assert interval is not None
        assert interval.start_us < interval.end_us
        for part in _parts(log.settle(interval)):
            settled += [shown.pts_us for shown in part]
    settled += [shown.pts_us for shown in log.take_unsettled()]
    assert sorted(settled) == [index * FRAME_US for index in range(frames)]


@settings(deadline=None)  # a test asserts no time
@given(
    arrival_delay_s=st.floats(0.001, TRANSIT_S / 2),
    answer_delay_s=st.floats(0, TRANSIT_S / 2 - 0.001),
    window_end_s=st.floats(1, 8),
    length_s=st.sampled_from([0.0, 0.3, 0.5, 2.0]),
)
def test_what_the_service_can_have_seen_lies_in_the_interval(
    arrival_delay_s: float, answer_delay_s: float, window_end_s: float, length_s: float
) -> None:
    log = media(length_s=length_s)
    publish(log, 100, start_s=0.0)
    arrivals = [(i * FRAME_US, i * FRAME_US / 1e6 + arrival_delay_s) for i in range(100)]
    in_window = [
        pts for pts, at_s in arrivals if window_end_s - length_s <= at_s <= window_end_s
    ] or [max(pts for pts, at_s in arrivals if at_s <= window_end_s)]
    interval = log.interval(window_end_s + 0.7 + answer_delay_s, 0.7)
    assert interval is not None
    assert all(interval.start_us <= pts < interval.end_us for pts in in_window)


def _parts(settlement: Settlement[Shown]) -> tuple[tuple[Shown, ...], ...]:
    return (settlement.covered, settlement.between, settlement.unanswered)
