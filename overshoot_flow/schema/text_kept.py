"""Columns that keep the text of a value where its Arrow type cannot hold it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from overshoot_flow.schema.arrow_arrays import children_of, struct_array
from overshoot_flow.schema.columns import Column, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class TextKeptColumn(Column):
    """Values whose Arrow type cannot hold every way to write them; then the text is kept.

    As a property's, the text has a column of its own beside the value's. Elsewhere (items of an
    array, values of a map) both are in a struct. The value is null where the type cannot hold
    it at all, and the text is null where it follows from the value.

    Attributes:
        value_type: Type of the values; `arrow_type` is that of the struct.
        holds_all: Whether `value_type` holds every value, written in one way.
    """

    value_type: pa.DataType
    holds_all: bool = field(default=False)

    def split(self, values: Values) -> tuple[pa.Array[Any], pa.Array[Any]]:
        """Return the array of the values and that of the texts that have to be kept."""
        raise NotImplementedError

    def texts_of(self, array: pa.Array[Any]) -> list[str | None]:
        """Return the text that follows from each value."""
        raise NotImplementedError

    def join(self, array: pa.Array[Any], texts: pa.Array[Any]) -> list[Any]:
        """Return the texts as they were written."""
        kept = texts.to_pylist()
        return [k if k is not None else v for k, v in zip(kept, self.texts_of(array), strict=True)]

    def to_arrow(self, values: Values) -> pa.Array[Any]:
        """Return structs of value and text."""
        return struct_array(values, self.arrow_type, self.split)

    def to_json(self, array: pa.Array[Any]) -> list[Any]:
        """Return the texts as they were written."""
        value, text = children_of(array)
        return self.join(value, text)
