"""Record batches → Kafka records: topic, key, value and headers. Pure, but for what encoders ask.

| header | |
| --- | --- |
| `content-type` | of the value |
| `dataset` | `results`, `dead_letters`, `gaps` or `usage` |
| `schema-version` | of the dataset's columns |
| `schema-key` | which output schema the rows have, where there are several |
| `result-id` | of the answer; only where the value is one row that has one |
| `record-id` | 32 hex digits, the same for the same row whenever it is sent |
| `media-start-us`, `media-end-us` | what the rows are about, in µs of media time |
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.results import FailureReason
from overshoot_flow.schema.records import (
    SCHEMA_VERSION,
    Dataset,
    RecordBatchOf,
    dataset_schema,
)
from overshoot_flow_connectors.arrow_json import JsonRows, canonical_json
from overshoot_flow_connectors.kafka_counters import SinkCounters

Headers: TypeAlias = tuple[tuple[str, bytes], ...]
PlainRecord: TypeAlias = tuple[str, bytes, bytes, Headers]

_FRAME_BYTES: Final = 200
"""More than what Kafka puts around the bytes of one record and of the batch that it is in."""


@dataclass(frozen=True, slots=True)
class KafkaRecord:
    """One record as the broker gets it.

    Attributes:
        topic: Where to.
        key: The stream key: records of one stream stay in one partition, in order.
        value: The encoded row, or rows.
        headers: See the module.
    """

    topic: str
    key: bytes
    value: bytes
    headers: Headers = ()

    @property
    def size_bytes(self) -> int:
        """At least as many bytes as the broker counts for the record when it comes alone."""
        headers = sum(len(name) + len(value) + 10 for name, value in self.headers)
        return len(self.key) + len(self.value) + headers + _FRAME_BYTES

    def to_plain(self) -> PlainRecord:
        """Return plain values for the recovery store."""
        return (self.topic, self.key, self.value, self.headers)

    @classmethod
    def from_plain(cls, plain: PlainRecord) -> KafkaRecord:
        """Read `to_plain`'s values."""
        return cls(*plain)


class Encoder(Protocol):
    """Makes values out of rows.

    Attributes:
        content_type: What the values are.
        by_row: Whether every row is a value of its own, or a batch is one.
    """

    content_type: str
    by_row: bool

    def encode(self, topic: str, records: RecordBatchOf) -> list[bytes]:
        """Return the values: one for each row, or one.

        Raises:
            ConfigurationError: The rows' schema does not fit what the topic has.
        """
        ...


class RecordMaker:
    """Makes Kafka records; a row that is too large for its topic becomes a dead letter.

    Args:
        encoder: Makes the values.
        topic_of: The topic of each dataset.
        limit_of: The largest record that a topic takes, in bytes.
        counters: Where it counts rows that are too large; its own if None.
    """

    def __init__(
        self,
        encoder: Encoder,
        topic_of: Mapping[Dataset, str],
        limit_of: Callable[[str], int],
        counters: SinkCounters | None = None,
    ) -> None:
        self._encoder = encoder
        self._topic_of = topic_of
        self._limit_of = limit_of
        self.counters = SinkCounters() if counters is None else counters

    def make(self, records: RecordBatchOf) -> Iterator[KafkaRecord]:
        """Yield the records of these rows, in their order.

        Raises:
            ConfigurationError: The rows' schema does not fit what the topic has, or that of the
                dead letters takes hardly anything.
        """
        if not records.batch.num_rows:
            return
        topic = self._topic_of[records.dataset]
        values = self._encoder.encode(topic, records)
        for index, value in enumerate(values):
            part = _row(records, index) if self._encoder.by_row else records
            record = KafkaRecord(topic, records.stream_key.encode(), value, self._headers(part))
            limit_bytes = self._limit_of(topic)
            if record.size_bytes <= limit_bytes:
                yield record
            elif part.batch.num_rows > 1:
                yield from self._halves(part)
            else:
                yield from self._instead_of(part, record, limit_bytes)

    def _halves(self, records: RecordBatchOf) -> Iterator[KafkaRecord]:
        middle = records.batch.num_rows // 2
        for batch in (records.batch.slice(0, middle), records.batch.slice(middle)):
            yield from self.make(replace(records, batch=batch))

    def _instead_of(
        self, row: RecordBatchOf, record: KafkaRecord, limit_bytes: int
    ) -> Iterator[KafkaRecord]:
        self.counters.too_large += 1
        detail = (
            f"the record of {len(record.value)} bytes is larger than what the topic "
            f"{record.topic} takes, {limit_bytes} bytes"
        )
        topic = self._topic_of[Dataset.DEAD_LETTERS]
        limit_bytes = self._limit_of(topic)
        for texts in (_WITHOUT_ANSWER, _WHOSE):
            letter = dead_letter(row, detail, texts)
            (value,) = self._encoder.encode(topic, letter)
            shorter = KafkaRecord(topic, record.key, value, self._headers(letter))
            if shorter.size_bytes <= limit_bytes:
                yield shorter
                return
        raise ConfigurationError(
            f"the topic {topic} takes records of {limit_bytes} bytes, and the shortest dead letter "
            f"about {row.stream_key!r} has {shorter.size_bytes}: raise its max.message.bytes, and "
            "message.max.bytes if that is smaller"
        )

    def _headers(self, records: RecordBatchOf) -> Headers:
        batch = records.batch
        pairs = [
            ("content-type", self._encoder.content_type),
            ("dataset", records.dataset.value),
            ("schema-version", SCHEMA_VERSION),
        ]
        if records.schema_key is not None:
            pairs.append(("schema-key", records.schema_key))
        if batch.num_rows == 1:
            has_id = "result_id" in batch.schema.names
            result_id = batch.column("result_id")[0].as_py() if has_id else None
            if result_id is not None:
                pairs.append(("result-id", result_id))
        pairs.append(("record-id", record_id(records)))
        if "media_start_us" in batch.schema.names:
            pairs.append(("media-start-us", str(pc.min(batch.column("media_start_us")).as_py())))
            pairs.append(("media-end-us", str(pc.max(batch.column("media_end_us")).as_py())))
        return tuple((name, text.encode()) for name, text in pairs)


