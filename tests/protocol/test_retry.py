"""Backoff: growing, capped, jittered, and never shorter than the service asks."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshoot_flow.protocol.retry import Backoff


class Fixed(Random):
    """A source of jitter that always gives the same."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def random(self) -> float:
        return self.value


LONGEST = Fixed(1.0)
SHORTEST = Fixed(0.0)


def test_the_pauses_double_up_to_the_cap() -> None:
    backoff = Backoff(0.5, 4.0, LONGEST)
    assert [backoff.pause_s(attempt) for attempt in range(1, 7)] == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_the_jitter_takes_at_most_a_half() -> None:
    backoff = Backoff(0.5, 4.0, SHORTEST)
    assert [backoff.pause_s(attempt) for attempt in range(1, 5)] == [0.25, 0.5, 1.0, 2.0]


def test_clients_do_not_return_as_one() -> None:
    generators = [Random(seed) for seed in range(50)]  # noqa: S311 - jitter
    pauses = {Backoff(1.0, 8.0, generator).pause_s(3) for generator in generators}
    assert len(pauses) == 50


@pytest.mark.parametrize(
    ("retry_after_s", "pause_s"), [(None, 1.0), (0.0, 1.0), (0.5, 1.0), (3.0, 3.0), (60.0, 60.0)]
)
def test_a_longer_wait_of_the_service_wins_over_the_cap(
    retry_after_s: float | None, pause_s: float
) -> None:
    assert Backoff(1.0, 8.0, LONGEST).pause_s(1, retry_after_s) == pause_s


@pytest.mark.parametrize(("first_s", "longest_s"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0)])
def test_bounds_that_make_no_sense_are_refused(first_s: float, longest_s: float) -> None:
    with pytest.raises(ValueError, match="need 0 < first_s <= longest_s"):
        Backoff(first_s, longest_s, LONGEST)


@given(
    first_s=st.floats(min_value=0.001, max_value=10.0),
    factor=st.floats(min_value=1.0, max_value=1000.0),
    attempt=st.integers(min_value=0, max_value=10**9),
    seed=st.integers(),
    retry_after_s=st.none() | st.floats(min_value=0.0, max_value=1e5),
)
def test_every_pause_lies_in_its_bounds(
    first_s: float, factor: float, attempt: int, seed: int, retry_after_s: float | None
) -> None:
    longest_s = first_s * factor
    generator = Random(seed)  # noqa: S311 - jitter
    pause_s = Backoff(first_s, longest_s, generator).pause_s(attempt, retry_after_s)
    asked_s = retry_after_s or 0.0
    assert pause_s >= max(first_s / 2, asked_s)
    assert pause_s <= max(longest_s, asked_s)
