"""What a user must be allowed to do, with a real broker that asks: what the documentation says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)
from installed_services import ServiceMissingError
from kafka_broker import Broker, read_topic
from sink_samples import a_part, results

from overshoot_flow.config import Secret
from overshoot_flow.errors import ConfigurationError, SinkError
from overshoot_flow.flow.running import RUN
from overshoot_flow_connectors.kafka import Delivery, KafkaSink
from overshoot_flow_connectors.kafka_requests import RequestPartition
from overshoot_flow_connectors.kafka_settings import FORBIDDEN_TO_SOURCES, KafkaSettings
from overshoot_flow_connectors.kafka_waiting import Waiting

AUTHORIZER = """\
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""
TOPIC, TRANSACTIONAL_ID = ResourceType.TOPIC, ResourceType.TRANSACTIONAL_ID
READ, WRITE = AclOperation.READ, AclOperation.WRITE
CREATE, DESCRIBE = AclOperation.CREATE, AclOperation.DESCRIBE
PATIENCE_S = 15.0


class Guarded:
    """A broker that allows the user `me` only what is said here."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.bootstrap = broker.bootstrap
        self._admin = AdminClient({"bootstrap.servers": broker.bootstrap})

    def make(self, *topics: str, **config: str) -> None:
        for future in self._admin.create_topics(
            [NewTopic(topic, 1, 1, config=config) for topic in topics]
        ).values():
            future.result(timeout=10)

    def allow(self, kind: Any, name: str, *operations: Any) -> None:
        """Allow them on all whose names begin so."""
        bindings = [
            AclBinding(
                kind, name, ResourcePatternType.PREFIXED, "User:me", "*", each,
                AclPermissionType.ALLOW,
            )
            for each in operations
        ]  # fmt: skip
        for future in self._admin.create_acls(bindings).values():
            future.result(timeout=10)

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(self._broker.certificate),
            "sasl.mechanism": "PLAIN",
            "sasl.username": "me",
            "sasl.password": Secret("right-password"),
        }

    def sink(self, prefix: str, delivery: Delivery, **options: Any) -> KafkaSink:
        return KafkaSink(
            self._broker.sasl_bootstrap,
            topic_prefix=prefix,
            delivery=delivery,
            settings=self.settings,
            max_outage=timedelta(seconds=PATIENCE_S),
            **options,
        )

    def requests(self, topic: str) -> RequestPartition:
        settings = KafkaSettings(self._broker.sasl_bootstrap, self.settings, FORBIDDEN_TO_SOURCES)
        return RequestPartition(
            settings, Waiting(settings, PATIENCE_S), topic, 0,
            offset=None, read_committed=True, stop_at_end=True,
        )  # fmt: skip


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    folder: Path = tmp_path_factory.mktemp("guarded")
    try:
        broker = Broker(folder, AUTHORIZER)
    except ServiceMissingError as missing:
        pytest.skip(str(missing))
    yield broker
    broker.kill()


@pytest.fixture
def guarded(broker: Broker, request: pytest.FixtureRequest) -> Guarded:
    request.node.user_properties.append(("service", "Kafka broker that asks for permissions"))
    return Guarded(broker)


def with_all_topics(guarded: Guarded, prefix: str) -> None:
    guarded.make(*(f"{prefix}{each}" for each in ("results", "dead_letters", "gaps", "usage")))
    guarded.make(f"{prefix}control", **{"cleanup.policy": "compact"})


def test_the_documented_permissions_are_enough_for_transactions(
    guarded: Guarded, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RUN, "durable", True)
    with_all_topics(guarded, topic_prefix)
    guarded.allow(TOPIC, topic_prefix, WRITE, DESCRIBE)
    guarded.allow(TOPIC, f"{topic_prefix}control", READ)
    guarded.allow(TRANSACTIONAL_ID, "overshoot-flow.", WRITE, DESCRIBE)
    state = None
    for number in range(3):
        part = a_part(guarded.sink(topic_prefix, "transactional"), state)
        part.write_batch(results(number))
        state = part.snapshot()
        part.close()
    a_part(guarded.sink(topic_prefix, "transactional"), state).finish()
    RUN._at_success.clear()
    assert len(read_topic(guarded.bootstrap, f"{topic_prefix}results")) == 3


def test_the_documented_permissions_are_enough_for_requests(
    guarded: Guarded, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}clips"
    guarded.make(topic)
    guarded.allow(TOPIC, topic, READ, DESCRIBE)
    writer = KafkaSink(guarded.bootstrap, topic_prefix=topic_prefix, topics={"results": topic})
    part = a_part(writer)
    part.write_batch(results(*range(5)))
    part.snapshot()
    part.close()
    requests = guarded.requests(topic)
    offsets: list[int] = []
    deadline_s = time.monotonic() + 60
    while not requests.exhausted:
        assert time.monotonic() < deadline_s
        asked = requests.poll()
        if asked is None:
            time.sleep(0.02)
        else:
            offsets.append(asked.offset)
    # The broker's word about the group comes at any time, and ends nothing.
    until_s = time.monotonic() + 3
    while time.monotonic() < until_s:
        assert requests.poll() is None
        time.sleep(0.05)
    requests.close()
    assert offsets == list(range(5))


@pytest.mark.parametrize("pause_s", [0.0, 2.0], ids=["while it is found out", "afterwards"])
@pytest.mark.parametrize("delivery", ["at_least_once", "transactional"])
def test_a_user_who_may_not_write_is_told_so(
    guarded: Guarded, topic_prefix: str, delivery: Delivery, pause_s: float
) -> None:
    with_all_topics(guarded, topic_prefix)
    guarded.allow(TOPIC, topic_prefix, DESCRIBE)

    def write() -> None:
        part = a_part(guarded.sink(topic_prefix, delivery))
        try:
            # The client learns of it by itself, before a record comes or after.
            time.sleep(pause_s)
            part.write_batch(results(1))
            part.snapshot()
        finally:
            part.close()

    with pytest.raises(SinkError, match="AUTHORIZATION_FAILED"):
        write()


@pytest.mark.parametrize("may_create", [True, False], ids=["may create", "may do nothing"])
@pytest.mark.parametrize("options", [{}, {"new_topics": None}], ids=["made", "must be there"])
def test_topics_that_a_user_may_not_see_are_no_missing_topics(
    guarded: Guarded, topic_prefix: str, options: dict[str, Any], *, may_create: bool
) -> None:
    with_all_topics(guarded, topic_prefix)
    if may_create:
        guarded.allow(TOPIC, topic_prefix, CREATE)
    with pytest.raises(ConfigurationError, match=r"allow (the|this) user to describe it"):
        a_part(guarded.sink(topic_prefix, "at_least_once", **options))
