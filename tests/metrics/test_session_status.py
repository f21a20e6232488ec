"""Counters of a stream outlive its sessions and connections, and are bounded in number."""

from __future__ import annotations

import threading

import pytest

from overshoot_flow.config import Inference, Secret, Service
from overshoot_flow.errors import ConfigurationError, TransportError
from overshoot_flow.media.frames import CaptureBasis
from overshoot_flow.protocol.key_frames import KeyFrameStatistics
from overshoot_flow.protocol.session_machine import SessionMachine, SessionState
from overshoot_flow.protocol.v02 import KeepaliveAnswer
from overshoot_flow.results import GapReason
from overshoot_flow.session.clock import SystemClock
from overshoot_flow.session.histogram import Histogram
from overshoot_flow.session.ledger import Account
from overshoot_flow.session.outcomes import Delivery, OutcomeFactory, PendingFrame
from overshoot_flow.session.status import STATUSES, SessionStatus, Stage, StatusRegistry

SERVICE = Service(key=Secret("ovs-secret"), base_url="https://api.example:8443/v0.2")


def frame(captured_at_us: int | None = None, basis: CaptureBasis = "media") -> PendingFrame:
    return PendingFrame(
        pts_us=0,
        duration_us=100_000,
        captured_at_us=captured_at_us,
        capture_basis=basis,
        frame=None,
    )


def outcomes_of(stream_key: str) -> OutcomeFactory:
    return OutcomeFactory(
        step_id="ask",
        stream_key=stream_key,
        source="door",
        inference=Inference(prompt="?"),
        schema=None,
        clock=SystemClock(),
    )


def machine_with(streams: int) -> SessionMachine:
    """A session that has leased so many streams, one after the other."""
    machine = SessionMachine(max_restarts=100)
    for _ in range(streams):
        machine.move(SessionState.CREATING)
        machine.move(SessionState.CONNECTING)
        machine.fault(TransportError("lost"))
    return machine


def test_a_histogram_counts_cumulatively_with_its_bounds_included() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 7.0):
        histogram.observe(value)
    distribution = histogram.distribution
    assert distribution.cumulative == (2, 3, 4)
    assert (distribution.count, distribution.total) == (4, 10.0)


@pytest.mark.parametrize("bounds", [(2.0, 1.0), (1.0, 1.0)])
def test_bounds_that_do_not_rise_are_refused(bounds: tuple[float, ...]) -> None:
    with pytest.raises(ConfigurationError, match="must rise"):
        Histogram(bounds)


def test_streams_add_up_over_sessions() -> None:
    status = SessionStatus()
    assert status.facts().state is None
    status.follow(machine_with(2), SERVICE)
    status.follow(machine_with(3), SERVICE)
    facts = status.facts()
    assert (facts.streams_created, facts.faults_in_a_row) == (5, 3)
    assert (facts.state, facts.service) == (SessionState.WAITING, "api.example:8443")


@pytest.mark.parametrize(
    ("state", "holds"),
    [
        (SessionState.WAITING, False),
        (SessionState.CREATING, False),
        (SessionState.CONNECTING, True),
        (SessionState.LIVE, True),
        (SessionState.DRAINING, True),
        (SessionState.CLOSED, False),
        (SessionState.FAILED, False),
    ],
)
def test_a_stream_is_held_from_its_lease_to_its_end(state: SessionState, holds: bool) -> None:  # noqa: FBT001 - a parameter
    status = SessionStatus()
    status.follow(SessionMachine(max_restarts=0, state=state), SERVICE)
    assert status.facts().holds_stream is holds


def test_what_senders_count_adds_up_over_connections() -> None:
    status = SessionStatus()
    status.delivered(Delivery())
    for connection, sent, requests in ((1, 5, 1), (1, 9, 2), (2, 9, 2), (3, 1, 0)):
        statistics = KeyFrameStatistics(
            requests=requests, waits=requests, waited_s=0.5 * requests, longest_wait_s=requests
        )
        status.delivered(
            Delivery(width=640, height=360, sent=sent, connection=connection, key_frames=statistics)
        )
    facts = status.facts()
    assert facts.frames_sent == 9 + 9 + 1
    assert (facts.key_frames.requests, facts.key_frames.waits) == (4, 4)
    assert (facts.key_frames.waited_s, facts.key_frames.longest_wait_s) == (2.0, 2)
    assert (facts.delivered_width, facts.delivered_height) == (640, 360)


