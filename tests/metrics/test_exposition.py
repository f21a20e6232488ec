"""What Prometheus reads of facts, checked with its own parser."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from camera_samples import CAMERA
from observed import Scrape
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from overshoot_flow.media.camera_clock import ClockHealth
from overshoot_flow.protocol.session_machine import SessionState
from overshoot_flow.session.histogram import Histogram
from overshoot_flow.session.status import SessionFacts, SessionStatus, Stage
from overshoot_flow_connectors.kafka_counters import RequestsFacts, SinkFacts
from overshoot_flow_connectors.rtsp import CameraStatus
from overshoot_flow_pipelines.observability.metrics import OvershootCollector

DOCUMENT = Path(__file__).parents[2] / "docs" / "observability.md"


def exposition(
    cameras: Mapping[str, CameraStatus],
    sessions: Mapping[tuple[str, str], SessionFacts],
    sinks: Mapping[str, SinkFacts] | None = None,
    requests: Mapping[tuple[str, str, int], RequestsFacts] | None = None,
) -> str:
    registry = CollectorRegistry()
    registry.register(
        OvershootCollector(
            lambda: cameras,
            lambda: sessions,
            sinks=lambda: sinks or {},
            requests=lambda: requests or {},
        )
    )
    return generate_latest(registry).decode()


def test_a_camera_in_numbers() -> None:
    scrape = Scrape(exposition({"door": CAMERA}, {}))
    found = {
        sample.name.removeprefix("overshoot_flow_camera_"): sample.value
        for sample in scrape.samples
        if sample.labels == {"camera": "door"}
    }
    assert found == {
        "connected": 1,
        "paused": 0,
        "passed_through": 1,
        "received_bytes_total": 90_000,
        "connect_attempts_total": 7,
        "connections_total": 2,
        "stalls_total": 1,
        "freezes_total": 3,
        "pictures_total": 500,
        "pictures_per_second": 24.5,
        "frames_total": 100,
        "damaged_total": 4,
        "clock_segments_total": 2,
        "clock_offset_seconds": -1.5,
        "clock_drift_ratio": 0.00025,
        "clock_distrusted": 1,
    }
    assert scrape.value("camera_frames_dropped_total", camera="door", reason="dropped") == 5
    assert scrape.value("camera_frames_dropped_total", camera="door", reason="outage") == 6


def test_what_is_unknown_has_no_sample() -> None:
    scrape = Scrape(
        exposition(
            {"door": replace(CAMERA, clock=ClockHealth())},
            {("ask", "door"): SessionStatus().facts()},
        )
    )
    for name in (
        "camera_clock_offset_seconds",
        "camera_clock_drift_ratio",
        "lag_seconds",
        "delivered_width_pixels",
    ):
        assert scrape.values(name) == [], name


@pytest.mark.parametrize(
    ("state", "shown"),
    [(SessionState.LIVE, [0.25]), (SessionState.WAITING, []), (SessionState.CLOSED, [])],
)
def test_lag_and_size_are_those_of_the_present_stream(
    state: SessionState, shown: list[float]
) -> None:
    facts = replace(SessionStatus().facts(), state=state, lag_s=0.25)
    assert Scrape(exposition({}, {("ask", "door"): facts})).values("lag_seconds") == shown


def test_a_session_in_numbers() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.5, 5.0):
        histogram.observe(value)
    facts = replace(
        SessionStatus().facts(),
        state=SessionState.LIVE,
        service="api.example",
        dead_letters={"schema": 2},
        renewals=3,
        renewals_failed=1,
        latencies={Stage.INFERENCE: histogram.distribution},
    )
    waiting = replace(facts, state=SessionState.WAITING, service="other")
    scrape = Scrape(exposition({}, {("ask", "door"): facts, ("ask", "gate"): waiting}))
    labels = {"camera": "door", "step": "ask"}
    assert scrape.value("dead_letters_total", **labels, reason="schema") == 2
    assert scrape.value("lease_renewals_total", **labels, outcome="ok") == 3
    assert scrape.value("lease_renewals_total", **labels, outcome="failed") == 1
    assert scrape.value("session_state", **labels, state="live") == 1
    assert sum(scrape.values("session_state", **labels)) == 1
    assert scrape.value("streams_in_use", service="api.example") == 1
    assert scrape.values("streams_in_use", service="other") == [0]
    buckets = {
        bound: scrape.value("latency_seconds_bucket", **labels, stage="inference", le=bound)
        for bound in ("0.1", "1.0", "+Inf")
    }
    assert buckets == {"0.1": 1, "1.0": 2, "+Inf": 3}
    assert scrape.value("latency_seconds_count", **labels, stage="inference") == 3
    assert scrape.value("latency_seconds_sum", **labels, stage="inference") == 5.55


SINK = SinkFacts(
    records={"results": 7, "gaps": 2},
    bytes={"results": 700, "gaps": 20},
    unacknowledged=3,
    retries=4,
    transactions_again=5,
    too_large=6,
    waits=8,
    waited_s=12.5,
)
ASKED = RequestsFacts(taken=9, refused=2, lost=4, lag=30, waits=1, waited_s=11.5)


def test_kafka_in_numbers() -> None:
    scrape = Scrape(exposition({}, {}, {"flow.kafka": SINK}, {("flow.clips", "clips", 3): ASKED}))
    found = {
        (sample.name.removeprefix("overshoot_flow_kafka_"), sample.labels.get("topic")): sample
        for sample in scrape.samples
        if sample.name.startswith("overshoot_flow_kafka_")
    }
    assert {key: sample.value for key, sample in found.items()} == {
        ("records_total", "results"): 7,
        ("records_total", "gaps"): 2,
        ("record_bytes_total", "results"): 700,
        ("record_bytes_total", "gaps"): 20,
        ("unacknowledged_records", None): 3,
        ("retries_total", None): 4,
        ("transactions_again_total", None): 5,
        ("dead_letters_total", None): 6,
        ("waits_total", None): 8,
        ("waiting_seconds", None): 12.5,
        ("requests_total", "clips"): 9,
        ("requests_refused_total", "clips"): 2,
        ("requests_lost_total", "clips"): 4,
        ("requests_lag", "clips"): 30,
        ("requests_waits_total", "clips"): 1,
        ("requests_waiting_seconds", "clips"): 11.5,
    }
    places = [sample.labels for key, sample in found.items() if key[0].startswith("requests")]
    assert {each["step"] for each in places} == {"flow.clips"}
    assert {each["partition"] for each in places} == {"3"}
    # A process without Kafka has no metric of it.
    assert "kafka" not in exposition({}, {})


def everything() -> str:
    live = replace(SessionStatus().facts(), state=SessionState.LIVE)
    sinks, requests = {"flow.kafka": SINK}, {("flow.clips", "clips", 3): ASKED}
    return exposition({"door": CAMERA}, {("ask", "door"): live}, sinks, requests)


def test_names_follow_the_conventions() -> None:
    text = everything()
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert family.name.startswith("overshoot_flow_")
        assert family.documentation.endswith("."), family.name
        if family.type == "counter":
            assert f"{family.name}_total{{" in text or f"{family.name}_total " in text


def test_every_metric_is_documented() -> None:
    text = everything()
    documented = set(re.findall(r"`(\w+)`", DOCUMENT.read_text()))
    names = {
        family.name.removeprefix("overshoot_flow_") + "_total" * (family.type == "counter")
        for family in text_string_to_metric_families(text)
    }
    assert names - documented == set()
    sections = DOCUMENT.read_text().split("## ")
    (metrics,) = [section for section in sections if section.startswith("Metrics\n")]
    listed = {name for row in metrics.splitlines() for name in first_cell(row)}
    assert listed - names == set()


def first_cell(row: str) -> list[str]:
    """The names in the first cell of a row of a table."""
    return re.findall(r"`(\w+)`", row.split("|")[1]) if row.startswith("| `") else []


def test_a_hostile_name_stays_within_its_label() -> None:
    name = 'a"} 1\nevil{x="\\'
    text = exposition({name: CAMERA}, {})
    assert Scrape(text).value("camera_connected", camera=name) == 1
    assert not any(line.startswith("evil") for line in text.splitlines())
