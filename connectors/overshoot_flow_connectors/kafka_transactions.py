"""Writes rows and their sequence in transactions, whatever happens to broker and connection.

A transaction that does not come to a known good end is never repaired: a new producer of the same
transactional id ends it one way or the other, the control topic tells which, and if the rows are
not there they are written again.
"""

from __future__ import annotations

import logging
import time
from typing import Final
from uuid import uuid4

from confluent_kafka import KafkaException

from overshoot_flow.errors import SinkError
from overshoot_flow_connectors.kafka_control import Committed, ControlTopic
from overshoot_flow_connectors.kafka_counters import SinkCounters
from overshoot_flow_connectors.kafka_patience import FIRST_WORD_S, Patience, Verdict
from overshoot_flow_connectors.kafka_phases import Write
from overshoot_flow_connectors.kafka_producer import AcknowledgedProducer
from overshoot_flow_connectors.kafka_settings import KafkaSettings
from overshoot_flow_connectors.kafka_waiting import Waiting

TRANSACTION_TIMEOUT_S: Final = 60.0
"""After so long the broker gives up a transaction, and a record that it does not acknowledge."""
_PAUSE_S: Final = 0.5

_logger = logging.getLogger(__name__)


class TransactionalWriter:
    """The one writer with its transactional id.

    Args:
        settings: Settings of the cluster.
        waiting: How long to wait.
        control: Where sequences are committed.
        control_topic: That topic's name.
        transactional_id: Of the run and the partition.
        max_bytes: The largest record.
        counters: Where it counts; its own if None.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        waiting: Waiting,
        *,
        control_topic: str,
        transactional_id: str,
        max_bytes: int,
        counters: SinkCounters | None = None,
    ) -> None:
        self._counters = SinkCounters() if counters is None else counters
        self._settings = settings
        self._waiting = waiting
        self._control = ControlTopic(settings, waiting, control_topic)
        self._control_topic = control_topic
        self._id = transactional_id
        self._max_bytes = max_bytes
        self._instance = uuid4().hex
        self._producer: AcknowledgedProducer | None = None

    def begin(self) -> int | None:
        """Fence every other instance; return the sequence that is committed, None if there is none.

        Raises:
            SinkError: The cluster refuses, or cannot be reached.
        """
        patience = self._patience()
        while True:
            try:
                self._connect()
            except KafkaException as error:
                self._again(error, patience)
                continue
            committed = self._control.committed(self._id)
            return None if committed is None else committed.sequence

    def claim(self, sequence: int) -> None:
        """Commit that this instance is the writer, so that a fenced one can tell.

        Args:
            sequence: What is committed so far.

        Raises:
            SinkError: Another instance is the writer now, or the cluster cannot be reached.
        """
        self._commit(Write(sequence, ()), before=sequence)

    def write(self, write: Write) -> None:
        """Commit rows; afterwards they are there once.

        Raises:
            SinkError: Another instance is the writer now, or the cluster cannot be reached.
        """
        self._commit(write, before=write.sequence - 1)

    def close(self) -> None:
        """End the client's threads; an open transaction is the broker's to abort."""
        if self._producer is not None:
            self._producer.close()
            self._producer = None

    def _commit(self, write: Write, before: int) -> None:
        done = Committed(write.sequence, self._instance)
        record = done.to_record(self._control_topic, self._id)
        is_claim = not write.rows
        patience = self._patience()
        while True:
            try:
                if self._producer is None:
                    # Before it is fenced: two instances would fence each other for ever.
                    if not is_claim and self._control.newest_instance(self._id) != self._instance:
                        raise self._taken_over()
                    self._connect()
                    committed = self._control.committed(self._id)
                    if committed == done:
                        return
                    if committed is not None and committed.sequence != before:
                        raise self._taken_over()
                self._connected().transaction((*write.rows, record))
            except KafkaException as error:
                self._again(error, patience)
            else:
                return

    def _taken_over(self) -> SinkError:
        return SinkError(
            f"another instance of this run has taken over {self._id}: run it once only. Nothing "
            "is lost and nothing doubled"
        )

    def _connect(self) -> None:
        self.close()
        self._producer = AcknowledgedProducer(
            self._settings,
            self._waiting,
            max_bytes=self._max_bytes,
            timeout_s=TRANSACTION_TIMEOUT_S,
            transactional_id=self._id,
            counters=self._counters,
        )
        self._producer.begin()

    def _connected(self) -> AcknowledgedProducer:
        if self._producer is None:
            msg = "a transaction needs a producer"
            raise RuntimeError(msg)
        return self._producer

    def _patience(self) -> Patience:
        # Not that of `Waiting`: connecting anew succeeds each time, the transaction does not.
        return Patience(self._waiting.max_outage_s, time.monotonic())

    def _again(self, error: KafkaException, patience: Patience) -> None:
        """Leave the producer behind, and say why one tries again."""
        self.close()
        self._counters.transactions_again += 1
        reason = self._settings.reason(error.args[0])
        _logger.info("a transaction of %s is done again: %s", self._id, reason)
        self._waiting.step(error.args[0])
        now_s = time.monotonic()
        match patience.look(now_s):
            case Verdict.GIVE_UP:
                raise SinkError(
                    f"no transaction of {self._id} came to its end for "
                    f"{patience.waited_s(now_s):.0f} s: {reason}. Start again when the cause is "
                    "removed: the finished epochs are safe"
                )
            # While the broker is away, that has been said already.
            case Verdict.SAY if self._waiting.facts()[1] < FIRST_WORD_S:
                _logger.warning(
                    "no transaction of %s comes to its end: %s; tried for %.0f s, the run tries "
                    "up to %.0f s",
                    self._id,
                    reason,
                    patience.waited_s(now_s),
                    self._waiting.max_outage_s,
                )
            case _:
                pass
        time.sleep(_PAUSE_S)
