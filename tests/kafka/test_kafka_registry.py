"""Avro and JSON Schema through a real schema registry, read by confluent-kafka's own readers."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from kafka_broker import headers_of, read_topic
from outcome_samples import a_failure, a_gap, a_result, a_usage
from sink_samples import a_part, batches

from overshoot_flow.config import Secret
from overshoot_flow.errors import ConfigurationError, SinkError
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.records import RecordBatchOf, RecordBuilder
from overshoot_flow_connectors import kafka_registry
from overshoot_flow_connectors.kafka import Avro, Json, JsonSchema, KafkaSink, Registry
from overshoot_flow_connectors.kafka_patience import Patience
from overshoot_flow_connectors.kafka_registry import RegisteredSchemas

CARS = {
    "type": "object",
    "properties": {"cars": {"type": "integer"}},
    "required": ["cars"],
    "additionalProperties": False,
}
TEXT = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}


def typed(schema: dict[str, Any], output: Any, schema_key: str | None = None) -> RecordBatchOf:
    compiled = OutputSchema(schema)
    result = a_result(output=output, labels={"site": "a"})
    (records,) = RecordBuilder(compiled).batches([result])
    return replace(records, schema_key=schema_key)


def write(sink: KafkaSink, values: list[RecordBatchOf]) -> None:
    part = a_part(sink)
    try:
        part.write_batch(values)
        part.snapshot()
    finally:
        part.close()


def test_avro_is_read_by_confluents_reader(kafka: str, registry: str, topic_prefix: str) -> None:
    sink = KafkaSink(kafka, topic_prefix=topic_prefix, format=Avro(Registry(url=registry)))
    write(sink, [typed(CARS, {"cars": 3}), *batches([a_failure(), a_gap(), a_usage()])])
    read = AvroDeserializer(SchemaRegistryClient({"url": registry}))
    rows = {}
    for dataset, topic in sink.topics.items():
        (message,) = read_topic(kafka, topic)
        assert headers_of(message)["content-type"] == "application/vnd.confluent.avro"
        rows[dataset.value] = read(message.value(), SerializationContext(topic, MessageField.VALUE))
    assert rows["results"]["output"] == {"cars": 3}
    assert rows["results"]["labels"] == {"site": "a"}
    assert rows["results"]["received_at"].isoformat() == "2024-01-01T00:00:00.000001+00:00"
    assert rows["dead_letters"]["reason"] == "schema"
    assert rows["gaps"]["frames_lost"] == 5
    assert rows["usage"]["cost_cents"] == 0.5


def test_json_schema_has_its_schema_in_the_registry(
    kafka: str, registry: str, topic_prefix: str
) -> None:
    sink = KafkaSink(kafka, topic_prefix=topic_prefix, format=JsonSchema(Registry(url=registry)))
    write(sink, [typed(CARS, {"cars": 3})])
    (message,) = read_topic(kafka, f"{topic_prefix}results")
    assert json.loads(message.value()[5:])["output"] == {"cars": 3}
    client = SchemaRegistryClient({"url": registry})
    known = client.get_latest_version(f"{topic_prefix}results-value")
    assert message.value()[:5] == b"\0" + int(known.schema_id).to_bytes(4, "big")
    assert known.schema.schema_type == "JSON"
    assert json.loads(known.schema.schema_str)["title"] == "overshoot.results"


def test_an_incompatible_schema_is_explained(kafka: str, registry: str, topic_prefix: str) -> None:
    subject = f"{topic_prefix}results-value"
    client = SchemaRegistryClient({"url": registry})
    client.set_compatibility(subject, level="BACKWARD")
    sink = KafkaSink(kafka, topic_prefix=topic_prefix, format=Avro(Registry(url=registry)))
    write(sink, [typed(CARS, {"cars": 3})])
    text = rf'AVRO schema incompatible .* subject {subject} has: .*subject_naming="topic_record"'
    with pytest.raises(ConfigurationError, match=text):
        write(sink, [typed(TEXT, {"text": "x"})])


def test_several_output_schemas_have_subjects_of_their_own(
    kafka: str, registry: str, topic_prefix: str
) -> None:
    where = Registry(url=registry, subject_naming="topic_record")
    sink = KafkaSink(kafka, topic_prefix=topic_prefix, format=Avro(where))
    write(sink, [typed(CARS, {"cars": 3}, "s1"), typed(TEXT, {"text": "x"}, "s2")])
    subjects = SchemaRegistryClient({"url": registry}).get_subjects()
    topic = f"{topic_prefix}results"
    assert {each for each in subjects if each.startswith(topic)} == {
        f"{topic}-overshoot.results_s1",
        f"{topic}-overshoot.results_s2",
    }
    assert len(read_topic(kafka, topic)) == 2


def test_schemas_may_have_to_be_there(kafka: str, registry: str, topic_prefix: str) -> None:
    where = Registry(url=registry, register=False)
    sink = KafkaSink(kafka, topic_prefix=topic_prefix, format=Avro(where))
    with pytest.raises(ConfigurationError, match=r"does not have this schema .*register=True"):
        write(sink, [typed(CARS, {"cars": 3})])
    registering = KafkaSink(kafka, topic_prefix=topic_prefix, format=Avro(Registry(url=registry)))
    write(registering, [typed(CARS, {"cars": 3})])
    write(sink, [typed(CARS, {"cars": 4})])
    assert len(read_topic(kafka, f"{topic_prefix}results")) == 2


def test_a_registry_that_is_away_stops_the_run_without_its_secret() -> None:
    where = Registry(
        url="http://127.0.0.1:1", settings={"basic.auth.user.info": Secret("me:geheim")}
    )
    assert "geheim" not in repr(where)
    schemas = RegisteredSchemas(where, max_outage_s=0.1)
    with pytest.raises(SinkError, match=r"registry at 127\.0\.0\.1:1 cannot be reached") as raised:
        schemas.id_of("s", '"string"', "AVRO")
    assert "geheim" not in str(raised.value)


def test_the_log_says_that_one_waits_for_the_registry(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kafka_registry, "Patience", partial(Patience, _next_word_s=0.0))
    where = Registry(url="http://127.0.0.1:1", settings={"max.retries": 0})
    with pytest.raises(SinkError, match="cannot be reached"):
        RegisteredSchemas(where, max_outage_s=1.5).id_of("s", '"string"', "AVRO")
    (record,) = caplog.records
    assert "registry at 127.0.0.1:1 cannot be reached: " in record.getMessage()


def test_json_needs_no_registry() -> None:
    assert KafkaSink("h:1", format=Json()).topics
