"""Sampling plans against a definition that looks at every grid point."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.media.sampling import (
    CLOCK_TOLERANCE_US,
    EveryFrame,
    FramesPerSecond,
    Keyframes,
)

RATES = st.fractions(min_value=Fraction(1, 60), max_value=60, max_denominator=1001)
PICTURE_TIMES = st.lists(st.integers(1, 20_000_000), max_size=40, unique=True).map(
    lambda later: [0, *sorted(later)]
)


def chosen(times_us: list[int], end_us: int, plan: FramesPerSecond) -> list[int]:
    return [
        pts_us
        for pts_us, next_us in zip(times_us, [*times_us[1:], end_us], strict=True)
        if plan.wants(pts_us, next_us, is_key_frame=False)
    ]


@given(times_us=PICTURE_TIMES, last_us=st.integers(1_001, 500_000), fps=RATES)
def test_each_grid_point_is_answered_by_the_picture_on_screen(
    times_us: list[int], last_us: int, fps: Fraction
) -> None:
    end_us = times_us[-1] + last_us
    answers = []
    index = 0
    while (grid_us := index * 1_000_000 / fps) <= end_us - CLOCK_TOLERANCE_US:
        answers.append(max(t for t in times_us if t < grid_us + CLOCK_TOLERANCE_US))
        index += 1
    assert chosen(times_us, end_us, FramesPerSecond(fps)) == sorted(set(answers))


@given(fps=RATES, frames=st.integers(1, 300))
def test_the_files_own_rate_takes_every_picture_also_with_rounded_times(
    fps: Fraction, frames: int
) -> None:
    for clock_us in (1, 1000):
        times = [round(number * 1_000_000 / fps / clock_us) * clock_us for number in range(frames)]
        end_us = round(frames * 1_000_000 / fps / clock_us) * clock_us
        assert chosen(times, end_us, FramesPerSecond(fps)) == times


@given(after_us=st.integers(-10_000, 10**13), fps=RATES)
def test_next_moment_is_the_first_grid_point_after(after_us: int, fps: Fraction) -> None:
    plan = FramesPerSecond(fps)
    index = plan.next_wanted_us(after_us) * fps / 1_000_000
    point = Fraction(int(index)) if index >= 0 else Fraction(0)
    assert point * 1_000_000 / fps > after_us
    assert point == 0 or (point - 1) * 1_000_000 / fps <= after_us
    assert 0 <= plan.next_wanted_us(after_us) - point * 1_000_000 / fps < 1


def test_hours_do_not_drift() -> None:
    plan = FramesPerSecond(29.97)
    ten_hours = 36_000 * 2997
    assert plan.fps == Fraction(2997, 100)
    assert plan.next_wanted_us(36_000_000_000 * 100 - 1) == 36_000_000_000 * 100
    assert ten_hours * plan.interval_us == 36_000_000_000 * 100


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), "fast", "1/0"])
def test_impossible_rates_are_refused(fps: float | str) -> None:
    with pytest.raises(ConfigurationError, match="above 0"):
        FramesPerSecond(fps)


@pytest.mark.parametrize(
    ("given_fps", "exact"),
    [(0.1, Fraction(1, 10)), ("30000/1001", Fraction(30_000, 1001)), (2, Fraction(2))],
)
def test_rates_are_read_exactly(given_fps: float | str, exact: Fraction) -> None:
    assert FramesPerSecond(given_fps) == FramesPerSecond(exact)


def test_key_frames_and_every_frame() -> None:
    assert Keyframes().wants(5, 6, is_key_frame=True)
    assert not Keyframes().wants(5, 6, is_key_frame=False)
    assert EveryFrame().wants(5, 6, is_key_frame=False)
    assert EveryFrame().next_wanted_us(0) is None
