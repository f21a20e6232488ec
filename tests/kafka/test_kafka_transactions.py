"""Transactions against a real broker: resume, zombies, and rows that appear once."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic
from kafka_broker import read_topic
from sink_samples import a_part, results

from overshoot_flow.errors import ConfigurationError, SinkError
from overshoot_flow.flow.running import RUN
from overshoot_flow_connectors.kafka import KafkaSink
from overshoot_flow_connectors.kafka_phases import Write
from overshoot_flow_connectors.kafka_producer import AcknowledgedProducer
from overshoot_flow_connectors.kafka_records import KafkaRecord
from overshoot_flow_connectors.kafka_settings import KafkaSettings
from overshoot_flow_connectors.kafka_waiting import Waiting

KILL_LOOP = Path(__file__).parents[2] / "benchmarks" / "kill_loop.py"


@pytest.fixture(autouse=True)
def durable_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run with a state folder."""
    monkeypatch.setattr(RUN, "durable", True)


@pytest.fixture
def sink(kafka: str, topic_prefix: str) -> KafkaSink:
    return KafkaSink(kafka, topic_prefix=topic_prefix, delivery="transactional")


def ids(bootstrap: str, prefix: str, isolation: str = "read_committed") -> list[str]:
    messages = read_topic(bootstrap, f"{prefix}results", isolation=isolation)
    return [json.loads(each.value())["result_id"] for each in messages]


def epoch(part: Any, *numbers: int) -> Any:
    part.write_batch(results(*numbers))
    return part.snapshot()


def test_rows_come_when_the_epoch_after_them_ends(
    kafka: str, topic_prefix: str, sink: KafkaSink
) -> None:
    part = a_part(sink)
    epoch(part, 1, 2)
    assert ids(kafka, topic_prefix) == []
    epoch(part, 3)
    assert ids(kafka, topic_prefix) == ["1", "2"]
    part.close()
    assert ids(kafka, topic_prefix) == ["1", "2"]
    part.finish()
    assert ids(kafka, topic_prefix) == ["1", "2", "3"]


def test_going_on_from_a_state_writes_what_it_holds_once(
    kafka: str, topic_prefix: str, sink: KafkaSink
) -> None:
    part = a_part(sink)
    state = epoch(part, 1, 2)
    part.close()
    # Killed before it was written, and again after it was.
    for _ in range(2):
        a_part(sink, state).close()
        assert ids(kafka, topic_prefix) == ["1", "2"]
    part = a_part(sink, state)
    epoch(part, 3)
    part.finish()
    assert ids(kafka, topic_prefix) == ["1", "2", "3"]


def test_rows_of_an_epoch_that_never_became_durable_are_not_there(
    kafka: str, topic_prefix: str, sink: KafkaSink
) -> None:
    part = a_part(sink)
    state = epoch(part, 1)
    epoch(part, 2)
    part.close()
    part = a_part(sink, state)
    # The service was asked again and answers otherwise.
    epoch(part, 7)
    part.finish()
    assert ids(kafka, topic_prefix) == ["1", "7"]


def test_an_older_state_or_another_cluster_is_refused(
    topic_prefix: str, sink: KafkaSink, kafka: str
) -> None:
    part = a_part(sink)
    old = epoch(part, 1)
    epoch(part, 2)
    epoch(part, 3)
    part.close()
    with pytest.raises(ConfigurationError, match="older than what is in Kafka"):
        a_part(sink, old)
    other = KafkaSink(kafka, topic_prefix=f"{topic_prefix}other-", delivery="transactional")
    with pytest.raises(ConfigurationError, match="other-control knows nothing of this run"):
        a_part(other, old)


