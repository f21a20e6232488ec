"""Frames are published at the pace of their pts."""

from __future__ import annotations

import pytest

from overshoot_flow.session.pacing import Pacer


def test_due_times_follow_the_pts() -> None:
    pacer = Pacer(1_000_000, 50.0, longest_pause_s=5.0)
    assert pacer.due_s(1_040_000, 50.0) == pytest.approx(50.04)
    assert pacer.due_s(1_080_000, 50.04) == pytest.approx(50.08)


def test_a_late_frame_goes_at_once_and_later_ones_keep_their_distance() -> None:
    pacer = Pacer(0, 50.0, longest_pause_s=5.0)
    assert pacer.due_s(100_000, 53.0) == 53.0
    assert pacer.due_s(200_000, 53.0) == pytest.approx(53.1)


def test_a_long_pause_is_shortened() -> None:
    pacer = Pacer(0, 50.0, longest_pause_s=2.0)
    assert pacer.due_s(3_600_000_000, 50.0) == pytest.approx(52.0)
    assert pacer.due_s(3_600_100_000, 52.0) == pytest.approx(52.1)


def test_pts_that_go_back_do_not_wait() -> None:
    pacer = Pacer(500_000, 50.0, longest_pause_s=2.0)
    assert pacer.due_s(100_000, 50.0) == 50.0
