"""Arrow schema → Avro schema, and Arrow rows → the values that `fastavro` writes with it: pure.

| Arrow | Avro |
| --- | --- |
| bool, string, binary, float, double | the same (`boolean`, `string`, `bytes`, `float`, `double`) |
| integers up to 32 bits, else up to 64 | `int`, `long`; `uint64` a `decimal(20, 0)` |
| date, time, timestamp with, without zone | `date`, `time-…`, `timestamp-…`, `local-timestamp-…` |
| decimal | `bytes` with the logical type `decimal` |
| struct, list, map | `record`, `array`, `map` (with other keys than text: `array` of pairs) |
| dictionary | its values' type |
| nullable | a union with `null` first, default `null` |

A name that Avro does not allow is written with `_`; the field's property `arrow.name` has the
original. Times are given as integers: nothing is lost, and no calendar is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

import pyarrow as pa
from pyarrow import types

from overshoot_flow.errors import UnsupportedSchemaError

AvroSchema: TypeAlias = dict[str, Any]
_Type: TypeAlias = pa.DataType
_Convert: TypeAlias = Callable[[Any], Any]

_ILLEGAL: Final = re.compile(r"[^A-Za-z0-9_]")
_UINT64_DIGITS: Final = 20
_SUFFIX_OF_UNIT: Final = {"s": "millis", "ms": "millis", "us": "micros", "ns": "nanos"}

_PRIMITIVES: Final[tuple[tuple[Callable[[_Type], bool], str], ...]] = (
    (types.is_boolean, "boolean"),
    (types.is_int8, "int"),
    (types.is_int16, "int"),
    (types.is_int32, "int"),
    (types.is_uint8, "int"),
    (types.is_uint16, "int"),
    (types.is_int64, "long"),
    (types.is_uint32, "long"),
    (types.is_float16, "float"),
    (types.is_float32, "float"),
    (types.is_float64, "double"),
    (types.is_string, "string"),
    (types.is_large_string, "string"),
    (types.is_string_view, "string"),
    (types.is_binary, "bytes"),
    (types.is_large_binary, "bytes"),
    (types.is_binary_view, "bytes"),
    (types.is_null, "null"),
)


@dataclass(frozen=True, slots=True)
class _Form:
    """How values of one place are written: their Avro type, what Arrow casts them to, and the rest.

    `convert` is None where the cast value is written as it is.
    """

    avro: Any
    plain: _Type
    convert: _Convert | None = None


class AvroRows:
    """The Avro schema of rows with one Arrow schema, and their values.

    Args:
        schema: The rows' Arrow schema.
        name: Full name of the record, such as `overshoot.results`.

    Attributes:
        schema: The Avro schema, as plain values.

    Raises:
        UnsupportedSchemaError: A column has no Avro form; the text names it.
    """

    def __init__(self, schema: pa.Schema, name: str) -> None:
        self._names: set[str] = set()
        namespace, _, short = name.rpartition(".")
        struct = pa.struct(list(schema))
        self._form = self._record(struct, _legal(short), "")
        self.schema: AvroSchema = self._form.avro
        if namespace:
            self.schema["namespace"] = namespace
        self._columns = [self._form.plain.field(index) for index in range(len(schema))]

    def rows(self, batch: pa.RecordBatch) -> list[dict[str, Any]]:
        """Return one value for each row, to be written with `schema`."""
        arrays = [
            column.cast(field.type)
            for column, field in zip(batch.columns, self._columns, strict=True)
        ]
        plain = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(self._columns))
        rows = plain.to_pylist(maps_as_pydicts="lossy")
        convert = self._form.convert
        return rows if convert is None else [convert(row) for row in rows]

    def _record(self, struct: pa.StructType, name: str, path: str) -> _Form:
        taken: set[str] = set()
        fields: list[AvroSchema] = []
        plain: list[pa.Field[Any]] = []
        converts: dict[str, tuple[str, _Convert | None]] = {}
        record = {"type": "record", "name": self._unique(name, self._names), "fields": fields}
        for index in range(struct.num_fields):
            field = struct.field(index)
            form = self._form_of(field.type, f"{name}_{field.name}", f"{path}/{field.name}")
            column = self._unique(_legal(field.name), taken)
            entry: AvroSchema = {"name": column, "type": form.avro}
            if field.nullable and not types.is_null(field.type):
                entry |= {"type": ["null", form.avro], "default": None}
            if column != field.name:
                entry["arrow.name"] = field.name
            fields.append(entry)
            plain.append(pa.field(field.name, form.plain, nullable=field.nullable))
            converts[field.name] = (column, form.convert)
        return _Form(record, pa.struct(plain), _struct_convert(converts))

    def _form_of(self, arrow: _Type, name: str, path: str) -> _Form:
        for matches, primitive in _PRIMITIVES:
            if matches(arrow):
                # Python has no value for a half float of its own.
                plain = pa.float32() if types.is_float16(arrow) else arrow
                return _Form(primitive, plain)
        if isinstance(arrow, pa.BaseExtensionType):
            return self._form_of(arrow.storage_type, name, path)
        if isinstance(arrow, pa.DictionaryType):
            return self._form_of(arrow.value_type, name, path)
        if isinstance(arrow, pa.FixedSizeBinaryType) and not types.is_decimal(arrow):
            fixed = {
                "type": "fixed",
                "name": self._unique(_legal(name), self._names),
                "size": arrow.byte_width,
            }
            return _Form(fixed, arrow)
        if isinstance(arrow, pa.StructType):
            return self._record(arrow, _legal(name), path)
        return _number_form(arrow) or self._nested_form(arrow, name, path)

    def _nested_form(self, arrow: _Type, name: str, path: str) -> _Form:
        if isinstance(arrow, pa.MapType):
            return self._map(arrow, name, path)
        if isinstance(arrow, pa.ListType | pa.LargeListType | pa.FixedSizeListType):
            inner = self._form_of(arrow.value_type, name, f"{path}[]")
            nullable = arrow.value_field.nullable
            plain = pa.list_(pa.field("item", inner.plain, nullable=nullable))
            return _Form(
                {"type": "array", "items": _optional(inner.avro, nullable=nullable)},
                plain,
                _list_convert(inner.convert),
            )
        raise UnsupportedSchemaError(path, f"the column type {arrow} has no Avro form; cast it")

    def _map(self, arrow: pa.MapType[Any, Any, Any], name: str, path: str) -> _Form:
        value = self._form_of(arrow.item_type, f"{name}_value", f"{path}{{}}")
        nullable = arrow.item_field.nullable
        if types.is_string(arrow.key_type) or types.is_large_string(arrow.key_type):
            plain = pa.map_(arrow.key_type, value.plain)
            avro = {"type": "map", "values": _optional(value.avro, nullable=nullable)}
            return _Form(avro, plain, _map_convert(value.convert))
        pairs = pa.struct(
            [
                pa.field("key", arrow.key_type, nullable=False),
                pa.field("value", arrow.item_type, nullable=nullable),
            ]
        )
        return self._form_of(pa.list_(pa.field("item", pairs, nullable=False)), name, path)

    @staticmethod
    def _unique(name: str, taken: set[str]) -> str:
        number, unique = 1, name
        while unique in taken:
            number += 1
            unique = f"{name}_{number}"
        taken.add(unique)
        return unique


def _number_form(arrow: _Type) -> _Form | None:  # noqa: PLR0911 - one for each kind of type
    if types.is_uint64(arrow):
        decimal = {"type": "bytes", "logicalType": "decimal", "precision": _UINT64_DIGITS}
        return _Form({**decimal, "scale": 0}, arrow, Decimal)
    if isinstance(arrow, pa.Decimal128Type | pa.Decimal256Type):
        decimal = {"type": "bytes", "logicalType": "decimal", "precision": arrow.precision}
        return _Form({**decimal, "scale": arrow.scale}, arrow)
    if types.is_date(arrow):
        # Of 64 bits, days come as milliseconds.
        convert = _milliseconds_to_days if types.is_date64(arrow) else None
        plain = pa.int64() if types.is_date64(arrow) else pa.int32()
        return _Form({"type": "int", "logicalType": "date"}, plain, convert)
    if isinstance(arrow, pa.TimestampType):
        kind = "local-timestamp" if arrow.tz is None else "timestamp"
        logical = {"type": "long", "logicalType": f"{kind}-{_SUFFIX_OF_UNIT[arrow.unit]}"}
        return _Form(logical, pa.int64(), _times_1000 if arrow.unit == "s" else None)
    if isinstance(arrow, pa.Time32Type):
        logical = {"type": "int", "logicalType": "time-millis"}
        return _Form(logical, pa.int32(), _times_1000 if arrow.unit == "s" else None)
    if isinstance(arrow, pa.Time64Type):
        logical = {"type": "long", "logicalType": f"time-{_SUFFIX_OF_UNIT[arrow.unit]}"}
        return _Form(logical, pa.int64())
    if isinstance(arrow, pa.DurationType):
        return _Form({"type": "long", "arrow.unit": arrow.unit}, pa.int64())
    return None


def _optional(avro: Any, *, nullable: bool) -> Any:  # noqa: ANN401 - a name, a union or a type
    return ["null", avro] if nullable and avro != "null" else avro


def _legal(name: str) -> str:
    legal = _ILLEGAL.sub("_", name) or "_"
    return f"_{legal}" if legal[0].isdigit() else legal


def _times_1000(value: int | None) -> int | None:
    return None if value is None else value * 1000


def _milliseconds_to_days(value: int | None) -> int | None:
    return None if value is None else value // 86_400_000


def _struct_convert(columns: Mapping[str, tuple[str, _Convert | None]]) -> _Convert | None:
    if all(name == column and convert is None for name, (column, convert) in columns.items()):
        return None

    def convert_struct(row: dict[str, Any] | None) -> dict[str, Any] | None:
        if row is None:
            return None
        return {
            column: row[name] if convert is None or row[name] is None else convert(row[name])
            for name, (column, convert) in columns.items()
        }

    return convert_struct


def _list_convert(convert: _Convert | None) -> _Convert | None:
    if convert is None:
        return None
    return lambda values: [None if each is None else convert(each) for each in values]


def _map_convert(convert: _Convert | None) -> _Convert | None:
    if convert is None:
        return None
    return lambda values: {
        key: None if value is None else convert(value) for key, value in values.items()
    }