def test_only_a_camera_lags() -> None:
    status = SessionStatus()
    now_us = 1_800_000_000_000_000
    status.published(frame(), now_us)
    status.published(frame(now_us - 86_400_000_000), now_us)
    assert status.facts().lag_s is None
    status.published(frame(now_us - 3_000_000, "arrival"), now_us)
    status.published(frame(now_us - 250_000, "ntp"), now_us)
    facts = status.facts()
    assert facts.lag_s == 0.25
    assert facts.frames_published == 4
    assert facts.latencies[Stage.CAPTURE_TO_PUBLISH].count == 2
    assert facts.latencies[Stage.CAPTURE_TO_PUBLISH].total == 3.25


def test_an_answer_is_timed_from_the_newest_frame_that_it_settles() -> None:
    status = SessionStatus()
    status.answered(None, 9.0)
    newest = frame()
    status.answered(newest, 9.0)
    newest.published_at_s = 8.5
    status.answered(newest, 9.0)
    latencies = status.facts().latencies[Stage.PUBLISH_TO_ANSWER]
    assert (latencies.count, latencies.total) == (1, 0.5)


def test_a_clock_that_runs_ahead_makes_no_negative_latency() -> None:
    status = SessionStatus()
    now_us = 1_800_000_000_000_000
    status.published(frame(now_us + 40_000, "ntp"), now_us)
    facts = status.facts()
    assert facts.lag_s == -0.04
    assert facts.latencies[Stage.CAPTURE_TO_PUBLISH].total == 0


def test_every_piece_of_an_account_is_counted(request: pytest.FixtureRequest) -> None:
    key = request.node.name
    account, outcomes = Account(key), outcomes_of(key)
    account.attach("ask")
    account.put(outcomes.lost([frame(), frame()], GapReason.STREAM_LOST, "gone"))
    account.put(outcomes.lost([frame()], GapReason.STREAM_LOST, "gone"))
    account.put(outcomes.deadline([frame()], "s-1"))
    for _ in range(2):
        charge = KeepaliveAnswer(
            ttl_s=45.0,
            seconds_charged=15.0,
            cost_cents=0.5,
            credits_remaining_cents=None,
            livekit_token=None,
        )
        account.put(outcomes.usage("s-1", charge))
    facts = STATUSES.of("ask", key).facts()
    assert (facts.gaps, facts.frames_lost) == ({"stream_lost": 2}, {"stream_lost": 3})
    assert (facts.dead_letters, facts.results) == ({"deadline": 1}, 0)
    assert (facts.cost_cents, facts.charged_s) == (1.0, 30.0)


def test_threads_lose_no_count() -> None:
    status = SessionStatus()
    start = threading.Barrier(4)

    def count() -> None:
        start.wait()
        for _ in range(2000):
            status.lease_renewed()
            status.lease_not_renewed()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    facts = status.facts()
    assert (facts.renewals, facts.renewals_failed) == (8000, 8000)


def test_a_status_outlives_its_session() -> None:
    registry = StatusRegistry()
    registry.of("ask", "door").lease_renewed()
    assert registry.of("ask", "door").facts().renewals == 1
    assert registry.of("ask", "gate").facts().renewals == 0
    assert registry.all().keys() == {("ask", "door"), ("ask", "gate")}


def test_ended_sessions_are_forgotten_first_and_open_ones_never() -> None:
    registry = StatusRegistry(capacity=2)
    ended = SessionMachine(max_restarts=0, state=SessionState.CLOSED)
    registry.of("ask", "open").follow(SessionMachine(max_restarts=0), SERVICE)
    registry.of("ask", "ended").follow(ended, SERVICE)
    registry.of("ask", "third").follow(SessionMachine(max_restarts=0), SERVICE)
    assert registry.all().keys() == {("ask", "open"), ("ask", "third")}
    registry.of("ask", "fourth")
    assert len(registry.all()) == 3
    assert registry.forgotten == 1
