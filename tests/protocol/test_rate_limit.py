"""The limiter: what the headers allow, no more, no sooner, and every camera in turn."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overshoot_flow.protocol.rate_limit import (
    DEFAULT_PAUSE_S,
    LONGEST_RESET_S,
    RateFacts,
    RateLimiter,
)

WALL_S = 1_700_000_000.0


def limiter(max_in_flight: int = 100, max_waiting: int = 1000) -> RateLimiter[str]:
    return RateLimiter(max_in_flight=max_in_flight, max_waiting=max_waiting)


def offered(limiter: RateLimiter[str], *items: str) -> RateLimiter[str]:
    for item in items:
        assert limiter.offer(item[0], item)
    return limiter


def facts(remaining: int, resets_in_s: float | None = 1.0, limit: int | None = 10) -> RateFacts:
    resets_at_s = None if resets_in_s is None else WALL_S + resets_in_s
    return RateFacts(limit=limit, remaining=remaining, resets_at_s=resets_at_s)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, RateFacts()),
        (
            {
                "x-ratelimit-limit": "10",
                "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": "1777529931",
            },
            RateFacts(limit=10, remaining=0, resets_at_s=1777529931),
        ),
        ({"x-ratelimit-reset": " 12.5 "}, RateFacts(resets_at_s=12.5)),
        ({"x-ratelimit-limit": "-1", "x-ratelimit-remaining": "nan"}, RateFacts()),
        ({"x-ratelimit-reset": "1e400", "x-ratelimit-limit": "9" * 99}, RateFacts()),
    ],
)
def test_headers_are_read_permissively(headers: dict[str, str], expected: RateFacts) -> None:
    assert RateFacts.of(headers) == expected


def test_cameras_take_turns_and_keep_their_own_order() -> None:
    one = offered(limiter(), "a1", "a2", "a3", "a4", "b1", "b2", "c1")
    taken = [one.take(0.0) for _ in range(8)]
    assert taken == ["a1", "b1", "c1", "a2", "b2", "a3", "a4", None]


def test_what_is_put_back_goes_first_when_its_camera_has_its_turn() -> None:
    one = offered(limiter(), "a1", "a2", "b1")
    assert one.take(0.0) == "a1"
    one.answered(0.0, WALL_S)
    one.put_back("a", "a1")
    assert [one.take(0.0) for _ in range(3)] == ["b1", "a1", "a2"]


def test_a_full_queue_refuses_and_counts() -> None:
    one = offered(limiter(max_waiting=2), "a1", "a2", "b1")
    assert not one.offer("a", "a3")
    assert one.refused == 1
    assert one.waiting == 3
    assert one.forget("a") == ["a1", "a2"]
    assert one.forget("a") == []
    assert [one.take(0.0), one.take(0.0)] == ["b1", None]


def test_no_more_are_under_way_than_allowed() -> None:
    one = offered(limiter(max_in_flight=2), "a1", "a2", "a3")
    assert [one.take(0.0) for _ in range(3)] == ["a1", "a2", None]
    assert one.next_take_s(0.0) is None
    one.answered(0.0, WALL_S)
    assert one.next_take_s(0.0) == 0.0
    assert one.take(0.0) == "a3"


def test_what_is_left_counts_requests_under_way() -> None:
    one = offered(limiter(), "a1", "a2", "a3", "a4")
    one.take(0.0)
    one.answered(0.0, WALL_S, facts(2))
    assert [one.take(0.0) for _ in range(3)] == ["a2", "a3", None]
    assert one.next_take_s(0.0) == 1.0
    assert one.take(0.999) is None
    assert one.take(1.0) == "a4"


def test_an_answer_that_was_overtaken_does_not_promise_more() -> None:
    one = offered(limiter(), *(f"a{i}" for i in range(9)))
    for _ in range(3):
        one.take(0.0)
    one.answered(0.0, WALL_S, facts(1))
    one.answered(0.0, WALL_S, facts(3))
    one.answered(0.0, WALL_S, facts(2))
    assert one.take(0.0) is not None
    assert one.take(0.0) is None


def test_an_answer_of_a_window_that_is_over_is_not_believed() -> None:
    one = offered(limiter(), *(f"a{i}" for i in range(9)))
    one.take(0.0)
    one.take(0.0)
    one.answered(1.0, WALL_S + 1, facts(9, resets_in_s=2.0))
    one.answered(1.0, WALL_S + 1, facts(0, resets_in_s=1.0))
    assert one.take(1.0) is not None


@pytest.mark.parametrize(
    ("told", "retry_after_s", "resumes_s"),
    [
        (RateFacts(), 1.5, 1.5),
        (RateFacts(), None, DEFAULT_PAUSE_S),
        (facts(0, 3.0), None, 3.0),
        (facts(0, 3.0), 4.0, 4.0),
        (facts(0, -5.0), None, 0.0),
        (facts(0, 1e9), None, LONGEST_RESET_S),
    ],
)
def test_after_429_nothing_is_sent_until_the_pause_is_over(
    told: RateFacts, retry_after_s: float | None, resumes_s: float
) -> None:
    one = offered(limiter(), "a1", "a2")
    one.take(0.0)
    one.limited(0.0, WALL_S, told, retry_after_s)
    assert one.next_take_s(0.0) == resumes_s
    if resumes_s:
        assert one.take(resumes_s - 0.001) is None
    assert one.take(resumes_s) == "a2"


def test_a_count_of_zero_without_a_reset_does_not_stop_for_ever() -> None:
    one = offered(limiter(), "a1", "a2")
    one.take(0.0)
    one.answered(5.0, WALL_S, facts(0, None, None))
    assert one.next_take_s(5.0) == 5.0 + DEFAULT_PAUSE_S
    assert one.take(5.0 + DEFAULT_PAUSE_S) == "a2"


@dataclass
class Service:
    """Counts requests in windows of one second, as the real one does."""

    limit: int
    counts: dict[int, int] = field(default_factory=dict)
    refused: int = 0

    def ask(self, now_s: float) -> RateFacts | None:
        # Seconds of UTC since 1970 are exact to 0.2 µs only.
        window = int(now_s + 1e-6)
        used = self.counts.get(window, 0)
        if used >= self.limit:
            self.refused += 1
            return None
        self.counts[window] = used + 1
        return RateFacts(
            limit=self.limit, remaining=self.limit - used - 1, resets_at_s=WALL_S + window + 1
        )


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 6), st.integers(1, 4), st.lists(st.sampled_from("abc"), max_size=40))
def test_everything_is_asked_and_once_the_limit_is_known_nothing_is_refused(
    limit: int, max_in_flight: int, cameras: list[str]
) -> None:
    service, one = Service(limit), limiter(max_in_flight)
    items = [f"{camera}{index}" for index, camera in enumerate(cameras)]
    offered(one, *items)
    now_s, asked = 0.0, []
    while one.waiting:
        under_way: list[tuple[str, RateFacts | None]] = []
        while (item := one.take(now_s)) is not None:
            under_way.append((item, service.ask(now_s)))
        now_s += 0.01
        for item, told in under_way:
            if told is None:
                one.limited(now_s, WALL_S + now_s, RateFacts(), 1.0)
                one.put_back(item[0], item)
            else:
                one.answered(now_s, WALL_S + now_s, told)
                asked.append(item)
        if one.waiting:
            next_s = one.next_take_s(now_s)
            assert next_s is not None
            now_s = max(now_s, next_s)
    assert sorted(asked) == sorted(items)
    # Only the first burst, before any header has come, can be too much.
    assert service.refused <= max(0, max_in_flight - limit)


def test_one_reset_that_makes_no_sense_does_not_silence_those_after_it() -> None:
    one = offered(limiter(), "a1", "a2", "a3")
    assert one.take(0.0) == "a1"
    one.answered(0.0, WALL_S, facts(9, resets_in_s=1e11))
    later_s = LONGEST_RESET_S + 1
    assert one.take(later_s) == "a2"
    one.answered(later_s, WALL_S + later_s, facts(0, resets_in_s=later_s + 10))
    assert one.take(later_s + 1) is None
    assert one.next_take_s(later_s + 1) == later_s + 10
    assert one.take(later_s + 10) == "a3"
