"""Outcomes → Arrow: the one declared schema of each dataset, and the rows in it.

A column is named after the outcome's attribute. Attributes in µs of UTC (`received_at_us`, …)
become `timestamp[us, UTC]` columns without the suffix; media times stay integers in µs, because
they count from the start of the media. The attribute `source` becomes `source_uri`, so that a
Hive partition may be called `source`. Results and dead letters share the names of what they have
in common, `ok` and `error` among them, so that a union by name shows every answer. The map
`labels` in every dataset has the user's own names and values of the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from overshoot_flow import __version__
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.results import Failure, Gap, Outcome, Result, Usage
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.second_answers import SecondAnswers

SCHEMA_VERSION: Final = "2"
"""Version of the datasets' columns; raised when a column changes its name, type or meaning."""


ANSWERS_ENTRY: Final = "overshoot_flow.answers"
"""Entry of the metadata that says of what form all answers are, where that is declared."""


class Dataset(StrEnum):
    """The datasets, named as their directories and topics are."""

    RESULTS = "results"
    DEAD_LETTERS = "dead_letters"
    GAPS = "gaps"
    USAGE = "usage"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordBatchOf:
    """Rows of one dataset about one stream key, in the order in which they were said.

    Attributes:
        dataset: The dataset.
        stream_key: The key.
        batch: The rows.
        schema_key: Which of the dataset's schemas the rows have, see `keyed_records.schema_key`;
            None when the dataset has one declared schema.
    """

    dataset: Dataset
    stream_key: str
    batch: pa.RecordBatch
    schema_key: str | None = None


_UTC: Final = pa.timestamp("us", "UTC")
_LABELS: Final = pa.map_(pa.string(), pa.string())
_Rows: TypeAlias = Sequence[Any]


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    type: pa.DataType
    read: Callable[[Any], Any]
    nullable: bool = False


def _attribute(name: str, arrow_type: pa.DataType, *, nullable: bool = False) -> _Column:
    column = name.removesuffix("_us") if arrow_type == _UTC else name
    column = "source_uri" if name == "source" else column
    return _Column(column, arrow_type, lambda outcome: getattr(outcome, name), nullable)


def _raw_bytes(failure: Failure) -> bytes | None:
    if failure.raw_bytes is not None or failure.raw_text is None:
        return failure.raw_bytes
    # UTF-8, in which a lone surrogate has its three bytes.
    return failure.raw_text.encode(errors="surrogatepass")


def _labels() -> _Column:
    # In order of the names: equal labels are equal bytes.
    return _Column("labels", _LABELS, lambda outcome: sorted(outcome.labels.items()))


def _text(*names: str, nullable: bool = False) -> list[_Column]:
    return [_attribute(name, pa.string(), nullable=nullable) for name in names]


def _integers(*names: str, nullable: bool = False) -> list[_Column]:
    return [_attribute(name, pa.int64(), nullable=nullable) for name in names]


def _floats(*names: str, nullable: bool = False) -> list[_Column]:
    return [_attribute(name, pa.float64(), nullable=nullable) for name in names]


def _moments(*names: str, nullable: bool = False) -> list[_Column]:
    return [_attribute(name, _UTC, nullable=nullable) for name in names]


