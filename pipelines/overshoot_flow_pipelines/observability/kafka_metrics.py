"""What Kafka sinks and sources have counted, as metrics of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from overshoot_flow_connectors.kafka_counters import RequestsFacts, SinkFacts

SinksByStep: TypeAlias = Mapping[str, SinkFacts]
RequestsByPlace: TypeAlias = Mapping[tuple[str, str, int], RequestsFacts]

_SINK_TOPICS: Final[tuple[tuple[str, str, Callable[[SinkFacts], Mapping[str, int]]], ...]] = (
    ("records", "Records that the brokers have made safe.", lambda f: f.records),
    ("record_bytes", "Bytes of their keys and values.", lambda f: f.bytes),
)
_SINK_COUNTERS: Final[tuple[tuple[str, str, Callable[[SinkFacts], float]], ...]] = (
    ("retries", "Requests that the client has sent again.", lambda f: f.retries),
    (
        "transactions_again",
        "Transactions without a known good end, which were done again.",
        lambda f: f.transactions_again,
    ),
    (
        "dead_letters",
        "Rows that became dead letters because their topic does not take them.",
        lambda f: f.too_large,
    ),
    ("waits", "Waits for brokers of 10 s and more.", lambda f: f.waits),
)
_SINK_GAUGES: Final[tuple[tuple[str, str, Callable[[SinkFacts], float]], ...]] = (
    (
        "unacknowledged_records",
        "Records that were sent and not yet answered for.",
        lambda f: f.unacknowledged,
    ),
    (
        "waiting_seconds",
        "How long the present wait for the brokers lasts; 0 without one.",
        lambda f: f.waited_s,
    ),
)
_REQUEST_COUNTERS: Final[tuple[tuple[str, str, Callable[[RequestsFacts], float]], ...]] = (
    ("requests", "Requests for clips that were taken.", lambda f: f.taken),
    ("requests_refused", "Those that became a gap record.", lambda f: f.refused),
    ("requests_lost", "Records that Kafka had deleted before they were read.", lambda f: f.lost),
    ("requests_waits", "Waits for brokers of 10 s and more.", lambda f: f.waits),
)
_REQUEST_GAUGES: Final[tuple[tuple[str, str, Callable[[RequestsFacts], float]], ...]] = (
    ("requests_lag", "Records that are not taken yet, as far as is known.", lambda f: f.lag),
    (
        "requests_waiting_seconds",
        "How long the present wait for the brokers lasts; 0 without one.",
        lambda f: f.waited_s,
    ),
)
_PLACE: Final = ("step", "topic", "partition")


def kafka_metrics(prefix: str, sinks: SinksByStep, requests: RequestsByPlace) -> Iterator[Metric]:
    """Yield the metrics; none of a kind that this process does not have."""
    prefix = f"{prefix}kafka_"
    if sinks:
        yield from _sink_metrics(prefix, sinks)
    if requests:
        yield from _request_metrics(prefix, requests)


def _sink_metrics(prefix: str, sinks: SinksByStep) -> Iterator[Metric]:
    for name, text, by_topic in _SINK_TOPICS:
        family = CounterMetricFamily(prefix + name, text, labels=("step", "topic"))
        for step_id, facts in sinks.items():
            for topic, count in by_topic(facts).items():
                family.add_metric((step_id, topic), count)
        yield family
    for name, text, number in _SINK_COUNTERS:
        counter = CounterMetricFamily(prefix + name, text, labels=("step",))
        for step_id, facts in sinks.items():
            counter.add_metric((step_id,), number(facts))
        yield counter
    for name, text, number in _SINK_GAUGES:
        gauge = GaugeMetricFamily(prefix + name, text, labels=("step",))
        for step_id, facts in sinks.items():
            gauge.add_metric((step_id,), number(facts))
        yield gauge


def _request_metrics(prefix: str, requests: RequestsByPlace) -> Iterator[Metric]:
    for name, text, number in _REQUEST_COUNTERS:
        counter = CounterMetricFamily(prefix + name, text, labels=_PLACE)
        for (step_id, topic, partition), facts in requests.items():
            counter.add_metric((step_id, topic, str(partition)), number(facts))
        yield counter
    for name, text, number in _REQUEST_GAUGES:
        gauge = GaugeMetricFamily(prefix + name, text, labels=_PLACE)
        for (step_id, topic, partition), facts in requests.items():
            gauge.add_metric((step_id, topic, str(partition)), number(facts))
        yield gauge