def test_a_control_topic_that_forgets_is_refused(kafka: str, topic_prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    name = f"{topic_prefix}control"
    admin.create_topics([NewTopic(name, 2, 1)])[name].result(timeout=60)
    sink = KafkaSink(kafka, topic_prefix=topic_prefix, delivery="transactional")
    with pytest.raises(
        ConfigurationError, match=r"cleanup\.policy=delete and 2 partitions; it must"
    ):
        a_part(sink)


def test_a_zombie_is_fenced_and_writes_nothing(
    kafka: str, topic_prefix: str, sink: KafkaSink
) -> None:
    zombie = a_part(sink)
    state = epoch(zombie, 1)
    heir = a_part(sink, state)
    assert ids(kafka, topic_prefix) == ["1"]
    with pytest.raises(SinkError, match="another instance of this run has taken over"):
        epoch(zombie, 2)
    zombie.close()
    epoch(heir, 3)
    heir.finish()
    assert ids(kafka, topic_prefix) == ["1", "3"]
    assert ids(kafka, topic_prefix, "read_uncommitted") == ["1", "3"]


def test_a_transaction_of_unknown_end_is_looked_up_and_not_repeated(
    kafka: str, topic_prefix: str, sink: KafkaSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = a_part(sink)
    epoch(part, 1)
    commit = AcknowledgedProducer.transaction

    def lose_the_answer(self: AcknowledgedProducer, records: Any) -> None:
        commit(self, records)
        monkeypatch.undo()
        raise KafkaException(KafkaError(KafkaError._TRANSPORT, "the connection broke"))

    monkeypatch.setattr(AcknowledgedProducer, "transaction", lose_the_answer)
    epoch(part, 2)
    assert ids(kafka, topic_prefix) == ["1"]
    monkeypatch.setattr(RUN, "durable", True)
    part.finish()
    assert ids(kafka, topic_prefix) == ["1", "2"]


def test_a_transaction_that_never_comes_to_its_end_ends_the_run_with_the_reason(
    kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = KafkaSink(
        kafka,
        topic_prefix=topic_prefix,
        delivery="transactional",
        max_outage=timedelta(seconds=2),
    )
    part = a_part(sink)
    state = epoch(part, 1)

    def fail(*_arguments: Any) -> None:
        raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, "it was deleted"))

    with monkeypatch.context() as broken:
        broken.setattr(AcknowledgedProducer, "transaction", fail)
        with pytest.raises(SinkError, match=r"no transaction of .* for \d+ s: it was deleted"):
            epoch(part, 2)
    part.close()
    heir = a_part(sink, state)
    heir.finish()
    assert ids(kafka, topic_prefix) == ["1"]


def test_an_open_transaction_of_a_killed_instance_is_aborted(
    kafka: str, topic_prefix: str, sink: KafkaSink
) -> None:
    part = a_part(sink)
    state = epoch(part, 1)
    # What a kill in the middle of the transaction leaves.
    producer = part._writer._connected()
    producer._open.begin_transaction()
    producer.send(KafkaRecord(f"{topic_prefix}results", b"k", b'{"result_id": "cut"}'))
    producer._get_on(producer._open.flush)
    part.close()
    heir = a_part(sink, state)
    assert ids(kafka, topic_prefix) == ["1"]
    assert "cut" in ids(kafka, topic_prefix, "read_uncommitted")
    heir.close()


def test_another_writers_open_transaction_hides_nothing(
    kafka: str, topic_prefix: str, sink: KafkaSink
) -> None:
    part = a_part(sink)
    state = epoch(part, 1)
    other = AcknowledgedProducer(
        KafkaSettings(kafka, {}),
        Waiting(KafkaSettings(kafka, {}), 30),
        max_bytes=10**6,
        timeout_s=10,
        transactional_id=f"{topic_prefix}other",
    )
    other.begin()
    other._open.begin_transaction()
    other.send(KafkaRecord(f"{topic_prefix}control", b"other", b"{}"))
    other._get_on(other._open.flush)
    # Committed behind the first record of the open transaction.
    part._do(Write(1, part._phases.state.rows))
    part.close()
    other._open.abort_transaction(10)
    a_part(sink, state).close()
    assert ids(kafka, topic_prefix) == ["1"]
    other.close()


@pytest.mark.xdist_group("real time")
def test_kills_of_program_and_broker_leave_every_record_once(
    request: pytest.FixtureRequest,
    kafka: str,  # noqa: ARG001 - skipped where no broker can be run
) -> None:
    request.node.user_properties.append(("service", "Kafka broker of its own"))
    options = ["--sink", "kafka", "--kills", "3", "--broker-kills", "1", "--records", "2000"]
    done = subprocess.run(
        [sys.executable, str(KILL_LOOP), *options],
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
    )
    last_line = (done.stdout.splitlines() or [""])[-1]
    assert last_line.startswith("RESULT "), done.stderr
    result = json.loads(last_line.removeprefix("RESULT "))
    assert done.returncode == 0, result
    assert (result["program_kills"], result["broker_kills"]) == (3, 1)
    assert result["records"] == 2000
    assert (result["missing"], result["doubled_read_committed"], result["disordered"]) == (0, 0, 0)
