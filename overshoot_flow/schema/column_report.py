"""What an output schema leads to: every column with its types in Arrow, Parquet and warehouses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.sql_types import DIALECTS


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnReport:
    """One column, or one part of it.

    Attributes:
        path: Such as `output.boxes[].x`; `[]` stands for the items of a list or map.
        arrow: The Arrow type; of a struct, list or map only its kind, for its parts follow.
        nullable: Whether it may be null.
        parquet: Physical and logical type, None where the parts have them.
        sql: Type by the warehouse's name.
        notes: The Arrow field's metadata.
    """

    path: str
    arrow: str
    nullable: bool
    parquet: str | None
    sql: dict[str, str]
    notes: dict[str, str]


def column_reports(schema: OutputSchema) -> list[ColumnReport]:
    """Return the column `output` and everything in it, in order."""
    field = pa.field("output", schema.arrow_type)
    leaves = iter(_parquet_types(field))
    return list(_reports(field, "output", leaves))


def _reports(field: pa.Field[Any], path: str, leaves: Iterator[str]) -> Iterator[ColumnReport]:
    parts = list(_parts(field.type, path))
    yield ColumnReport(
        path=path,
        arrow=_kind(field.type) if parts else str(field.type),
        nullable=field.nullable,
        parquet=None if parts else next(leaves),
        sql={dialect.name: dialect.type_of(field.type) for dialect in DIALECTS},
        notes={
            key.decode(): value.decode()
            for key, value in (field.metadata or {}).items()
            if not key.startswith(b"PARQUET:")
        },
    )
    for part, below in parts:
        yield from _reports(part, below, leaves)


def _parts(arrow_type: Any, path: str) -> Iterator[tuple[pa.Field[Any], str]]:  # noqa: ANN401 - the stubs' nested types differ
    if pt.is_struct(arrow_type):
        for index in range(arrow_type.num_fields):
            field: pa.Field[Any] = arrow_type.field(index)
            yield field, f"{path}.{field.name}"
    elif pt.is_list(arrow_type) or pt.is_large_list(arrow_type):
        yield arrow_type.value_field, f"{path}[]"
    elif pt.is_map(arrow_type):
        yield arrow_type.key_field, f"{path}[].key"
        yield arrow_type.item_field, f"{path}[].value"


def _kind(arrow_type: pa.DataType) -> str:
    if pt.is_struct(arrow_type):
        return "struct"
    return "map" if pt.is_map(arrow_type) else "list"


def _parquet_types(field: pa.Field[Any]) -> list[str]:
    """Ask the writer itself, with a file without rows."""
    buffer = pa.BufferOutputStream()
    fields: list[pa.Field[Any]] = [field]
    pq.ParquetWriter(buffer, pa.schema(fields)).close()
    written = pq.ParquetFile(pa.BufferReader(buffer.getvalue())).schema
    columns = [written.column(index) for index in range(len(written.names))]
    return [_parquet_type(column.physical_type, str(column.logical_type)) for column in columns]


def _parquet_type(physical: str, logical: str) -> str:
    if logical == "None":
        return physical
    internal = (", is_from_converted_type=false", ", force_set_converted_type=false")
    for detail in internal:
        logical = logical.replace(detail, "")
    return f"{physical} {logical}"