_COLUMNS: Final[Mapping[Dataset, Sequence[_Column]]] = {
    Dataset.RESULTS: [
        *_text("result_id", "stream_key", "source"),
        *_integers("media_start_us", "media_end_us", "media_uncertainty_us"),
        *_moments("captured_start_us", "captured_end_us", nullable=True),
        *_text("capture_basis"),
        *_text("stream_id", nullable=True),
        *_text("mode", "backend", "model", "prompt", "prompt_version"),
        *_text("raw_text"),
        _attribute("repaired", pa.bool_()),
        _Column("ok", pa.bool_(), lambda _: True),
        _Column("error", pa.string(), lambda _: None, nullable=True),
        *_text("finish_reason", nullable=True),
        *_floats("inference_latency_ms", "total_latency_ms", nullable=True),
        *_moments("received_at_us"),
        *_integers("delivered_width", "delivered_height", nullable=True),
        *_integers("frames_published_total"),
        *_integers("frames_sent_total", nullable=True),
        *_integers("frames_covered", "frames_between"),
        *_integers("settled_start_us", "settled_end_us", nullable=True),
        _labels(),
    ],
    Dataset.DEAD_LETTERS: [
        *_text("result_id", "stream_key", "source", "reason"),
        *_integers("media_start_us", "media_end_us", "media_uncertainty_us"),
        *_text("stream_id", nullable=True),
        *_text("mode", "backend", "model", "prompt", "prompt_version"),
        *_text("raw_text", nullable=True),
        _Column("raw_bytes", pa.binary(), _raw_bytes, nullable=True),
        _Column("ok", pa.bool_(), lambda _: False),
        _Column("error", pa.string(), lambda failure: failure.detail),
        *_text("instance_path", "schema_path", "finish_reason", nullable=True),
        *_moments("received_at_us"),
        *_integers("frames_covered", "frames_between"),
        *_integers("settled_start_us", "settled_end_us", nullable=True),
        *_moments("captured_start_us", "captured_end_us", nullable=True),
        *_text("capture_basis"),
        *_floats("inference_latency_ms", "total_latency_ms", nullable=True),
        *_integers("delivered_width", "delivered_height", nullable=True),
        *_integers("frames_published_total", "frames_sent_total", nullable=True),
        *_text("schema_json", "then_form", nullable=True),
        _labels(),
    ],
    Dataset.GAPS: [
        *_text("stream_key", "source"),
        *_integers("media_start_us", "media_end_us"),
        *_text("reason", "detail"),
        *_integers("frames_lost"),
        *_moments("recorded_at_us"),
        _labels(),
    ],
    Dataset.USAGE: [
        *_text("stream_key", "source"),
        *_text("stream_id", "result_id", nullable=True),
        *_text("model"),
        *_moments("at_us"),
        *_floats("seconds_charged", "cost_cents", "credits_remaining_cents", nullable=True),
        *_integers("prompt_tokens", "completion_tokens", "cached_tokens", nullable=True),
        _labels(),
    ],
}

_DATASET_OF: Final[Mapping[type[Outcome], Dataset]] = {
    Result: Dataset.RESULTS,
    Failure: Dataset.DEAD_LETTERS,
    Gap: Dataset.GAPS,
    Usage: Dataset.USAGE,
}

_DATE_COLUMNS: Final[Mapping[Dataset, Sequence[str]]] = {
    Dataset.RESULTS: ["captured_start", "received_at"],
    Dataset.DEAD_LETTERS: ["received_at"],
    Dataset.GAPS: ["recorded_at"],
    Dataset.USAGE: ["at"],
}


def dataset_schema(
    dataset: Dataset,
    output_schema: OutputSchema | None,
    second: SecondAnswers | None = None,
    *,
    declared: bool = True,
) -> pa.Schema:
    """Return the declared Arrow schema of a dataset.

    Results have the typed column `output` only when an output schema is given, and the column
    `then` only when windows may be asked about a second time. The metadata hold
    `overshoot_flow.schema_version`, `overshoot_flow.library_version` and, with an output schema,
    `overshoot_flow.json_schema` as canonical JSON. Where it is `declared` that all answers are
    text, `overshoot_flow.answers` is `text`.
    """
    fields = [pa.field(each.name, each.type, nullable=each.nullable) for each in _COLUMNS[dataset]]
    metadata: dict[bytes | str, bytes | str] = {
        "overshoot_flow.schema_version": SCHEMA_VERSION,
        "overshoot_flow.library_version": __version__,
    }
    if output_schema is not None:
        metadata["overshoot_flow.json_schema"] = output_schema.canonical
        if dataset is Dataset.RESULTS:
            fields.append(pa.field("output", output_schema.arrow_type))
    elif declared:
        metadata[ANSWERS_ENTRY] = "text"
    if second is not None and dataset is Dataset.RESULTS:
        fields.append(pa.field("then", second.arrow_type))
    return pa.schema(fields, metadata=metadata)


