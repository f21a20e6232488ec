"""What sinks and sources count, as a monitoring reads it while they work with a real broker."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from kafka_broker import Broker, read_topic
from observed import Scrape
from outcome_samples import a_gap, a_result
from sink_samples import batches, results

from overshoot_flow.errors import SinkError
from overshoot_flow_connectors.kafka import Delivery, KafkaSink
from overshoot_flow_connectors.kafka_counters import SINK_COUNTERS, sink_facts
from overshoot_flow_connectors.kafka_producer import AcknowledgedProducer
from overshoot_flow_pipelines.observability.server import ObservabilityServer

DELIVERIES: tuple[Delivery, ...] = ("at_least_once", "transactional")


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_scrape_says_what_is_in_the_topics(
    kafka: str, topic_prefix: str, delivery: Delivery
) -> None:
    step = f"flow.{topic_prefix}{delivery}"
    results_topic = f"{topic_prefix}results"
    admin = AdminClient({"bootstrap.servers": kafka})
    small = NewTopic(results_topic, 1, 1, config={"max.message.bytes": "20000"})
    admin.create_topics([small])[results_topic].result(timeout=60)
    sink = KafkaSink(kafka, topic_prefix=topic_prefix, delivery=delivery, partitions=2)
    large = os.urandom(20_000).hex()
    with ObservabilityServer("127.0.0.1:0") as server:
        for number, name in enumerate(sink.list_parts()):
            part: Any = sink.build_part(step, name, None)
            part.write_batch(results(*range(10 * number, 10 * number + 10)))
            part.write_batch(batches([a_gap(), a_result(result_id=name, raw_text=large)]))
            part.snapshot()
            part.close()
        scrape = Scrape.of(server.port)
    for topic, count in (("results", 20), ("gaps", 2), ("dead_letters", 2)):
        labels = {"step": step, "topic": f"{topic_prefix}{topic}"}
        messages = read_topic(kafka, f"{topic_prefix}{topic}")
        assert len(messages) == count
        assert scrape.value("kafka_records_total", **labels) == count
        size_bytes = sum(len(each.key()) + len(each.value()) for each in messages)
        assert scrape.value("kafka_record_bytes_total", **labels) == size_bytes
    assert scrape.value("kafka_dead_letters_total", step=step) == 2
    assert scrape.values("kafka_unacknowledged_records", step=step) == [0]
    assert scrape.values("kafka_waiting_seconds", step=step) == [0]


def test_what_waits_is_seen_and_what_was_counted_stays(own_broker: Broker) -> None:
    step = "flow.outage"
    settings = {"statistics.interval.ms": 50, "linger.ms": 5}
    sink = KafkaSink(own_broker.bootstrap, settings=settings, max_outage=timedelta(seconds=2))
    part: Any = sink.build_part(step, "part-0000", None)
    part.write_batch(results(1, 2))
    part.snapshot()
    own_broker.kill()
    part.write_batch(results(3))
    assert sink_facts()[step].unacknowledged == 1
    waited: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        snapshot = pool.submit(part.snapshot)
        while not snapshot.done():
            waited.append(sink_facts()[step].waited_s)
            time.sleep(0.01)
    with pytest.raises(SinkError, match="took no records"):
        snapshot.result()
    assert max(waited) > 0
    part.close()
    facts = sink_facts()[step]
    assert facts.unacknowledged == 0
    assert sum(facts.records.values()) == 2
    own_broker.start()
    part = sink.build_part(step, "part-0000", None)
    part.write_batch(results(3))
    part.snapshot()
    part.close()
    facts = sink_facts()[step]
    assert sum(facts.records.values()) == 3
    assert facts.waited_s == 0


def test_what_the_client_counts_is_understood(
    kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    understand = AcknowledgedProducer._on_statistics

    def listen(producer: AcknowledgedProducer, text: str) -> None:
        understand(producer, text)
        told.append(text)

    monkeypatch.setattr(AcknowledgedProducer, "_on_statistics", listen)
    sink = KafkaSink(kafka, topic_prefix=topic_prefix, settings={"statistics.interval.ms": 20})
    step = f"flow.{topic_prefix}"
    part: Any = sink.build_part(step, "part-0000", None)
    producer = part._producer
    deadline_s = time.monotonic() + 10
    while not told:
        assert time.monotonic() < deadline_s
        # What a callback raises comes out here.
        producer._open.poll(0.05)
    counters = SINK_COUNTERS.of((step, "part-0000"))
    before = counters.retries
    for retries in (3, 4, 4):
        understand(
            producer, f'{{"brokers": {{"a": {{"txretries": {retries}}}, "b": {{"txretries": 2}}}}}}'
        )
    assert counters.retries == before + 6
    part.close()
