"""What Kafka sinks and sources of this process have counted; any thread may ask.

Counts belong to a step and outlive the engine's partitions: when one is built anew, they go on.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkFacts:
    """What a sink's partitions in this process said at one moment.

    Attributes:
        records: Records that the brokers have made safe, by topic.
        bytes: Bytes of their keys and values, by topic.
        unacknowledged: Records that were sent and not yet answered for.
        retries: Requests that librdkafka has sent again.
        transactions_again: Transactions that did not come to a known good end and were done again.
        too_large: Rows that became dead letters because they are too large for their topic.
        waits: Waits for brokers that took nothing, those that were long enough to be told of.
        waited_s: How long the longest present wait lasts already, 0 without one.
    """

    records: Mapping[str, int]
    bytes: Mapping[str, int]
    unacknowledged: int
    retries: int
    transactions_again: int
    too_large: int
    waits: int
    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestsFacts:
    """What a partition of a topic of requests said at one moment.

    Attributes:
        taken: Requests that were taken, bad ones too.
        refused: Those that became a gap.
        lost: Records that Kafka had deleted before they were read.
        lag: Records that are not taken yet, as far as is known.
        waits: As for a sink.
        waited_s: As for a sink.
    """

    taken: int
    refused: int
    lost: int
    lag: int
    waits: int
    waited_s: float


@dataclass(slots=True)
class _Waits:
    """Waits for brokers, of this partition and of those that were built before it."""

    before: int = 0
    now: Callable[[], tuple[int, float]] = lambda: (0, 0.0)

    def follow(self, now: Callable[[], tuple[int, float]]) -> None:
        self.before += self.now()[0]
        self.now = now

    def facts(self) -> tuple[int, float]:
        waits, waited_s = self.now()
        return self.before + waits, waited_s


@dataclass(slots=True)
class SinkCounters:
    """Counts for one partition of a sink."""

    unacknowledged: int = 0
    retries: int = 0
    transactions_again: int = 0
    too_large: int = 0
    _records: Counter[str] = field(default_factory=Counter)
    _bytes: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _waits: _Waits = field(default_factory=_Waits)

    def acknowledged(self, topic: str, size_bytes: int) -> None:
        """The brokers have made a record safe."""
        with self._lock:
            self._records[topic] += 1
            self._bytes[topic] += size_bytes

    def follow_waits(self, now: Callable[[], tuple[int, float]]) -> None:
        """Ask `now` for the number of waits and for how long the present one lasts."""
        self._waits.follow(now)

    def facts(self) -> SinkFacts:
        """Return all counts."""
        waits, waited_s = self._waits.facts()
        with self._lock:
            return SinkFacts(
                records=dict(self._records),
                bytes=dict(self._bytes),
                unacknowledged=self.unacknowledged,
                retries=self.retries,
                transactions_again=self.transactions_again,
                too_large=self.too_large,
                waits=waits,
                waited_s=waited_s,
            )


@dataclass(slots=True)
class RequestsCounters:
    """Counts for one partition of a topic of requests."""

    taken: int = 0
    refused: int = 0
    lost: int = 0
    lag: int = 0
    _waits: _Waits = field(default_factory=_Waits)

    def follow_waits(self, now: Callable[[], tuple[int, float]]) -> None:
        """Ask `now` for the number of waits and for how long the present one lasts."""
        self._waits.follow(now)

    def facts(self) -> RequestsFacts:
        """Return all counts."""
        waits, waited_s = self._waits.facts()
        return RequestsFacts(
            taken=self.taken,
            refused=self.refused,
            lost=self.lost,
            lag=self.lag,
            waits=waits,
            waited_s=waited_s,
        )


_Key = TypeVar("_Key")
_Counters = TypeVar("_Counters")


class _Registry(Generic[_Key, _Counters]):
    """The counters of a kind, by what they belong to."""

    def __init__(self, make: Callable[[], _Counters]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._counters: dict[_Key, _Counters] = {}

    def of(self, key: _Key) -> _Counters:
        """Return the counters of `key`, new ones if there are none."""
        with self._lock:
            if key not in self._counters:
                self._counters[key] = self._make()
            return self._counters[key]

    def all(self) -> Mapping[_Key, _Counters]:
        """Return all of them."""
        with self._lock:
            return dict(self._counters)


SINK_COUNTERS: Final = _Registry[tuple[str, str], SinkCounters](SinkCounters)
"""By step id and partition of the sink."""

REQUEST_COUNTERS: Final = _Registry[tuple[str, str, int], RequestsCounters](RequestsCounters)
"""By step id, topic, and number of the topic's partition."""


def sink_facts() -> Mapping[str, SinkFacts]:
    """Return what the sinks of this process have counted, by step id."""
    by_step: dict[str, list[SinkFacts]] = {}
    for (step_id, _), counters in SINK_COUNTERS.all().items():
        by_step.setdefault(step_id, []).append(counters.facts())
    return {step_id: _together(facts) for step_id, facts in by_step.items()}


def requests_facts() -> Mapping[tuple[str, str, int], RequestsFacts]:
    """Return what the sources of this process have counted, by step id, topic and partition."""
    return {key: counters.facts() for key, counters in REQUEST_COUNTERS.all().items()}


def _together(facts: list[SinkFacts]) -> SinkFacts:
    records: Counter[str] = Counter()
    size_bytes: Counter[str] = Counter()
    for each in facts:
        records.update(each.records)
        size_bytes.update(each.bytes)
    return SinkFacts(
        records=records,
        bytes=size_bytes,
        unacknowledged=sum(each.unacknowledged for each in facts),
        retries=sum(each.retries for each in facts),
        transactions_again=sum(each.transactions_again for each in facts),
        too_large=sum(each.too_large for each in facts),
        waits=sum(each.waits for each in facts),
        waited_s=max(each.waited_s for each in facts),
    )
