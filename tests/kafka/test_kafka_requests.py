"""Reading requests from a position of one's own, from a real broker."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from kafka_broker import Broker

from overshoot_flow.config import Secret
from overshoot_flow.errors import ConfigurationError, RequestsError
from overshoot_flow_connectors.kafka_clips import KafkaClipSource
from overshoot_flow_connectors.kafka_requests import Asked, RequestPartition
from overshoot_flow_connectors.kafka_settings import FORBIDDEN_TO_SOURCES, KafkaSettings
from overshoot_flow_connectors.kafka_waiting import REQUESTS, Waiting

PASSWORD = "hidden-password"  # noqa: S105 - it opens nothing


def make_topic(bootstrap: str, name: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(timeout=60)


def write(bootstrap: str, topic: str, *values: str, transaction: str | None = None) -> None:
    """Write values; with `transaction` in one that is committed or aborted."""
    config = {"bootstrap.servers": bootstrap}
    if transaction is not None:
        config["transactional.id"] = f"{topic}-{transaction}"
    producer = Producer(config)
    if transaction is not None:
        producer.init_transactions(10)
        producer.begin_transaction()
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(10) == 0
    if transaction == "commit":
        producer.commit_transaction(10)
    elif transaction == "abort":
        producer.abort_transaction(10)


def delete_before(bootstrap: str, topic: str, offset: int) -> None:
    """Do what the retention of a topic does."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    place = TopicPartition(topic, 0, offset)
    admin.delete_records([place])[place].result(timeout=60)


Opened = Callable[..., RequestPartition]


@pytest.fixture
def topic(kafka: str, topic_prefix: str) -> str:
    make_topic(kafka, f"{topic_prefix}clips")
    return f"{topic_prefix}clips"


@pytest.fixture
def opened(kafka: str, topic: str) -> Iterator[Opened]:
    """Opens the topic, and closes what was opened."""
    parts: list[RequestPartition] = []

    def open_(offset: int | None = None, *, bounded: bool = True, **given: Any) -> RequestPartition:
        bootstrap = given.pop("bootstrap", kafka)
        settings = KafkaSettings(bootstrap, {}, FORBIDDEN_TO_SOURCES)
        parts.append(
            RequestPartition(
                settings,
                Waiting(settings, given.pop("max_outage_s", 30), REQUESTS, RequestsError),
                given.pop("topic", topic),
                0,
                offset=offset,
                read_committed=given.pop("read_committed", True),
                stop_at_end=bounded,
            )
        )
        return parts[-1]

    yield open_
    for part in parts:
        part.close()


def read(part: RequestPartition, count: int | None = None) -> list[Asked]:
    """Read so many records, or up to the end."""
    found: list[Asked] = []
    deadline_s = time.monotonic() + 20
    while len(found) < count if count is not None else not part.exhausted:
        assert time.monotonic() < deadline_s, found
        asked = part.poll()
        if asked is None:
            time.sleep(0.01)
        else:
            found.append(asked)
    return found


def texts(found: list[Asked]) -> list[str]:
    return ["" if asked.value is None else asked.value.decode() for asked in found]


def test_it_reads_up_to_where_the_partition_ends_at_the_start(
    kafka: str, topic: str, opened: Opened
) -> None:
    write(kafka, topic, "a", "b", "c")
    part = opened()
    write(kafka, topic, "later")
    assert texts(read(part)) == ["a", "b", "c"]
    assert part.poll() is None
    assert part.offset == 3
    again = opened(part.offset)
    assert read(again) == [Asked(3, b"later")]


def test_a_topic_without_records_is_at_its_end(opened: Opened) -> None:
    part = opened()
    assert part.exhausted
    assert part.poll() is None


def test_it_follows_the_topic(kafka: str, topic: str, opened: Opened) -> None:
    part = opened(bounded=False)
    assert part.poll() is None
    write(kafka, topic, "a")
    assert texts(read(part, 1)) == ["a"]
    write(kafka, topic, "b", "c", "d")
    assert texts(read(part, 1)) == ["b"]
    assert part.lag() == 2
    assert texts(read(part, 2)) == ["c", "d"]
    assert part.lag() == 0
    assert not part.exhausted


def test_aborted_transactions_are_left_out_and_their_marks_are_no_requests(
    kafka: str, topic: str, opened: Opened
) -> None:
    write(kafka, topic, "a", "b", transaction="commit")
    write(kafka, topic, "c", transaction="abort")
    part = opened()
    assert texts(read(part)) == ["a", "b"]
    # The last records of the partition are marks: to go on behind them loses nothing.
    assert part.offset == 5
    assert read(opened(part.offset)) == []
    assert texts(read(opened(read_committed=False))) == ["a", "b", "c"]


