"""A producer whose every record is accounted for: acknowledged, or the reason why not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from overshoot_flow.errors import SinkError
from overshoot_flow_connectors.kafka_counters import SinkCounters
from overshoot_flow_connectors.kafka_records import KafkaRecord
from overshoot_flow_connectors.kafka_settings import KafkaSettings
from overshoot_flow_connectors.kafka_waiting import SLICE_S, Waiting

_STATISTICS_MS: Final = 2_000
_QUEUE_RECORDS: Final = 20_000
_QUEUE_KIB: Final = 64 << 10
_FOR_GOOD: Final = frozenset(
    {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.POLICY_VIOLATION}
)
"""Why a record is refused whenever it is sent again."""
_AGAIN: Final = "Start again when the cause is removed: the finished epochs are safe"


class AcknowledgedProducer:
    """Sends records through a bounded queue; waits while it is full.

    Args:
        settings: Settings of the cluster.
        waiting: How long to wait while nothing is acknowledged.
        max_bytes: The largest request: a batch of small records may be refused as a large one is.
        timeout_s: How long a record may wait for its acknowledgement.
        transactional_id: For a producer of transactions.
        counters: Where it counts; its own if None.

    Raises:
        ConfigurationError: librdkafka refuses the settings.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        waiting: Waiting,
        *,
        max_bytes: int,
        timeout_s: float,
        transactional_id: str | None = None,
        counters: SinkCounters | None = None,
    ) -> None:
        self._counters = SinkCounters() if counters is None else counters
        self._retries = 0
        self._settings = settings
        self._waiting = waiting
        self._unacknowledged = 0
        self._acknowledged = 0
        self._failure: tuple[str, KafkaError] | None = None
        self._is_transactional = transactional_id is not None
        config = producer_config(settings, max_bytes=max_bytes, timeout_s=timeout_s)
        config["error_cb"] = waiting.on_error
        config.setdefault("statistics.interval.ms", _STATISTICS_MS)
        config["stats_cb"] = self._on_statistics
        if transactional_id is not None:
            config["transactional.id"] = transactional_id
        self._producer: Producer | None = settings.make(Producer, config)

    @property
    def unacknowledged(self) -> int:
        """Records that were sent and not yet answered for."""
        return self._unacknowledged

    @property
    def acknowledged(self) -> int:
        """Records that the broker has made safe."""
        return self._acknowledged

    def send(self, record: KafkaRecord) -> None:
        """Put a record into the queue; waits for room.

        Raises:
            SinkError: This record or an earlier one was refused, or there was no room for too long.
            KafkaException: The same in a transaction, and another one may do better.
        """
        while True:
            self.raise_failure()
            try:
                self._open.produce(
                    record.topic,
                    record.value,
                    record.key,
                    on_delivery=self._on_delivery,
                    headers=list(record.headers),
                )
            except BufferError:
                self._get_on(self._open.poll)
            except KafkaException as error:
                self._failure = (record.topic, self._cause(error))
            else:
                self._unacknowledged += 1
                self._counters.unacknowledged += 1
                self._open.poll(0)
                return

    def flush(self) -> None:
        """Wait until every record is acknowledged.

        Raises:
            SinkError: One was refused, or it took too long.
        """
        while self._unacknowledged and self._failure is None:
            # Unlike `poll` it sends at once what lingers.
            self._get_on(self._open.flush)
        self.raise_failure()

    def raise_failure(self) -> None:
        """Say why a record could not be written, if there is one.

        Raises:
            SinkError: There is.
            KafkaException: There is, and another transaction may do better.
        """
        if self._failure is None:
            return
        topic, error = self._failure
        if self._is_transactional and error.code() not in _FOR_GOOD:
            raise KafkaException(error)
        advice = _AGAIN
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            advice = (
                "The topic's max.message.bytes is smaller than it was at the start, or is not told "
                "to this user: start again, or set message.max.bytes to it"
            )
        raise SinkError(
            f"Kafka did not take a record for the topic {topic}: {self._settings.reason(error)}. "
            f"{advice}"
        )

    def transaction(self, records: Iterable[KafkaRecord]) -> None:
        """Write records in one transaction and commit it.

        Raises:
            KafkaException: It did not work; whether it is committed may be unknown.
            SinkError: It took too long, or the broker refuses.
        """
        self._open.begin_transaction()
        try:
            for record in records:
                self.send(record)
            self.flush()
        except KafkaException as error:
            if error.args[0].code() == KafkaError._PURGE_QUEUE:  # noqa: SLF001 - the library's
                # The client has failed the transaction, and says why when it is to be committed.
                self._open.commit_transaction(SLICE_S)
            raise
        self._until(self._open.commit_transaction)

    def begin(self) -> None:
        """Fence every other producer of the transactional id and end what it has left open.

        Raises:
            KafkaException: The broker does not do it.
            SinkError: It took too long, or the broker refuses.
        """
        self._until(self._open.init_transactions)

    def close(self) -> None:
        """Forget what is not acknowledged, and end the client's threads."""
        if self._producer is not None:
            self._producer.purge()
            self._counters.unacknowledged -= self._unacknowledged
            self._unacknowledged = 0
            # The library's own `close` waits for a broker that is away; this does not.
            self._producer = None

    @property
    def _open(self) -> Producer:
        if self._producer is None:
            msg = "the producer is closed"
            raise RuntimeError(msg)
        return self._producer

    def _cause(self, error: KafkaException) -> KafkaError:
        """Return why the client refuses; a client that has failed for good tells that elsewhere."""
        cause: KafkaError = error.args[0]
        if cause.code() == KafkaError._FATAL:  # noqa: SLF001 - the library's spelling
            try:
                self._open.poll(0)
            except KafkaException as told:
                cause = told.args[0]
        return cause

    def _until(self, call: Callable[[float], Any]) -> None:
        """Call in slices until it is done: librdkafka goes on with what a slice has begun."""
        while True:
            try:
                call(SLICE_S)
            except KafkaException as error:
                code: KafkaError = error.args[0]
                if not code.retriable() or code.fatal() or code.txn_requires_abort():
                    raise
                self._open.poll(0)
                self._waiting.step()
                # Some refusals to be repeated come at once.
                time.sleep(SLICE_S / 10)
            else:
                self._waiting.done()
                return

    def _get_on(self, call: Callable[[float], int]) -> None:
        before = self._acknowledged
        try:
            call(SLICE_S)
        except KafkaException as error:
            if self._is_transactional:
                raise
            raise SinkError(
                f"Kafka takes no more records: {self._settings.reason(error.args[0])}. {_AGAIN}"
            ) from None
        if self._acknowledged > before:
            self._waiting.done()
        elif self._failure is None:
            self._waiting.step()

    def _on_delivery(self, error: KafkaError | None, message: Any) -> None:  # noqa: ANN401 - the library's
        self._unacknowledged -= 1
        self._counters.unacknowledged -= 1
        if error is None:
            self._acknowledged += 1
            size_bytes = len(message.key() or b"") + len(message.value() or b"")
            self._counters.acknowledged(message.topic(), size_bytes)
        elif self._failure is None:
            self._failure = (message.topic(), error)

    def _on_statistics(self, text: str) -> None:
        """Take what librdkafka counts (its STATISTICS.md: `txretries` are requests sent again)."""
        brokers = json.loads(text)["brokers"].values()
        retries = sum(broker["txretries"] for broker in brokers)
        self._counters.retries += max(0, retries - self._retries)
        self._retries = retries


def producer_config(settings: KafkaSettings, *, max_bytes: int, timeout_s: float) -> dict[str, Any]:
    """Return the settings of a producer whose queue is bounded, with secrets in clear."""
    config = settings.for_producer()
    config.setdefault("queue.buffering.max.messages", _QUEUE_RECORDS)
    config.setdefault("queue.buffering.max.kbytes", max(_QUEUE_KIB, 2 * max_bytes >> 10))
    config["message.max.bytes"] = max_bytes
    config["message.timeout.ms"] = round(timeout_s * 1000)
    return config
