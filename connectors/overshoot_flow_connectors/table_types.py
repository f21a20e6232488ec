"""Arrow types that warehouse tables can hold, and rows in them.

Iceberg and Delta know fewer types than Arrow. What they lack is widened without changing a value:
unsigned and narrow integers to wider ones, dictionaries to their values, times of day to text.
"""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa
import pyarrow.types as at

from overshoot_flow.errors import ConfigurationError

_UTC: Final = pa.timestamp("us", "UTC")
_LOCAL: Final = pa.timestamp("us")
_MOST_DIGITS: Final = 38
_UINT64_DIGITS: Final = 20


def storable_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema in which a table holds rows of `schema`; the metadata stay.

    Raises:
        ConfigurationError: A column has a type that no table holds; the text names it.
    """
    fields = [_field(field, field.name) for field in schema]
    return pa.schema(fields).with_metadata(schema.metadata)


def to_storable(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the rows in `schema`, which is the storable one of theirs.

    Raises:
        ConfigurationError: A value does not fit.
    """
    try:
        columns = [
            column if column.type.equals(field.type) else column.cast(field.type)
            for column, field in zip(batch.columns, schema, strict=True)
        ]
    except pa.ArrowException as error:
        raise ConfigurationError(f"rows do not fit the table's types: {error}") from error
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _field(field: pa.Field[Any], path: str) -> pa.Field[Any]:
    return pa.field(field.name, _type(field.type, path), nullable=field.nullable)


def _type(arrow_type: pa.DataType, path: str) -> pa.DataType:
    nested = _nested(arrow_type, path)
    return _scalar(arrow_type, path) if nested is None else nested


def _nested(arrow_type: Any, path: str) -> pa.DataType | None:  # noqa: ANN401 - stubs lack nested types' attributes
    if at.is_dictionary(arrow_type):
        values_type: pa.DataType = arrow_type.value_type
        return _type(values_type, path)
    if at.is_struct(arrow_type):
        members = [arrow_type.field(index) for index in range(arrow_type.num_fields)]
        if not members:
            raise ConfigurationError(
                f"column {path} is an object without members, which no table holds; leave it out "
                "of the output schema"
            )
        return pa.struct([_field(member, f"{path}.{member.name}") for member in members])
    if at.is_map(arrow_type):
        keys = _type(arrow_type.key_type, f"{path}[]")
        values: Any = _field(arrow_type.item_field, f"{path}[]")  # the stubs know no fields here
        return pa.map_(keys, values)
    if at.is_list(arrow_type) or at.is_large_list(arrow_type) or at.is_fixed_size_list(arrow_type):
        items = _field(arrow_type.value_field, f"{path}[]")
        # What libraries call the items of a list differs.
        return pa.list_(items.with_name("item"))
    return None


def _scalar(arrow_type: Any, path: str) -> pa.DataType:  # noqa: ANN401 - stubs lack attributes of types
    for matches, stored in (
        (at.is_boolean, pa.bool_()),
        (at.is_int8, pa.int32()),
        (at.is_int16, pa.int32()),
        (at.is_int32, pa.int32()),
        (at.is_int64, pa.int64()),
        (at.is_uint8, pa.int32()),
        (at.is_uint16, pa.int32()),
        (at.is_uint32, pa.int64()),
        (at.is_uint64, pa.decimal128(_UINT64_DIGITS, 0)),
        (at.is_float16, pa.float32()),
        (at.is_float32, pa.float32()),
        (at.is_float64, pa.float64()),
        (at.is_date, pa.date32()),
        (at.is_time, pa.string()),
        (at.is_string, pa.string()),
        (at.is_large_string, pa.string()),
        (at.is_string_view, pa.string()),
        (at.is_binary, pa.binary()),
        (at.is_large_binary, pa.binary()),
        (at.is_binary_view, pa.binary()),
        (at.is_fixed_size_binary, pa.binary()),
        (at.is_null, pa.string()),
    ):
        if matches(arrow_type):
            return stored
    if at.is_timestamp(arrow_type) and arrow_type.unit != "ns":
        return _LOCAL if arrow_type.tz is None else _UTC
    if at.is_decimal(arrow_type) and arrow_type.precision <= _MOST_DIGITS:
        return pa.decimal128(arrow_type.precision, arrow_type.scale)
    raise ConfigurationError(
        f"column {path} is {arrow_type}, which no table holds; give it another type in the output "
        "schema"
    )
