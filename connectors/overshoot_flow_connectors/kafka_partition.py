"""The partitions of a Kafka sink: at least once, and in transactions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias
from uuid import uuid4

from bytewax.outputs import StatefulSinkPartition

from overshoot_flow.errors import ConfigurationError, SinkError
from overshoot_flow.schema.records import RecordBatchOf
from overshoot_flow_connectors.kafka_phases import (
    STATE_VERSION,
    KafkaState,
    TransactionPhases,
    Write,
)
from overshoot_flow_connectors.kafka_producer import AcknowledgedProducer
from overshoot_flow_connectors.kafka_records import KafkaRecord, RecordMaker
from overshoot_flow_connectors.kafka_transactions import TransactionalWriter

PlainState: TypeAlias = dict[str, Any]
MAX_EPOCH_BYTES: Final = 256 << 20
"""Rows of one epoch are part of one row of the recovery store, of which SQLite takes 1 GB."""


class AcknowledgedPartition(StatefulSinkPartition[RecordBatchOf, PlainState]):
    """Writes rows at once; an epoch ends only when all of them are acknowledged.

    Args:
        maker: Makes the records.
        producer: Sends them; closed with the partition.
        state: What `snapshot` returned last, or None at the very beginning.

    Raises:
        ConfigurationError: The run was begun with another delivery.
    """

    def __init__(
        self, maker: RecordMaker, producer: AcknowledgedProducer, state: PlainState | None
    ) -> None:
        if state is not None and state.get("delivery") != "at_least_once":
            raise ConfigurationError(
                'the run was begun with delivery="transactional": go on with it, or begin anew '
                "with an empty state folder"
            )
        self._maker = maker
        self._producer = producer

    def write_batch(self, values: list[RecordBatchOf]) -> None:
        """Send rows; waits while the queue is full."""
        for records in values:
            for record in self._maker.make(records):
                self._producer.send(record)

    def snapshot(self) -> PlainState:
        """Wait until the broker has made all rows safe."""
        self._producer.flush()
        return {"version": STATE_VERSION, "delivery": "at_least_once"}

    def close(self) -> None:
        """End the client."""
        self._producer.close()


class TransactionalPartition(StatefulSinkPartition[RecordBatchOf, PlainState]):
    """Writes the rows of each epoch in one transaction, see `kafka_phases`.

    Args:
        maker: Makes the records.
        connect: Makes the writer of a transactional id.
        state: What `snapshot` returned last, or None at the very beginning.
        writer: Name of this writer, the same in every part of the run.
        control_topic: For error texts.
        resumable: Whether the run has a recovery state.

    Raises:
        ConfigurationError: State and topics are not of one run, or the state is the older one.
        SinkError: The cluster cannot be reached.
    """

    def __init__(
        self,
        maker: RecordMaker,
        connect: Callable[[str], TransactionalWriter],
        state: PlainState | None,
        *,
        writer: str,
        control_topic: str,
        resumable: bool,
    ) -> None:
        self._maker = maker
        self._rows: list[KafkaRecord] = []
        self._rows_bytes = 0
        saved = KafkaState(uuid4().hex) if state is None else KafkaState.from_plain(state)
        self._phases = TransactionPhases(saved, resumable=resumable)
        self._writer = connect(f"overshoot-flow.{saved.run_id}.{writer}")
        try:
            committed = self._writer.begin()
            due = None if state is None else self._phases.resume(committed, control_topic)
            self._writer.claim(committed or 0)
            self._do(due)
        except BaseException:
            self._writer.close()
            raise

    def write_batch(self, values: list[RecordBatchOf]) -> None:
        """Keep rows until the end of the epoch.

        Raises:
            SinkError: There are too many.
        """
        for records in values:
            for record in self._maker.make(records):
                self._rows.append(record)
                self._rows_bytes += record.size_bytes
        if self._rows_bytes > MAX_EPOCH_BYTES:
            raise SinkError(
                f"the rows of one epoch have {self._rows_bytes} bytes, more than "
                f"{MAX_EPOCH_BYTES}: make epoch_interval shorter, or the number of the sink's "
                "partitions greater"
            )

    def snapshot(self) -> PlainState:
        """Commit the rows of the epoch before; keep those of this one in the state."""
        rows = tuple(self._rows)
        self._rows.clear()
        self._rows_bytes = 0
        self._do(self._phases.snapshot(rows))
        return self._phases.state.to_plain()

    def finish(self) -> None:
        """Commit what is left; the run has come to its good end, so its last state is durable.

        Raises:
            SinkError: The cluster cannot be reached; going on from the state completes it.
        """
        try:
            self._do(self._phases.end())
        finally:
            self._writer.close()

    def close(self) -> None:
        """End the client; nothing is committed, for the run may have failed."""
        self._writer.close()

    def _do(self, write: Write | None) -> None:
        if write is not None:
            self._writer.write(write)
