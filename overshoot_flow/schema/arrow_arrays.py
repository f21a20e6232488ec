"""Arrow arrays of lists, maps and structs, made of the arrays of what is in them, and taken apart.

Parquet refuses a null in a field that is declared non-null, also where the struct around it is
null. So such a field has a value of another row there, which nobody sees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from types import NoneType
from typing import Any, cast

import pyarrow as pa

from overshoot_flow.schema.columns import Values


def has_null(values: Values) -> bool:
    """Return whether one of the values is None."""
    # Comparing types is faster than `None in values`, which asks every value whether it is equal.
    return NoneType in set(map(type, values))


def null_mask(values: Values) -> pa.Array[Any] | None:
    """Return where the values are None, or None where none is."""
    if not has_null(values):
        return None
    return pa.array([value is None for value in values], pa.bool_())


def fields_of(struct_type: pa.DataType) -> list[pa.Field[Any]]:
    """Return the fields of a struct type."""
    return list(cast("pa.StructType", struct_type))


def children_of(structs: pa.Array[Any]) -> list[pa.Array[Any]]:
    """Return the array of each field, with null where the struct is null."""
    return list(cast("pa.StructArray", structs).flatten())


def list_array(collections: Values, items: pa.Array[Any], arrow_type: pa.DataType) -> pa.Array[Any]:
    """Return lists of the lengths of `collections`, of which some may be None."""
    # The stubs know this only for some types of the items.
    made: pa.Array[Any] = cast("Any", pa.ListArray).from_arrays(
        _offsets(collections), items, type=arrow_type, mask=null_mask(collections)
    )
    return made


def map_array(
    collections: Values, keys: pa.Array[Any], items: pa.Array[Any], arrow_type: pa.DataType
) -> pa.Array[Any]:
    """Return maps of the lengths of `collections`, of which some may be None."""
    # The stubs know one way to call it, without a type and with wide offsets.
    made: pa.Array[Any] = cast("Any", pa.MapArray).from_arrays(
        _offsets(collections), keys, items, type=arrow_type, mask=null_mask(collections)
    )
    return made


def spans_of(array: Any) -> list[slice | None]:  # noqa: ANN401 - an array of lists or maps
    """Return where in the array of all items each list or map has its own, None for null."""
    pairs = pairwise(array.offsets.to_pylist())
    valid = array.is_valid().to_pylist()
    return [slice(*pair) if is_there else None for pair, is_there in zip(pairs, valid, strict=True)]


def with_nulls(values: list[Any], array: pa.Array[Any]) -> list[Any]:
    """Return the values with None where the array has null."""
    if not array.null_count:
        return values
    valid = array.is_valid().to_pylist()
    return [value if is_there else None for value, is_there in zip(values, valid, strict=True)]


def struct_array(
    values: Values, arrow_type: pa.DataType, arrays: Callable[[Values], Sequence[pa.Array[Any]]]
) -> pa.Array[Any]:
    """Return structs for values of which some may be None.

    Args:
        values: What each struct is made of.
        arrow_type: The struct type.
        arrays: Makes the array of every field, of values without None.
    """
    fields = fields_of(arrow_type)
    mask = null_mask(values)
    if mask is None:
        return pa.StructArray.from_arrays(list(arrays(values)), fields=fields)
    there = [value for value in values if value is not None]
    if there:
        children, rows = arrays(there), []
        count = 0
        for value in values:
            rows.append(min(count, len(there) - 1))
            count += value is not None
    else:
        children, rows = [_any_value(field.type) for field in fields], [0] * len(values)
    indices = pa.array(rows, pa.int32())
    spread = [child.take(indices) for child in children]
    return pa.StructArray.from_arrays(spread, fields=fields, mask=mask)


def _offsets(collections: Values) -> pa.Array[Any]:
    lengths = [0 if each is None else len(each) for each in collections]
    return pa.array(list(accumulate(lengths, initial=0)), pa.int32())


def _any_value(arrow_type: pa.DataType) -> pa.Array[Any]:
    """Return an array with one value that is not null."""
    if isinstance(arrow_type, pa.StructType):
        fields = fields_of(arrow_type)
        children = [_any_value(field.type) for field in fields]
        return pa.StructArray.from_arrays(children, fields=fields)
    if isinstance(arrow_type, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(arrow_type, _any_value(arrow_type.storage_type))
    if isinstance(arrow_type, pa.ListType):
        no_items = _any_value(arrow_type.value_type).slice(0, 0)
        return list_array([()], no_items, arrow_type)
    if isinstance(arrow_type, pa.MapType):
        no_items = _any_value(arrow_type.item_type).slice(0, 0)
        return map_array([()], pa.array([], pa.string()), no_items, arrow_type)
    if isinstance(arrow_type, pa.DictionaryType):
        dictionary = pa.array([""], pa.string())
        return pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), dictionary)
    return pa.array([_zero(arrow_type)], arrow_type)


def _zero(arrow_type: pa.DataType) -> Any:  # noqa: ANN401 - of the type's Python form
    if pa.types.is_string(arrow_type):
        return ""
    if pa.types.is_boolean(arrow_type):
        return False
    if pa.types.is_fixed_size_binary(arrow_type):
        return bytes(arrow_type.byte_width)
    return 0
