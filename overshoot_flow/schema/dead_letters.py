"""Rows of dead letters → the outcomes that they were, and results where the answers now pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from overshoot_flow.repair_level import Repair
from overshoot_flow.results import Failure, FailureReason, Result
from overshoot_flow.schema.json_schema import OutputSchema, Rejected
from overshoot_flow.schema.repair import check_answer

REPLAYABLE: Final = frozenset({FailureReason.NOT_JSON, FailureReason.SCHEMA})
"""What another schema or another repair can change: all others have no whole answer."""

_ATTRIBUTES: Final = frozenset(each.name for each in dataclasses.fields(Failure))
_SHARED: Final = _ATTRIBUTES & {each.name for each in dataclasses.fields(Result)}
_RENAMED: Final[Mapping[str, str]] = {"source_uri": "source", "error": "detail"}


def failures_of(rows: pa.RecordBatch) -> list[Failure]:
    """Return the outcomes that `RecordBuilder` made these rows of the dead letters from.

    `raw_text` is exact: with its lone surrogates. Columns that are no attribute are left out.
    """
    columns: dict[str, list[Any]] = {}
    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        is_moment = pt.is_timestamp(column.type)
        attribute = f"{name}_us" if is_moment else _RENAMED.get(name, name)
        if attribute in _ATTRIBUTES or attribute == "raw_bytes":
            values = pc.cast(column, pa.int64()) if is_moment else column
            columns[attribute] = values.to_pylist()
    names = list(columns)
    return [
        _failure(dict(zip(names, values, strict=True)))
        for values in zip(*columns.values(), strict=True)
    ]


def replayed(failure: Failure, schema: OutputSchema, repair: Repair | str) -> Result | Rejected:
    """Check the answer again.

    A result has the identity and the times of the dead letter; it says itself what it was checked
    with. A second question, which the first answer may have called for, was never asked.

    Args:
        failure: A dead letter whose reason is among `REPLAYABLE`.
        schema: What the answer must satisfy now.
        repair: What may be repaired now.
    """
    raw_text = failure.raw_text or ""
    checked = check_answer(schema, raw_text, failure.finish_reason, repair)
    if isinstance(checked, Rejected):
        return checked
    shared = {name: getattr(failure, name) for name in _SHARED}
    shared |= {
        "raw_text": raw_text,
        "output": checked.document,
        "repaired": checked.repaired,
        "schema_json": schema.canonical,
        "frames_published_total": failure.frames_published_total or 0,
    }
    return Result(**shared)


def _failure(row: dict[str, Any]) -> Failure:
    exact: bytes | None = row.pop("raw_bytes", None)
    if exact is not None:
        try:
            row["raw_text"] = exact.decode(errors="surrogatepass")
        except UnicodeDecodeError:
            row["raw_bytes"] = exact
    row["reason"] = FailureReason(row["reason"])
    row["labels"] = dict(row.get("labels") or ())
    return Failure(**row)