def utc_dates(records: RecordBatchOf) -> pa.Array[Any]:
    """Return the UTC day of every row as `date32`: of capture where known, else of arrival."""
    moments = [records.batch.column(name) for name in _DATE_COLUMNS[records.dataset]]
    return pc.cast(pc.coalesce(*moments), pa.date32())


class RecordBuilder:
    """Builds rows from outcomes.

    Args:
        output_schema: The schema that the results' `output` documents were checked with, or
            None when the answers are text.
        second: The form of second answers, or None where there are none.
        declared: Whether every answer is of this form; False where each says its own.
    """

    def __init__(
        self,
        output_schema: OutputSchema | None,
        second: SecondAnswers | None = None,
        *,
        declared: bool = True,
    ) -> None:
        self._output_schema = output_schema
        self._second = second
        self._schemas = {
            each: dataset_schema(each, output_schema, second, declared=declared) for each in Dataset
        }

    def schema(self, dataset: Dataset) -> pa.Schema:
        """Return the schema that every batch of `dataset` has."""
        return self._schemas[dataset]

    def empty(self, dataset: Dataset, stream_key: str) -> RecordBatchOf:
        """Return a batch of `dataset` without rows."""
        batch = pa.RecordBatch.from_pylist([], schema=self._schemas[dataset])
        return RecordBatchOf(dataset=dataset, stream_key=stream_key, batch=batch)

    def batches(self, outcomes: Iterable[Outcome]) -> list[RecordBatchOf]:
        r"""Return the rows of `outcomes`, one batch per dataset and stream key.

        The rows of a batch keep the order of the outcomes. A lone surrogate in a text, which is
        not Unicode, is written as its escape (`\ud800`).

        Raises:
            ConfigurationError: A result was checked with another schema than this one.
        """
        groups: dict[tuple[Dataset, str], list[Outcome]] = {}
        for outcome in outcomes:
            key = (_DATASET_OF[type(outcome)], outcome.stream_key)
            groups.setdefault(key, []).append(outcome)
        return [
            RecordBatchOf(dataset=dataset, stream_key=stream_key, batch=self._batch(dataset, rows))
            for (dataset, stream_key), rows in groups.items()
        ]

    def _batch(self, dataset: Dataset, rows: _Rows) -> pa.RecordBatch:
        arrays = [
            _array([column.read(row) for row in rows], column.type) for column in _COLUMNS[dataset]
        ]
        if dataset is Dataset.RESULTS:
            self._refuse_other_schemas(rows)
            if self._output_schema is not None:
                arrays.append(self._output_schema.to_array([row.output for row in rows]))
            if self._second is not None:
                arrays.append(self._second.to_array([row.then for row in rows]))
        return pa.RecordBatch.from_arrays(arrays, schema=self._schemas[dataset])

    def _refuse_other_schemas(self, rows: Sequence[Result]) -> None:
        # Typed by a schema that it was not checked with, an answer would lose values unseen.
        own = None if self._output_schema is None else self._output_schema.canonical
        form = None if self._second is None else self._second.form
        for row in rows:
            is_other = row.schema_json is not None and row.schema_json != own
            if is_other or (row.then_form is not None and row.then_form != form):
                raise ConfigurationError(
                    f"an answer about {row.stream_key!r} has another output schema than the one "
                    "that types this dataset; give `to_arrow` no inference, so that every answer "
                    "is typed by its own"
                )


def _array(values: list[Any], arrow_type: pa.DataType) -> pa.Array[Any]:
    try:
        return pa.array(values, type=arrow_type)
    except UnicodeEncodeError:
        valid = [None if each is None else _escaped(each) for each in values]
        return pa.array(valid, type=arrow_type)


def _escaped(value: Any) -> Any:  # noqa: ANN401 - a text, or the pairs of a map
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    return [(_escaped(name), _escaped(text)) for name, text in value]
