"""Arrow rows → canonical JSON, and the JSON Schema that describes it: pure.

Keys are sorted and there are no spaces, so that equal rows are equal bytes. Times are ISO 8601 in
UTC (`2026-01-31T08:00:00.000001Z`), decimals and durations are texts and integers, binary values
base64, maps with text keys objects, others arrays of `{"key", "value"}`. JSON has no word for the
floats that are no numbers: they are `"NaN"`, `"Infinity"` and `"-Infinity"`.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

import pyarrow as pa
from pyarrow import types

from overshoot_flow.errors import UnsupportedSchemaError

_Convert: TypeAlias = Callable[[Any], Any]
_DRAFT: Final = "http://json-schema.org/draft-07/schema#"


@dataclass(frozen=True, slots=True)
class _Form:
    schema: dict[str, Any]
    plain: pa.DataType
    convert: _Convert


class JsonRows:
    """Rows of one Arrow schema as JSON documents.

    Args:
        schema: The rows' Arrow schema.
        name: Title of the JSON Schema, such as `overshoot.results`.

    Attributes:
        schema: The JSON Schema of one document, as plain values.

    Raises:
        UnsupportedSchemaError: A column has no JSON form; the text names it.
    """

    def __init__(self, schema: pa.Schema, name: str) -> None:
        form = _struct(pa.struct(list(schema)), "")
        self.schema = {"$schema": _DRAFT, "title": name, **form.schema}
        self._convert = form.convert
        self._plain = pa.schema([form.plain.field(index) for index in range(len(schema))])

    def rows(self, batch: pa.RecordBatch) -> list[bytes]:
        """Return one document in UTF-8 for each row."""
        arrays = [
            column.cast(field.type)
            for column, field in zip(batch.columns, self._plain, strict=True)
        ]
        plain = pa.RecordBatch.from_arrays(arrays, schema=self._plain)
        return [canonical_json(self._convert(row)) for row in plain.to_pylist()]


def canonical_json(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Return `value` with sorted keys and without spaces, in UTF-8."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def _form_of(arrow: pa.DataType, path: str) -> _Form:
    if isinstance(arrow, pa.BaseExtensionType):
        return _form_of(arrow.storage_type, path)
    if isinstance(arrow, pa.DictionaryType):
        return _form_of(arrow.value_type, path)
    if isinstance(arrow, pa.StructType):
        return _struct(arrow, path)
    if isinstance(arrow, pa.MapType):
        return _map(arrow, path)
    if isinstance(arrow, pa.ListType | pa.LargeListType | pa.FixedSizeListType):
        return _list(arrow.value_field, path)
    form = _scalar(arrow)
    if form is None:
        raise UnsupportedSchemaError(path, f"the column type {arrow} has no JSON form; cast it")
    return form


def _scalar(arrow: pa.DataType) -> _Form | None:  # noqa: C901, PLR0911 - one for each kind of type
    if types.is_null(arrow):
        return _Form({"type": "null"}, arrow, _same)
    if types.is_boolean(arrow):
        return _Form({"type": "boolean"}, arrow, _same)
    if types.is_integer(arrow):
        return _Form({"type": "integer"}, arrow, _same)
    if types.is_floating(arrow):
        no_numbers = {"enum": ["NaN", "Infinity", "-Infinity"]}
        return _Form({"anyOf": [{"type": "number"}, no_numbers]}, pa.float64(), _number)
    if types.is_string(arrow) or types.is_large_string(arrow) or types.is_string_view(arrow):
        return _Form({"type": "string"}, arrow, _same)
    if types.is_timestamp(arrow):
        # Without a zone it is no moment, and the format would be a lie.
        form = {"format": "date-time"} if getattr(arrow, "tz", None) else {}
        return _Form({"type": "string", **form}, pa.string(), _iso)
    if types.is_date(arrow):
        return _Form({"type": "string", "format": "date"}, pa.string(), _day)
    if types.is_time(arrow):
        return _Form({"type": "string"}, pa.string(), _same)
    if types.is_duration(arrow):
        return _Form({"type": "integer"}, pa.int64(), _same)
    if types.is_decimal(arrow):
        return _Form({"type": "string"}, arrow, _decimal)
    if types.is_binary(arrow) or types.is_large_binary(arrow) or types.is_fixed_size_binary(arrow):
        return _Form({"type": "string", "contentEncoding": "base64"}, arrow, _base64)
    return None


def _struct(arrow: pa.StructType, path: str) -> _Form:
    fields = [arrow.field(index) for index in range(arrow.num_fields)]
    forms = {each.name: _form_of(each.type, f"{path}/{each.name}") for each in fields}
    plain = [pa.field(each.name, forms[each.name].plain, nullable=each.nullable) for each in fields]
    schema = {
        "type": "object",
        "properties": {
            each.name: _optional(forms[each.name].schema, nullable=each.nullable) for each in fields
        },
        "required": [each.name for each in fields if not each.nullable],
    }

    def convert(row: dict[str, Any]) -> dict[str, Any]:
        return {
            name: None if row[name] is None else form.convert(row[name])
            for name, form in forms.items()
        }

    return _Form(schema, pa.struct(plain), convert)


def _list(item: pa.Field[Any], path: str) -> _Form:
    form = _form_of(item.type, f"{path}[]")
    return _Form(
        {"type": "array", "items": _optional(form.schema, nullable=item.nullable)},
        pa.list_(pa.field("item", form.plain, nullable=item.nullable)),
        lambda values: [None if each is None else form.convert(each) for each in values],
    )


def _map(arrow: pa.MapType[Any, Any, Any], path: str) -> _Form:
    keys = _form_of(arrow.key_type, f"{path}{{key}}")
    values = _form_of(arrow.item_type, f"{path}{{}}")
    nullable = arrow.item_field.nullable
    plain = pa.map_(keys.plain, values.plain)

    def pairs(items: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        return [
            (keys.convert(key), None if value is None else values.convert(value))
            for key, value in items
        ]

    value_schema = _optional(values.schema, nullable=nullable)
    if types.is_string(arrow.key_type) or types.is_large_string(arrow.key_type):
        schema = {"type": "object", "additionalProperties": value_schema}
        return _Form(schema, plain, lambda items: dict(pairs(items)))
    pair = {
        "type": "object",
        "properties": {"key": keys.schema, "value": value_schema},
        "required": ["key"],
    }
    return _Form(
        {"type": "array", "items": pair},
        plain,
        lambda items: [{"key": key, "value": value} for key, value in pairs(items)],
    )


def _optional(schema: dict[str, Any], *, nullable: bool) -> dict[str, Any]:
    if not nullable or schema == {"type": "null"}:
        return schema
    return {"anyOf": [{"type": "null"}, schema]}


def _same(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    return value


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _iso(text: str) -> str:
    return text.replace(" ", "T", 1)


def _day(text: str) -> str:
    # Of 64 bits, Arrow says a day with its midnight.
    return text[:10]


def _decimal(value: Decimal) -> str:
    return format(value, "f")


def _base64(value: bytes) -> str:
    return b64encode(value).decode("ascii")
