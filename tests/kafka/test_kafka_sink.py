"""The sink against a real broker: topics, values, limits, acknowledgement."""

from __future__ import annotations

import json
import logging
import os
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)
from kafka_broker import headers_of, read_topic
from outcome_samples import a_failure, a_gap, a_result, a_usage
from sink_samples import a_part, batches, results

from overshoot_flow.config import Secret
from overshoot_flow.errors import ConfigurationError, SinkError
from overshoot_flow_connectors.kafka import ArrowIpc, Delivery, KafkaSink, NewTopics

DELIVERIES: tuple[Delivery, ...] = ("at_least_once", "transactional")


def make_topic(bootstrap: str, name: str, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, 1, 1, config=config)])[name].result(timeout=60)


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_every_dataset_comes_into_its_topic(
    kafka: str, topic_prefix: str, delivery: Delivery
) -> None:
    sink = KafkaSink(kafka, topic_prefix=topic_prefix, delivery=delivery)
    part = a_part(sink)
    part.write_batch(
        batches([a_result(), a_failure(), a_gap(), a_usage(), a_result(result_id="x")])
    )
    part.snapshot()
    part.close()
    counts = {}
    for dataset, topic in sink.topics.items():
        messages = read_topic(kafka, topic)
        counts[dataset.value] = len(messages)
        assert {message.key() for message in messages} == {b"cam-1"}
        assert {headers_of(message)["dataset"] for message in messages} == {dataset}
    assert counts == {"results": 2, "dead_letters": 1, "gaps": 1, "usage": 1}


def test_a_snapshot_returns_when_all_is_acknowledged(kafka: str, topic_prefix: str) -> None:
    part = a_part(KafkaSink(kafka, topic_prefix=topic_prefix, settings={"linger.ms": 60_000}))
    part.write_batch(results(*range(500)))
    # Nothing has been sent yet, for the client lingers.
    assert part._producer.unacknowledged == 500
    part.snapshot()
    assert part._producer.acknowledged == 500
    # Read while the sink is still open.
    messages = read_topic(kafka, f"{topic_prefix}results")
    ids = [json.loads(message.value())["result_id"] for message in messages]
    assert ids == [str(number) for number in range(500)]
    part.close()


def test_a_queue_that_is_full_makes_the_sink_wait(kafka: str, topic_prefix: str) -> None:
    settings = {"queue.buffering.max.messages": 10}
    part = a_part(KafkaSink(kafka, topic_prefix=topic_prefix, settings=settings))
    part.write_batch(results(*range(300)))
    assert part._producer.unacknowledged <= 10
    part.snapshot()
    part.close()
    assert len(read_topic(kafka, f"{topic_prefix}results")) == 300


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_row_too_large_for_its_topic_is_a_dead_letter(
    kafka: str, topic_prefix: str, delivery: Delivery
) -> None:
    make_topic(kafka, f"{topic_prefix}results", **{"max.message.bytes": "20000"})
    part = a_part(KafkaSink(kafka, topic_prefix=topic_prefix, delivery=delivery))
    rows = [a_result(result_id=str(number), raw_text="x" * 3000) for number in range(40)]
    rows[7] = a_result(result_id="7", raw_text="x" * 30_000)
    part.write_batch(batches(rows))
    part.snapshot()
    part.close()
    # Many small ones in one request would be refused like a large one.
    assert len(read_topic(kafka, f"{topic_prefix}results")) == 39
    (letter,) = read_topic(kafka, f"{topic_prefix}dead_letters")
    row = json.loads(letter.value())
    assert (row["result_id"], row["reason"]) == ("7", "too_large")


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_dead_letter_too_large_for_its_topic_is_a_shorter_one(
    kafka: str, topic_prefix: str, delivery: Delivery
) -> None:
    part = a_part(KafkaSink(kafka, topic_prefix=topic_prefix, delivery=delivery))
    # Without its text, its bytes in Base64 are still more than the client sends.
    part.write_batch(batches([a_failure(raw_text="x" * 900_000)]))
    part.snapshot()
    part.close()
    (letter,) = read_topic(kafka, f"{topic_prefix}dead_letters")
    row = json.loads(letter.value())
    assert (row["result_id"], row["reason"]) == ("1", "too_large")


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_limit_that_shrinks_stops_the_run_with_the_reason(
    kafka: str, topic_prefix: str, delivery: Delivery
) -> None:
    make_topic(kafka, f"{topic_prefix}results")
    sink = KafkaSink(kafka, topic_prefix=topic_prefix, delivery=delivery)
    part = a_part(sink)
    admin = AdminClient({"bootstrap.servers": kafka})
    smaller = ConfigResource(
        ResourceType.TOPIC,
        f"{topic_prefix}results",
        incremental_configs=[
            ConfigEntry("max.message.bytes", "5000", incremental_operation=AlterConfigOpType.SET)
        ],
    )
    admin.incremental_alter_configs([smaller])[smaller].result(timeout=60)
    # What is random is not compressed.
    part.write_batch(batches([a_result(raw_text=os.urandom(9000).hex())]))
    with pytest.raises(SinkError, match=r"max\.message\.bytes is smaller than it was"):
        part.snapshot()
    part.close()


