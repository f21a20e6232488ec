"""Topics: whether they are there, and how large a record may be."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]  # missing in its stubs
from confluent_kafka.cimpl import NewTopic

from overshoot_flow.errors import ConfigurationError
from overshoot_flow_connectors.kafka_patience import Patience, Verdict
from overshoot_flow_connectors.kafka_settings import KafkaSettings
from overshoot_flow_connectors.kafka_waiting import SLICE_S, Waiting

_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_REQUEST_S: Final = 10.0
_APPEAR_S: Final = 30.0
"""So long may a topic that was made be unknown to a broker."""
_REFUSED_CODES: Final = (
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
)
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTopics:
    """How topics are made that are not there.

    Args:
        partitions: How many partitions; None for the broker's default.
        replication_factor: On how many brokers; None for the broker's default.
        config: Further settings of the topics, such as `{"retention.ms": "604800000"}`.

    Raises:
        ConfigurationError: A number is below 1.
    """

    partitions: int | None = None
    replication_factor: int | None = None
    config: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for name in ("partitions", "replication_factor"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} of new topics is {value}; it must be at least 1")


class Topics:
    """Asks a cluster about topics; waits while it is away.

    Args:
        settings: How to reach it.
        waiting: How long to wait.
    """

    def __init__(self, settings: KafkaSettings, waiting: Waiting) -> None:
        self._settings = settings
        self._waiting = waiting
        config = {**settings.for_connection(), "error_cb": waiting.on_error}
        self._admin: AdminClient = settings.make(AdminClient, config)

    def ensure(self, names: Iterable[str], new: NewTopics | None) -> None:
        """Make the topics that are not there.

        Args:
            names: The topics.
            new: How they are made; None where that is somebody else's business.

        Raises:
            ConfigurationError: A topic is missing and is not to be made, or cannot be.
            SinkError: The cluster cannot be reached.
        """
        wanted = sorted(set(names))
        there = self._there(wanted)
        missing = [name for name in wanted if name not in there]
        if not missing:
            return
        if new is None:
            raise ConfigurationError(
                f"Kafka has no topic {', '.join(missing)} for this user: create it, or let the "
                "sink do it with new_topics=NewTopics(). If it is there, allow the user to "
                "describe it"
            )
        topics = [
            NewTopic(
                name,
                num_partitions=new.partitions or -1,
                replication_factor=new.replication_factor or -1,
                config=dict(new.config),
            )
            for name in missing
        ]
        for name in missing:
            self._make(next(each for each in topics if each.topic == name))
        appearing = Patience(min(_APPEAR_S, self._waiting.max_outage_s), time.monotonic())
        while unseen := set(wanted) - self._there(wanted):
            if appearing.look(time.monotonic()) is Verdict.GIVE_UP:
                raise ConfigurationError(
                    f"Kafka says that the topic {', '.join(sorted(unseen))} exists and does not "
                    "show it: allow this user to describe it"
                )
            time.sleep(SLICE_S)

    def _make(self, topic: NewTopic) -> None:
        try:
            self._answer(
                lambda: self._admin.create_topics([topic], request_timeout=_REQUEST_S)[topic.topic]
            )
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise ConfigurationError(
                    f"cannot create the topic {topic.topic}: "
                    f"{self._settings.reason(error.args[0])}. Create it yourself, or correct "
                    "new_topics. If it is there, allow this user to describe it"
                ) from None

    def describe(self, name: str) -> tuple[str, tuple[int, ...]]:
        """Return the id of a topic and the numbers of its partitions.

        Raises:
            ConfigurationError: There is no such topic, or this user may not know of it.
            OvershootFlowError: The cluster cannot be reached.
        """
        try:
            topic = self._answer(
                lambda: self._admin.describe_topics(
                    TopicCollection([name]), request_timeout=_REQUEST_S
                )[name]
            )
        except KafkaException as error:
            raise ConfigurationError(
                f"Kafka has no topic {name} for this user: "
                f"{self._settings.reason(error.args[0])}. Create it, or correct the name"
            ) from None
        return str(topic.topic_id), tuple(sorted(each.id for each in topic.partitions))

    def limits(self, names: Iterable[str]) -> dict[str, int]:
        """Return the largest record of each topic in bytes: the topic's limit or the client's.

        A cluster that does not tell leaves the client's.

        Raises:
            SinkError: The cluster cannot be reached.
        """
        limits = {}
        for name in set(names):
            told = self._config(name).get("max.message.bytes")
            own = self._settings.max_bytes
            limits[name] = own if told is None else min(int(told), own)
        return limits

    def check_compacted(self, name: str) -> None:
        """Check that a topic keeps the last record of every key, in one partition.

        Raises:
            ConfigurationError: It does not.
            SinkError: The cluster cannot be reached.
        """
        policy = self._config(name).get("cleanup.policy", "compact")
        partitions = len(self._metadata()[name].partitions)
        if policy != "compact" or partitions != 1:
            raise ConfigurationError(
                f"the topic {name} has cleanup.policy={policy} and {partitions} partitions; it "
                "must have cleanup.policy=compact and 1: correct it, or name another control_topic"
            )

    def _config(self, name: str) -> dict[str, str]:
        resource = ConfigResource(ResourceType.TOPIC, name)
        try:
            config = self._answer(
                lambda: self._admin.describe_configs([resource], request_timeout=_REQUEST_S)[
                    resource
                ]
            )
        except KafkaException as error:
            if error.args[0].code() in _REFUSED_CODES:
                return {}
            raise ConfigurationError(
                f"cannot ask for the configuration of the topic {name}: "
                f"{self._settings.reason(error.args[0])}"
            ) from None
        return {key: entry.value for key, entry in config.items()}

    def _there(self, names: list[str]) -> set[str]:
        known = self._metadata()
        return {name for name in names if name in known and known[name].error is None}

    def _metadata(self) -> dict[str, Any]:
        while True:
            try:
                # A metadata request for one topic could make it, where the broker does that.
                topics: dict[str, Any] = self._admin.list_topics(timeout=SLICE_S * 5).topics
            except KafkaException as error:
                self._admin.poll(SLICE_S)
                self._waiting.step(error.args[0])
            else:
                self._waiting.done()
                return topics

    def _answer(self, ask: Callable[[], Future[_Answer]]) -> _Answer:
        while True:
            answer: Future[Any] = ask()
            while not wait([answer], SLICE_S).done:
                # For what is said about the brokers.
                self._admin.poll(0)
                self._waiting.step()
            try:
                value: _Answer = answer.result()
            except KafkaException as error:
                if not is_outage(error.args[0]):
                    raise
                self._waiting.step(error.args[0])
            else:
                self._waiting.done()
                return value


def check_topic_names(names: Iterable[str]) -> None:
    """Check names of topics.

    Raises:
        ConfigurationError: One is no name.
    """
    for name in names:
        if not _TOPIC.fullmatch(name) or name in {".", ".."}:
            raise ConfigurationError(
                f"{name!r} is no name of a topic: letters, digits, '.', '_' and '-', at most 249"
            )


def is_outage(error: KafkaError) -> bool:
    """Whether an error says that the cluster cannot be reached now, rather than no."""
    return bool(error.retriable()) or error.code() in (
        KafkaError._TRANSPORT,  # noqa: SLF001 - the library's spelling of its own codes
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
        KafkaError._MSG_TIMED_OUT,  # noqa: SLF001
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
    )
