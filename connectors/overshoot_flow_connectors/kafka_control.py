"""The control topic: which sequence of each transactional writer is committed, and by whom.

One compacted topic for all writers. A writer's records are keyed by its transactional id; each
transaction writes one, so that it is committed if and only if the rows are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from overshoot_flow.errors import SinkError
from overshoot_flow_connectors.kafka_records import KafkaRecord
from overshoot_flow_connectors.kafka_settings import KafkaSettings
from overshoot_flow_connectors.kafka_topics import NewTopics, is_outage
from overshoot_flow_connectors.kafka_waiting import SLICE_S, Waiting

CONTROL_TOPICS: Final = NewTopics(
    partitions=1,
    config={
        "cleanup.policy": "compact",
        # Small segments are compacted soon, so that a start reads little.
        "segment.bytes": str(16 << 20),
        "min.cleanable.dirty.ratio": "0.1",
    },
)
_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class Committed:
    """What the newest control record of a writer says.

    Attributes:
        sequence: Up to which sequence the rows are committed; 0 before the first.
        instance: Random name of the process that committed it.
    """

    sequence: int
    instance: str

    def to_record(self, topic: str, writer: str) -> KafkaRecord:
        """Return the control record of the writer with this transactional id."""
        value = json.dumps({"sequence": self.sequence, "instance": self.instance})
        return KafkaRecord(topic, writer.encode(), value.encode())


class ControlTopic:
    """Reads the control topic.

    Args:
        settings: Settings of the cluster.
        waiting: How long to wait.
        topic: Its name.
    """

    def __init__(self, settings: KafkaSettings, waiting: Waiting, topic: str) -> None:
        self._settings = settings
        self._waiting = waiting
        self._topic = topic

    def committed(self, writer: str) -> Committed | None:
        """Return what is committed of a writer, which must have no open transaction.

        An open transaction of another writer hides everything behind its first record. So it is
        read up to the end that the topic had at the beginning, however long such a one takes.

        Raises:
            SinkError: The cluster cannot be reached, or the record is not the sink's.
        """
        newest = self._newest(writer, "read_committed")
        return None if newest is None else self._read(newest)

    def newest_instance(self, writer: str) -> str | None:
        """Return who wrote last as this writer, committed or not; waits for no transaction.

        Raises:
            SinkError: The cluster cannot be reached, or the record is not the sink's.
        """
        newest = self._newest(writer, "read_uncommitted")
        return None if newest is None else self._read(newest).instance

    def _newest(self, writer: str, isolation: str) -> bytes | None:
        # What a `read_committed` consumer calls the end is where the first open transaction begins.
        everything = self._consumer("read_uncommitted")
        try:
            end = self._end(everything)
        finally:
            everything.close()
        consumer = self._consumer(isolation)
        newest: bytes | None = None
        reached = 0
        try:
            consumer.assign([TopicPartition(self._topic, 0, 0)])
            while reached < end:
                before = reached
                for message in consumer.consume(_BATCH, timeout=SLICE_S):
                    reached = max(reached, self._reached(message))
                    if message.error() is None and message.key() == writer.encode():
                        newest = message.value()
                if reached > before:
                    self._waiting.done()
                else:
                    self._waiting.step()
        finally:
            consumer.close()
        self._waiting.done()
        return newest

    def _consumer(self, isolation: str) -> Consumer:
        consumer: Consumer = self._settings.make(
            Consumer,
            {
                **self._settings.for_connection(),
                "group.id": "overshoot-flow-control",
                "enable.auto.commit": False,
                "isolation.level": isolation,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "error_cb": self._waiting.on_error,
            },
        )
        return consumer

    def _end(self, consumer: Consumer) -> int:
        while True:
            try:
                offsets = consumer.get_watermark_offsets(
                    TopicPartition(self._topic, 0), timeout=SLICE_S * 5
                )
            except KafkaException as error:
                if not is_outage(error.args[0]):
                    raise self._unreadable(error.args[0]) from None
                self._waiting.step(error.args[0])
            else:
                self._waiting.done()
                return int(offsets[1])

    def _reached(self, message: Any) -> int:  # noqa: ANN401 - the library's
        error = message.error()
        if error is None:
            return int(message.offset()) + 1
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's spelling
            return int(message.offset())
        if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            # The client asks for the group that it must name; nothing is read in it.
            return 0
        if not is_outage(error):
            raise self._unreadable(error)
        self._waiting.step(error)
        return 0

    def _unreadable(self, error: KafkaError) -> SinkError:
        return SinkError(f"cannot read the topic {self._topic}: {self._settings.reason(error)}")

    def _read(self, value: bytes) -> Committed:
        try:
            document = json.loads(value)
            return Committed(int(document["sequence"]), str(document["instance"]))
        except (ValueError, KeyError, TypeError):
            raise SinkError(
                f"the topic {self._topic} has records that are not this sink's: name another one "
                "as control_topic"
            ) from None