def _row(records: RecordBatchOf, index: int) -> RecordBatchOf:
    return replace(records, batch=records.batch.slice(index, 1))


def record_id(records: RecordBatchOf) -> str:
    """Return the same 32 hex digits for the same rows, whenever and by whomever they are sent.

    Answers are known by their result id, gaps by what they are about, anything else by all it says.
    """
    known_by = {
        Dataset.RESULTS: ("result_id",),
        Dataset.DEAD_LETTERS: ("result_id",),
        Dataset.GAPS: ("stream_key", "media_start_us", "media_end_us", "reason"),
    }.get(records.dataset)
    digest = hashlib.sha256(records.dataset.value.encode())
    if known_by is None:
        documents = JsonRows(records.batch.schema, "").rows(records.batch)
    else:
        rows = records.batch.select(list(known_by)).to_pylist()
        documents = [canonical_json(row) for row in rows]
    for document in documents:
        digest.update(document)
    return digest.hexdigest()[:32]


_WHOSE: Final = frozenset({"result_id", "stream_key", "source_uri", "stream_id"})
"""The texts without which nobody knows what a row is about."""

_WITHOUT_ANSWER: Final = frozenset(
    field.name
    for field in dataset_schema(Dataset.DEAD_LETTERS, None, declared=False)
    if field.name not in {"raw_text", "raw_bytes"}
)

_EMPTY: Final[Mapping[pa.DataType, Any]] = {
    pa.string(): "",
    pa.int64(): 0,
    pa.bool_(): False,
    pa.timestamp("us", "UTC"): 0,
}


def dead_letter(row: RecordBatchOf, detail: str, texts: Collection[str]) -> RecordBatchOf:
    """Return the dead letter of a row that cannot be written: it settles the same frames.

    Args:
        row: One row.
        detail: Why.
        texts: Which of the row's columns of any length it keeps; numbers and times it keeps all.
    """
    schema = dataset_schema(Dataset.DEAD_LETTERS, None, declared=False)
    batch = row.batch
    said = {"ok": False, "reason": FailureReason.TOO_LARGE.value, "error": detail}
    arrays = []
    for field in schema:
        is_kept = pt.is_primitive(field.type) or field.name in texts
        if field.name in said:
            arrays.append(pa.array([said[field.name]], type=field.type))
        elif is_kept and field.name in batch.schema.names and batch.column(field.name)[0].is_valid:
            arrays.append(batch.column(field.name).cast(field.type))
        else:
            # Gaps and usage have fewer columns.
            value = None if field.nullable else _EMPTY.get(field.type, [])
            arrays.append(pa.array([value], type=field.type))
    letter = pa.RecordBatch.from_arrays(arrays, schema=schema)
    return RecordBatchOf(dataset=Dataset.DEAD_LETTERS, stream_key=row.stream_key, batch=letter)
