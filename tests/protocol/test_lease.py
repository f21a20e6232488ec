"""The lease's schedule, over invented times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshoot_flow.errors import (
    AuthenticationError,
    InsufficientCreditsError,
    OvershootFlowError,
    RejectedRequestError,
    ServiceError,
    ServiceUnavailableError,
    StreamLimitError,
    StreamNotFoundError,
    TransportError,
)
from overshoot_flow.protocol.lease import RETRIES, Lease

TTLS_S = st.floats(min_value=0.5, max_value=3600.0)
TIMES_S = st.floats(min_value=0.0, max_value=1e6)


def test_45_seconds_are_renewed_every_15() -> None:
    lease = Lease(45.0, now_s=100.0)
    assert lease.next_attempt_s == 115.0
    assert lease.expires_s == 145.0
    lease.renewed(115.5, 45.0)
    assert lease.next_attempt_s == 130.5
    assert lease.expires_s == 160.5


def test_the_lease_is_over_when_it_has_run_out_and_not_before() -> None:
    lease = Lease(45.0, now_s=0.0)
    assert not lease.over(44.9)
    assert lease.over(45.0)
    assert lease.over(1000.0)


def test_the_service_may_change_the_length() -> None:
    lease = Lease(45.0, now_s=0.0)
    lease.renewed(15.0, 300.0)
    assert (lease.next_attempt_s, lease.expires_s) == (115.0, 315.0)


def test_a_failed_keepalive_is_repeated_three_times_two_seconds_apart() -> None:
    lease = Lease(45.0, now_s=0.0)
    attempts_s = [lease.next_attempt_s]
    while lease.failed(attempts_s[-1], TransportError("no")):
        attempts_s.append(lease.next_attempt_s)
    assert attempts_s == [15.0, 17.0, 19.0, 21.0]
    assert not lease.over(attempts_s[-1])


def test_a_success_forgives_earlier_failures() -> None:
    lease = Lease(45.0, now_s=0.0)
    for _ in range(RETRIES):
        assert lease.failed(15.0, TransportError("no"))
    lease.renewed(20.0, 45.0)
    for _ in range(RETRIES):
        assert lease.failed(35.0, TransportError("no"))
    assert not lease.failed(35.0, TransportError("no"))


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (InsufficientCreditsError("no", status=402), False),
        (StreamNotFoundError("no", status=404), False),
        (AuthenticationError("no", status=401), False),
        (RejectedRequestError("no", status=422), False),
        (TransportError("no"), True),
        (ServiceUnavailableError("no", status=503), True),
        (StreamLimitError("no", status=429), True),
        (ServiceError("no", status=409), True),
    ],
)
def test_what_no_repetition_mends_is_not_repeated(
    error: OvershootFlowError, *, again: bool
) -> None:
    assert Lease(45.0, now_s=0.0).failed(15.0, error) is again


def test_nothing_is_tried_after_the_lease_is_over() -> None:
    assert not Lease(45.0, now_s=0.0).failed(44.0, TransportError("no"))


def test_the_wait_that_the_service_asks_for_is_kept() -> None:
    lease = Lease(45.0, now_s=0.0)
    assert lease.failed(15.0, StreamLimitError("no", status=429, retry_after_s=7.0))
    assert lease.next_attempt_s == 22.0
    assert lease.failed(22.0, StreamLimitError("no", status=429, retry_after_s=0.5))
    assert lease.next_attempt_s == 24.0


def test_a_wait_beyond_the_lease_ends_it() -> None:
    error = StreamLimitError("no", status=429, retry_after_s=60.0)
    assert not Lease(45.0, now_s=0.0).failed(15.0, error)


@given(ttl_s=TTLS_S, now_s=TIMES_S)
def test_there_is_always_time_for_a_renewal_and_its_retries(ttl_s: float, now_s: float) -> None:
    lease = Lease(ttl_s, now_s)
    assert now_s < lease.next_attempt_s < lease.expires_s
    assert not lease.over(lease.next_attempt_s)
    attempts = 1
    while lease.failed(lease.next_attempt_s, TransportError("no")):
        assert not lease.over(lease.next_attempt_s)
        attempts += 1
    assert attempts == 1 + RETRIES


@given(
    ttl_s=TTLS_S,
    steps=st.lists(st.tuples(st.booleans(), st.floats(min_value=0.0, max_value=20.0)), max_size=40),
)
def test_whatever_happens_no_attempt_lies_in_the_past_or_behind_the_end(
    ttl_s: float, steps: list[tuple[bool, float]]
) -> None:
    lease = Lease(ttl_s, 0.0)
    now_s = 0.0
    in_a_row = 0
    for success, took_s in steps:
        now_s = max(now_s, lease.next_attempt_s) + took_s
        if success:
            lease.renewed(now_s, ttl_s)
            in_a_row = 0
        else:
            in_a_row += 1
            if not lease.failed(now_s, TransportError("no")):
                assert in_a_row > RETRIES or lease.next_attempt_s >= lease.expires_s
                return
        assert now_s < lease.next_attempt_s < lease.expires_s
        assert in_a_row <= RETRIES
