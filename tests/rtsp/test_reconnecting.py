"""The pauses between two attempts at a camera."""

from __future__ import annotations

from random import Random

import pytest

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.media.reconnecting import ReconnectPlan, ReconnectSchedule


def schedule() -> ReconnectSchedule:
    return ReconnectSchedule(ReconnectPlan(), Random(1))  # noqa: S311 - repeatable on purpose


def within_jitter(pause_s: float, full_s: float) -> bool:
    return 0.8 * full_s <= pause_s <= 1.2 * full_s


def test_the_tiers_follow_each_other_and_the_last_one_never_ends() -> None:
    tried = schedule()
    full_s = [1.0] * 5 + [5.0] * 5 + [10.0] * 10 + [60.0] * 100
    pauses_s = [tried.pause_s(0.0) for _ in full_s]
    assert all(map(within_jitter, pauses_s, full_s))
    assert len(set(pauses_s)) == len(pauses_s)


@pytest.mark.parametrize(("connected_for_s", "next_full_s"), [(61.0, 1.0), (59.0, 60.0)])
def test_a_stable_minute_begins_anew(connected_for_s: float, next_full_s: float) -> None:
    tried = schedule()
    for _ in range(30):
        tried.pause_s(0.0)
    assert within_jitter(tried.pause_s(connected_for_s), next_full_s)


def test_refused_credentials_are_tried_slowly_from_the_first_time() -> None:
    assert within_jitter(schedule().pause_s(0.0, credentials_refused=True), 60.0)


@pytest.mark.parametrize(
    "settings", [{"longest_s": 0.0}, {"tiers": ((0, 1.0),)}, {"tiers": ((1, -1.0),)}]
)
def test_a_storm_of_attempts_cannot_be_configured(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        ReconnectPlan(**settings)  # type: ignore[arg-type]
