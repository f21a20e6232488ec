"""The records of one partition of a topic, in order, from a position that the run keeps itself."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from overshoot_flow.errors import RequestsError
from overshoot_flow_connectors.kafka_settings import KafkaSettings
from overshoot_flow_connectors.kafka_topics import is_outage
from overshoot_flow_connectors.kafka_waiting import SLICE_S, Waiting

_EVENTS_AT_ONCE: Final = 16
_PROBE_INTERVAL_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One record; or, with `until`, records that were gone before they were read.

    Attributes:
        offset: Its offset, or that of the first one that is gone.
        value: Its value.
        until: The offset behind the last one that is gone.
    """

    offset: int
    value: bytes | None
    until: int | None = None


class RequestPartition:
    """Reads the records; nothing is skipped without being told.

    The client's queue is bounded by its settings `queued.min.messages` and
    `queued.max.messages.kbytes`: when it is full, nothing more is fetched.

    Args:
        settings: Settings of the cluster.
        waiting: How long to wait for it.
        topic: Name of the topic.
        number: Number of the partition.
        offset: The first record that is wanted; None for the oldest one there is.
        read_committed: Whether the records of open and of aborted transactions are left out.
        stop_at_end: Whether to end where the partition ends now. With `read_committed` that is at
            the first transaction that is open now.

    Attributes:
        offset: The next record that will be returned.

    Raises:
        RequestsError: The cluster cannot be reached, or the partition ends before `offset`.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        waiting: Waiting,
        topic: str,
        number: int,
        *,
        offset: int | None,
        read_committed: bool,
        stop_at_end: bool,
    ) -> None:
        self._settings = settings
        self._waiting = waiting
        self._topic = topic
        self._number = number
        self._is_troubled = False
        self._probed_at_s = 0.0
        self._consumer: Consumer = settings.make(
            Consumer,
            {
                "queued.min.messages": 100,
                "queued.max.messages.kbytes": 16 << 10,
                **settings.for_consumer(),
                "isolation.level": "read_committed" if read_committed else "read_uncommitted",
                "error_cb": self._on_error,
            },
        )
        try:
            oldest, end = self._bounds()
            self.offset = oldest if offset is None else offset
            self._end = end if stop_at_end else None
            self._lost = self._look_for_lost(oldest, end)
            self._assign()
        except BaseException:
            self._consumer.close()
            raise

    def lag(self) -> int:
        """Return how many records are not returned yet, as far as the client knows."""
        place = TopicPartition(self._topic, self._number)
        _, end = self._consumer.get_watermark_offsets(place, cached=True)
        # It knows nothing before the first answer.
        return max(0, end - self.offset)

    @property
    def exhausted(self) -> bool:
        """Whether everything up to the end that the partition had at the start is read."""
        return self._end is not None and self.offset >= self._end

    def poll(self) -> Asked | None:
        """Return the next record if there is one, without waiting for the broker.

        Raises:
            RequestsError: The broker refuses, or is away for too long.
        """
        if self._lost is not None:
            lost, self._lost = self._lost, None
            return lost
        for _ in range(_EVENTS_AT_ONCE):
            message: Any = None if self.exhausted else self._consumer.poll(0)
            if message is None:
                break
            self._has_answered()
            error: KafkaError | None = message.error()
            if error is not None:
                self._take_event(error, message)
                if self._lost is not None:
                    return self.poll()
            elif self._end is not None and message.offset() >= self._end:
                self.offset = self._end
            elif message.offset() >= self.offset:
                self.offset = message.offset() + 1
                return Asked(message.offset(), message.value())
        if self._is_troubled:
            self._probe()
        return None

    def close(self) -> None:
        """End the client."""
        self._consumer.close()

    def _take_event(self, error: KafkaError, message: Any) -> None:  # noqa: ANN401 - the library's
        code = error.code()
        if code == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's spelling
            # Behind the last record may be marks of transactions, which are never returned.
            self.offset = max(self.offset, message.offset())
        elif code == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            self._lost = self._look_for_lost(*self._bounds())
            self._assign()
        elif code == KafkaError.GROUP_AUTHORIZATION_FAILED:
            # The client asks for the group that it must name; nothing is read in it.
            pass
        elif _is_passing(error):
            self._on_error(error)
        else:
            raise self._unreadable(error)

    def _look_for_lost(self, oldest: int, end: int) -> Asked | None:
        if self.offset > end:
            raise RequestsError(
                f"the topic {self._topic}, partition {self._number} ends at offset {end}, and this "
                f"run has read it up to {self.offset}: records that were read are gone. Bring them "
                "back, or begin anew with an empty state folder and an empty output"
            )
        if self.offset >= oldest:
            return None
        lost = Asked(self.offset, None, oldest)
        self.offset = oldest
        return lost

    def _assign(self) -> None:
        self._consumer.assign([TopicPartition(self._topic, self._number, self.offset)])

    def _bounds(self) -> tuple[int, int]:
        """Return the oldest offset, and that behind the newest record that may be read."""
        place = TopicPartition(self._topic, self._number)
        while True:
            try:
                oldest, end = self._consumer.get_watermark_offsets(place, timeout=5 * SLICE_S)
            except KafkaException as error:
                if not _is_passing(error.args[0]):
                    raise self._unreadable(error.args[0]) from None
                # For what is said about the brokers.
                self._consumer.poll(0)
                self._waiting.step(error.args[0])
            else:
                self._has_answered()
                return oldest, end

    def _on_error(self, error: KafkaError) -> None:
        self._is_troubled = True
        self._waiting.on_error(error)

    def _has_answered(self) -> None:
        self._is_troubled = False
        self._waiting.done()

    def _probe(self) -> None:
        """Look whether a broker that was away is back: where nothing is new, nothing tells."""
        self._waiting.step()
        now_s = time.monotonic()
        if now_s < self._probed_at_s + _PROBE_INTERVAL_S:
            return
        self._probed_at_s = now_s
        place = TopicPartition(self._topic, self._number)
        try:
            self._consumer.get_watermark_offsets(place, timeout=SLICE_S)
        except KafkaException as error:
            if not _is_passing(error.args[0]):
                raise self._unreadable(error.args[0]) from None
        else:
            self._has_answered()

    def _unreadable(self, error: KafkaError) -> RequestsError:
        return RequestsError(
            f"cannot read the topic {self._topic}, partition {self._number}: "
            f"{self._settings.reason(error)}"
        )


def _is_passing(error: KafkaError) -> bool:
    # While a broker is away, the client may not know of its partitions.
    return is_outage(error) or error.code() == KafkaError._UNKNOWN_PARTITION  # noqa: SLF001