def test_an_open_transaction_is_the_end_for_those_who_read_what_is_committed(
    kafka: str, topic: str, opened: Opened
) -> None:
    write(kafka, topic, "a")
    write(kafka, topic, "left out", transaction="abort")
    write(kafka, topic, "open", transaction="leave open")
    part = opened()
    assert texts(read(part)) == ["a"]
    # Behind the aborted one and its mark, and not behind the open one.
    assert part.offset == 3


@pytest.mark.parametrize("when", ["between two parts of a run", "while it runs"])
def test_requests_that_were_deleted_before_they_were_read_are_told(
    kafka: str, topic: str, opened: Opened, when: str
) -> None:
    write(kafka, topic, "a")
    part = opened(bounded=False)
    assert texts(read(part, 1)) == ["a"]
    if when == "while it runs":
        # Nothing is fetched while this waits, for the client has found the end.
        part._consumer.pause([TopicPartition(topic, 0)])
        write(kafka, topic, "b", "c", "d")
        delete_before(kafka, topic, 3)
        part._consumer.seek(TopicPartition(topic, 0, 1))
        part._consumer.resume([TopicPartition(topic, 0)])
    else:
        write(kafka, topic, "b", "c", "d")
        delete_before(kafka, topic, 3)
        part = opened(part.offset)
    assert read(part, 2) == [Asked(1, None, 3), Asked(3, b"d")]
    assert part.offset == 4


def test_a_partition_that_ends_before_what_was_read_is_refused(
    kafka: str, topic: str, opened: Opened
) -> None:
    write(kafka, topic, "a")
    with pytest.raises(RequestsError, match=r"ends at offset 1, and .* up to 7"):
        opened(7)


def test_a_topic_that_was_made_anew_is_another_source(kafka: str, topic: str) -> None:
    before = KafkaClipSource(kafka, topic).identities()
    assert before == KafkaClipSource(kafka, topic).identities()
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.delete_topics([topic])[topic].result(timeout=60)
    deadline_s = time.monotonic() + 20
    while True:
        try:
            make_topic(kafka, topic)
            break
        except KafkaException:
            # It is still being deleted.
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
    while True:
        try:
            after = KafkaClipSource(kafka, topic).identities()
            break
        except ConfigurationError:
            # It is made, and not yet known to all of the broker.
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
    assert before.keys() == after.keys() == {f"{topic}-0"}
    assert before != after


def test_a_topic_that_is_not_there_is_a_misconfiguration(kafka: str, topic_prefix: str) -> None:
    with pytest.raises(ConfigurationError, match=f"no topic {topic_prefix}no for this user"):
        KafkaClipSource(kafka, f"{topic_prefix}no").list_parts()


def test_a_broker_that_comes_back_is_read_on_and_one_that_stays_away_ends_it(
    own_broker: Broker, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    make_topic(own_broker.bootstrap, "clips")
    write(own_broker.bootstrap, "clips", "a")
    given: dict[str, Any] = {"bootstrap": own_broker.bootstrap, "topic": "clips"}
    part = opened(bounded=False, **given)
    short = opened(bounded=False, max_outage_s=1, **given)
    assert texts(read(part, 1)) == texts(read(short, 1)) == ["a"]
    own_broker.kill()
    with pytest.raises(RequestsError, match=r"gave no requests for .*(refused|[Dd]isconnect|down)"):
        read(short, 1)
    own_broker.start()
    write(own_broker.bootstrap, "clips", "b")
    with caplog.at_level(logging.INFO):
        assert texts(read(part, 1)) == ["b"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"bootstrap": f"me:{PASSWORD}@host:1"}, "credentials belong into settings"),
        ({"topic": "a b"}, "no name of a topic"),
        ({"concurrent": 0}, "at least 1 file"),
        ({"max_height": 1}, "at least 2 pixels"),
        ({"settings": {"group.id": "x"}}, "group.id cannot be given: positions are part of"),
        ({"settings": {"auto.offset.reset": "latest"}}, "nothing is skipped without a record"),
        ({"settings": {"isolation.level": "read_committed"}}, "give read_committed instead"),
        ({"settings": {"no.such": 1}}, "refuses the settings: No such configuration property"),
        ({"within": "s3://key:secret@bucket/x"}, "has credentials"),
    ],
)
def test_what_cannot_work_fails_at_construction(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text) as caught:
        KafkaClipSource(**{"bootstrap": "127.0.0.1:1", "topic": "clips", **arguments})
    assert PASSWORD not in str(caught.value)


def test_no_secret_is_shown_when_the_broker_refuses(
    sasl_kafka: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    bootstrap, certificate = sasl_kafka
    source = KafkaClipSource(
        bootstrap,
        "clips",
        settings={
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": certificate,
            "sasl.mechanism": "PLAIN",
            "sasl.username": "nobody",
            "sasl.password": Secret(PASSWORD),
            "debug": "all",
        },
    )
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(RequestsError, match=r"refuses: .*Check the credentials") as caught,
    ):
        source.list_parts()
    assert len(caplog.records) > 10
    assert PASSWORD not in f"{caught.value} {source!r} {vars(source)} {caplog.text}"