def test_arrow_batches_are_read_as_they_were_written(kafka: str, topic_prefix: str) -> None:
    part = a_part(KafkaSink(kafka, topic_prefix=topic_prefix, format=ArrowIpc()))
    written = results(1, 2, 3)
    part.write_batch(written)
    part.snapshot()
    part.close()
    (message,) = read_topic(kafka, f"{topic_prefix}results")
    with pa.ipc.open_stream(message.value()) as reader:
        table = reader.read_all()
    assert table.to_batches() == [written[0].batch]
    assert table.schema.metadata == written[0].batch.schema.metadata


def test_topics_are_made_as_asked_or_must_be_there(kafka: str, topic_prefix: str) -> None:
    with pytest.raises(ConfigurationError, match=f"no topic {topic_prefix}dead_letters, .*create"):
        a_part(KafkaSink(kafka, topic_prefix=topic_prefix, new_topics=None))
    new = NewTopics(partitions=3, config={"retention.ms": "86400000"})
    a_part(KafkaSink(kafka, topic_prefix=topic_prefix, new_topics=new)).close()
    known = AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=10).topics
    assert len(known[f"{topic_prefix}results"].partitions) == 3
    a_part(KafkaSink(kafka, topic_prefix=topic_prefix, new_topics=None)).close()


def test_topics_that_cannot_be_made_are_a_misconfiguration(kafka: str, topic_prefix: str) -> None:
    new = NewTopics(replication_factor=3)
    with pytest.raises(ConfigurationError, match=r"cannot create the topic .*replication"):
        a_part(KafkaSink(kafka, topic_prefix=topic_prefix, new_topics=new))


def test_a_broker_that_is_nowhere_stops_the_run_after_max_outage() -> None:
    sink = KafkaSink("127.0.0.1:1", max_outage=timedelta(seconds=1))
    with pytest.raises(SinkError, match=r"127\.0\.0\.1:1 took no records for .*refused"):
        a_part(sink)


@pytest.mark.parametrize(("one", "other"), [DELIVERIES, DELIVERIES[::-1]])
def test_a_run_keeps_its_delivery(
    kafka: str, topic_prefix: str, one: Delivery, other: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overshoot_flow.flow.running.RUN.durable", True)
    part = a_part(KafkaSink(kafka, topic_prefix=topic_prefix, delivery=one))
    state = part.snapshot()
    part.close()
    with pytest.raises(ConfigurationError, match=f'begun with delivery="{one}"'):
        a_part(KafkaSink(kafka, topic_prefix=topic_prefix, delivery=other), state)


def with_password(
    sasl_kafka: tuple[str, str], prefix: str, password: str, delivery: Delivery
) -> KafkaSink:
    bootstrap, certificate = sasl_kafka
    settings = {
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": certificate,
        "sasl.mechanism": "PLAIN",
        "sasl.username": "me",
        "sasl.password": Secret(password),
    }
    return KafkaSink(bootstrap, topic_prefix=prefix, delivery=delivery, settings=settings)


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_credentials_are_used_over_tls(
    kafka: str, sasl_kafka: tuple[str, str], topic_prefix: str, delivery: Delivery
) -> None:
    part = a_part(with_password(sasl_kafka, topic_prefix, "right-password", delivery))
    part.write_batch(results(1))
    part.snapshot()
    part.close()
    assert len(read_topic(kafka, f"{topic_prefix}results")) == 1


def test_wrong_credentials_stop_the_run_at_once_and_are_not_shown(
    sasl_kafka: tuple[str, str], topic_prefix: str, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    sink = with_password(sasl_kafka, topic_prefix, "wrong-password", "at_least_once")
    text = r"refuses: .*Authentication failed.* Check the credentials in settings"
    with caplog.at_level(logging.DEBUG), pytest.raises(SinkError, match=text) as raised:
        a_part(sink)
    everything = str(raised.value) + caplog.text + "".join(capfd.readouterr())
    assert "wrong-password" not in everything


def test_a_certificate_that_is_not_trusted_is_the_reason(
    sasl_kafka: tuple[str, str], topic_prefix: str
) -> None:
    sink = KafkaSink(
        sasl_kafka[0],
        topic_prefix=topic_prefix,
        settings={"security.protocol": "SSL"},
        max_outage=timedelta(seconds=2),
    )
    with pytest.raises(SinkError, match=r"took no records for .*certificate verify failed"):
        a_part(sink)
