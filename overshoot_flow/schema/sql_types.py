"""Arrow types → the types that warehouses have for them once the Parquet files are loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.types as pt

NO_TYPE: Final = "(none)"
"""Stands where a warehouse has no type that holds the values."""

_DECIMAL_DIGITS: Final = 38
_BIGQUERY_DECIMALS: Final = (("NUMERIC", 29, 9), ("BIGNUMERIC", 38, 38))


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one warehouse names its types.

    Attributes:
        name: As people know it.
        scalars: Type by the text of the Arrow type.
        struct, member, array, mapping: How types are put together; None where it has no such type.
        quote: What stands around a name.
        decimal: Type of decimals by their digits and those of them behind the point.
    """

    name: str
    scalars: Mapping[str, str]
    struct: str
    member: str
    array: str
    mapping: str | None
    quote: str
    decimal: Callable[[int, int], str]

    def type_of(self, arrow_type: Any) -> str:  # noqa: ANN401 - the stubs' nested types differ
        """Return the type's text, `NO_TYPE` within it where there is none."""
        if pt.is_dictionary(arrow_type):
            return self.type_of(arrow_type.value_type)
        if pt.is_decimal(arrow_type):
            return self.decimal(arrow_type.precision, arrow_type.scale)
        return self._nested(arrow_type) or self.scalars.get(str(arrow_type), NO_TYPE)

    def _nested(self, arrow_type: Any) -> str | None:  # noqa: ANN401 - as above
        if pt.is_struct(arrow_type):
            return self.struct.format(self._members(arrow_type))
        if pt.is_list(arrow_type) or pt.is_large_list(arrow_type):
            return self.array.format(self.type_of(arrow_type.value_type))
        if not pt.is_map(arrow_type):
            return None
        key, item = arrow_type.key_type, arrow_type.item_type
        if self.mapping is None:
            entry = pa.struct([pa.field("key", key), pa.field("value", item)])
            return self.array.format(self.type_of(entry))
        return self.mapping.format(self.type_of(key), self.type_of(item))

    def _members(self, struct: Any) -> str:  # noqa: ANN401 - as above
        fields: Iterable[pa.Field[Any]] = (
            struct.field(index) for index in range(struct.num_fields)
        )
        return ", ".join(
            self.member.format(self._quoted(each.name), self.type_of(each.type)) for each in fields
        )

    def _quoted(self, name: str) -> str:
        # Always: each warehouse has other words that are none of its names.
        return f"{self.quote}{name.replace(self.quote, self.quote * 2)}{self.quote}"


def _decimal_of(name: str) -> Callable[[int, int], str]:
    def type_of(precision: int, scale: int) -> str:
        return f"{name}({precision}, {scale})" if precision <= _DECIMAL_DIGITS else NO_TYPE

    return type_of


def _bigquery_decimal(precision: int, scale: int) -> str:
    for name, whole_digits, fraction_digits in _BIGQUERY_DECIMALS:
        if precision - scale <= whole_digits and scale <= fraction_digits:
            return f"{name}({precision}, {scale})"
    return NO_TYPE


def _scalars(names: Mapping[str, str]) -> dict[str, str]:
    """Write out keys that stand for several Arrow types."""
    return {each: name for several, name in names.items() for each in several.split()}


DUCKDB: Final = Dialect(
    name="DuckDB",
    scalars=_scalars(
        {
            "bool": "BOOLEAN",
            "int8": "TINYINT",
            "int16": "SMALLINT",
            "int32": "INTEGER",
            "int64 duration[us] duration[ns]": "BIGINT",
            "uint8": "UTINYINT",
            "uint16": "USMALLINT",
            "uint32": "UINTEGER",
            "uint64": "UBIGINT",
            "float": "FLOAT",
            "double": "DOUBLE",
            "string large_string": "VARCHAR",
            "binary large_binary fixed_size_binary[16]": "BLOB",
            "extension<arrow.uuid>": "UUID",
            "date32[day]": "DATE",
            "time64[us]": "TIME",
            "time64[ns]": "TIME_NS",
            "null": '"NULL"',
        }
    )
    | {
        "timestamp[us, tz=UTC]": "TIMESTAMP WITH TIME ZONE",
        "timestamp[us]": "TIMESTAMP",
        "timestamp[ns, tz=UTC]": "TIMESTAMPTZ_NS",
        "timestamp[ns]": "TIMESTAMP_NS",
    },
    struct="STRUCT({})",
    member="{} {}",
    array="{}[]",
    mapping="MAP({}, {})",
    decimal=_decimal_of("DECIMAL"),
    quote='"',
)
BIGQUERY: Final = Dialect(
    name="BigQuery",
    scalars=_scalars(
        {
            "bool": "BOOL",
            "int8 int16 int32 int64 uint8 uint16 uint32 duration[us] duration[ns]": "INT64",
            "float double": "FLOAT64",
            "string large_string null": "STRING",
            "binary large_binary fixed_size_binary[16] extension<arrow.uuid>": "BYTES",
            "date32[day]": "DATE",
            "time64[us] time64[ns]": "TIME",
        }
    )
    | {
        "uint64": "BIGNUMERIC",
        "timestamp[us, tz=UTC]": "TIMESTAMP",
        "timestamp[us]": "DATETIME",
        "timestamp[ns, tz=UTC]": "TIMESTAMP",
        "timestamp[ns]": "DATETIME",
    },
    struct="STRUCT<{}>",
    member="{} {}",
    array="ARRAY<{}>",
    mapping=None,
    decimal=_bigquery_decimal,
    quote="`",
)
SNOWFLAKE: Final = Dialect(
    name="Snowflake",
    scalars=_scalars(
        {
            "bool": "BOOLEAN",
            "int8 uint8": "NUMBER(3, 0)",
            "int16 uint16": "NUMBER(5, 0)",
            "int32 uint32": "NUMBER(10, 0)",
            "int64 duration[us] duration[ns]": "NUMBER(19, 0)",
            "uint64": "NUMBER(20, 0)",
            "float double": "FLOAT",
            "string large_string null": "VARCHAR",
            "binary large_binary fixed_size_binary[16] extension<arrow.uuid>": "BINARY",
            "date32[day]": "DATE",
            "time64[us]": "TIME(6)",
            "time64[ns]": "TIME(9)",
        }
    )
    | {
        "timestamp[us, tz=UTC]": "TIMESTAMP_LTZ(6)",
        "timestamp[us]": "TIMESTAMP_NTZ(6)",
        "timestamp[ns, tz=UTC]": "TIMESTAMP_LTZ(9)",
        "timestamp[ns]": "TIMESTAMP_NTZ(9)",
    },
    struct="OBJECT({})",
    member="{} {}",
    array="ARRAY({})",
    mapping="MAP({}, {})",
    decimal=_decimal_of("NUMBER"),
    quote='"',
)
DIALECTS: Final = (DUCKDB, BIGQUERY, SNOWFLAKE)
