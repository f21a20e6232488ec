"""Records → Kafka topics, as a Bytewax sink.

Every dataset has a topic: `<topic_prefix>results`, `…dead_letters`, `…gaps` and `…usage`. The key
is the stream key, so that what is said about one stream stays in order; `kafka_records` has the
headers, `kafka_formats` the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never, get_args

from bytewax.outputs import FixedPartitionedSink
from confluent_kafka import Producer

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.running import RUN
from overshoot_flow.schema.records import Dataset, RecordBatchOf
from overshoot_flow_connectors.kafka_control import CONTROL_TOPICS
from overshoot_flow_connectors.kafka_counters import SINK_COUNTERS
from overshoot_flow_connectors.kafka_formats import (
    ArrowEncoder,
    ArrowIpc,
    Avro,
    AvroEncoder,
    Format,
    Json,
    JsonEncoder,
    JsonSchema,
    JsonSchemaEncoder,
    Registry,
)
from overshoot_flow_connectors.kafka_partition import (
    AcknowledgedPartition,
    PlainState,
    TransactionalPartition,
)
from overshoot_flow_connectors.kafka_producer import AcknowledgedProducer, producer_config
from overshoot_flow_connectors.kafka_records import Encoder, RecordMaker
from overshoot_flow_connectors.kafka_registry import RegisteredSchemas
from overshoot_flow_connectors.kafka_settings import KafkaSettings, SettingValue
from overshoot_flow_connectors.kafka_topics import NewTopics, Topics, check_topic_names
from overshoot_flow_connectors.kafka_transactions import TransactionalWriter
from overshoot_flow_connectors.kafka_waiting import DEFAULT_MAX_OUTAGE, Waiting

if TYPE_CHECKING:
    from bytewax.outputs import StatefulSinkPartition

__all__ = [
    "ArrowIpc",
    "Avro",
    "Delivery",
    "Format",
    "Json",
    "JsonSchema",
    "KafkaSink",
    "NewTopics",
    "Registry",
]

Delivery: TypeAlias = Literal["at_least_once", "transactional"]


class KafkaSink(FixedPartitionedSink[RecordBatchOf, "PlainState"]):
    """Writes `(stream_key, RecordBatchOf)` items into Kafka topics.

    `at_least_once`: rows are sent as they come, and an epoch ends only when the broker has made all
    of its rows safe. After a crash the rows of unfinished epochs can come again, under the same
    `record-id` where the answer is the same one.

    `transactional`: rows become visible to `read_committed` readers exactly once, however often
    program and broker are killed, when the run has a state folder. They come one epoch later, all
    rows of an epoch and partition at once.

    While the broker is away the sink waits: no more pictures are read from files, cameras drop
    their oldest, and nothing piles up. After `max_outage` the run stops with the broker's reason.

    Args:
        bootstrap: Brokers to begin with, `host:port[,host:port…]`.
        topic_prefix: What every topic's name begins with.
        topics: Names of single topics, in place of the prefix with the dataset.
        format: What the values are: `Json()`, `ArrowIpc()`, `Avro(registry)` or
            `JsonSchema(registry)`.
        delivery: See above.
        settings: Further settings of librdkafka, such as `security.protocol`; secrets as `Secret`.
        new_topics: How topics are made that are missing; None where they must be there.
        control_topic: Where transactional writers commit how far they are; by default
            `<topic_prefix>control`.
        partitions: How many partitions write, each on one worker at a time. It has nothing to do
            with the topics' partitions.
        max_outage: How long the sink waits for a broker that takes nothing.

    Attributes:
        topics: The topic of every dataset.

    Raises:
        ConfigurationError: A value is out of range, or librdkafka refuses a setting. In the flow:
            a topic is missing, or the registry refuses a schema.
        SinkError: In the flow: the broker refuses a record, or is away for too long.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        topic_prefix: str = "overshoot-",
        topics: Mapping[Dataset | str, str] | None = None,
        format: Format | None = None,  # noqa: A002 - what it is called everywhere else
        delivery: Delivery = "at_least_once",
        settings: Mapping[str, SettingValue] | None = None,
        new_topics: NewTopics | None = NewTopics(),  # noqa: B008 - it is frozen
        control_topic: str | None = None,
        partitions: int = 1,
        max_outage: timedelta = DEFAULT_MAX_OUTAGE,
    ) -> None:
        if delivery not in get_args(Delivery):
            raise ConfigurationError(
                f"delivery is {delivery!r}; it must be one of {', '.join(get_args(Delivery))}"
            )
        if partitions < 1:
            raise ConfigurationError(f"partitions is {partitions}; it must be at least 1")
        if max_outage <= timedelta(0):
            raise ConfigurationError("max_outage must be above 0")
        self.topics = _topics(topic_prefix, topics or {})
        self._control_topic = control_topic or f"{topic_prefix}control"
        check_topic_names([*self.topics.values(), self._control_topic])
        if delivery == "transactional" and self._control_topic in self.topics.values():
            raise ConfigurationError(
                f"{self._control_topic} is the control topic, which is compacted: rows would "
                "vanish from it. Name another topic for them, or another control_topic"
            )
        self._settings = KafkaSettings(bootstrap, settings or {})
        self._max_outage_s = max_outage.total_seconds()
        self._format: Format = Json() if format is None else format
        self._delivery = delivery
        self._new_topics = new_topics
        self._partitions = partitions
        # librdkafka checks names, values and files of settings when it makes a client.
        config = producer_config(
            self._settings, max_bytes=self._settings.max_bytes, timeout_s=2 * self._max_outage_s
        )
        self._settings.make(Producer, config)
        self._encoder()

    def list_parts(self) -> list[str]:
        """Return the names of the partitions."""
        return [f"part-{index:04d}" for index in range(self._partitions)]

    def build_part(
        self, step_id: str, for_part: str, resume_state: PlainState | None
    ) -> StatefulSinkPartition[RecordBatchOf, PlainState]:
        """Connect, and in transactional mode bring the topics to where the recovery state is.

        Raises:
            ConfigurationError: The cluster, its topics and the state do not fit together.
            SinkError: The cluster refuses, or cannot be reached.
        """
        waiting = Waiting(self._settings, self._max_outage_s)
        counters = SINK_COUNTERS.of((step_id, for_part))
        counters.follow_waits(waiting.facts)
        topics = Topics(self._settings, waiting)
        names = list(self.topics.values())
        topics.ensure(names, self._new_topics)
        limits = topics.limits(names)
        maker = RecordMaker(self._encoder(), self.topics, limits.__getitem__, counters)
        max_bytes = min(limits.values())
        if self._delivery == "at_least_once":
            producer = AcknowledgedProducer(
                self._settings,
                waiting,
                max_bytes=max_bytes,
                timeout_s=2 * self._max_outage_s,
                counters=counters,
            )
            return AcknowledgedPartition(maker, producer, resume_state)
        if resume_state is not None and not RUN.durable:
            raise ConfigurationError(
                "these rows belong to a run with a state folder: go on with "
                "overshoot_flow.flow.run and that folder"
            )
        new = self._new_topics
        if new is not None:
            new = replace(CONTROL_TOPICS, replication_factor=new.replication_factor)
        topics.ensure([self._control_topic], new)
        topics.check_compacted(self._control_topic)

        def connect(transactional_id: str) -> TransactionalWriter:
            return TransactionalWriter(
                self._settings,
                waiting,
                control_topic=self._control_topic,
                transactional_id=transactional_id,
                max_bytes=max_bytes,
                counters=counters,
            )

        part = TransactionalPartition(
            maker,
            connect,
            resume_state,
            writer=f"{step_id}.{for_part}",
            control_topic=self._control_topic,
            resumable=RUN.durable,
        )
        if RUN.durable:
            RUN.at_success(part.finish)
        return part

    def _encoder(self) -> Encoder:
        match self._format:
            case Json():
                return JsonEncoder()
            case ArrowIpc():
                return ArrowEncoder()
            case Avro(registry):
                ids = RegisteredSchemas(registry, self._max_outage_s)
                return AvroEncoder(ids, registry.subject_naming)
            case JsonSchema(registry):
                ids = RegisteredSchemas(registry, self._max_outage_s)
                return JsonSchemaEncoder(ids, registry.subject_naming)
            case _:
                assert_never(self._format)


def _topics(prefix: str, named: Mapping[Dataset | str, str]) -> dict[Dataset, str]:
    topics = {dataset: f"{prefix}{dataset}" for dataset in Dataset}
    for dataset, topic in named.items():
        if dataset not in topics:
            raise ConfigurationError(
                f"topics names {dataset!r}; the datasets are {', '.join(Dataset)}"
            )
        topics[Dataset(dataset)] = topic
    return topics
