"""Columns of arrays whose items have types of their own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from overshoot_flow.schema.arrow_arrays import children_of, struct_array, with_nulls
from overshoot_flow.schema.columns import ABSENT, JSON_FIELD, Column, JsonPath, Values
from overshoot_flow.schema.json_columns import JsonColumn, json_text, without_decimals
from overshoot_flow.schema.struct_columns import Member


@dataclass(frozen=True, slots=True, kw_only=True)
class TupleColumn(Column):
    """Arrays whose first items have types of their own: structs of `item_0`, `item_1` and so on.

    The last column `other` is JSON text of an array with the items behind those.
    """

    members: tuple[Member, ...]
    has_other: bool

    @classmethod
    def of(
        cls, members: Sequence[Member], other: str | None, *, nullable: bool, schema_path: str
    ) -> TupleColumn:
        """Return the column; `other` is the name of the column for the items that follow."""
        fields = [field for member in members for field in member.fields]
        if other is not None:
            fields.append(pa.field(other, pa.string(), metadata={JSON_FIELD: "other"}))
        return cls(
            arrow_type=pa.struct(fields),
            nullable=nullable,
            schema_path=schema_path,
            members=tuple(members),
            has_other=other is not None,
        )

    @property
    def has_integers(self) -> bool:
        """Whether a member has."""
        return any(member.column.has_integers for member in self.members)

    def with_integers(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Return the value with every member so."""
        for index, member in enumerate(self.members[: len(value)]):
            if member.column.has_integers and value[index] is not None:
                value[index] = member.column.with_integers(value[index])
        return value

    @property
    def nests_freely(self) -> bool:
        """Whether an item does, or may follow those that the schema knows."""
        return self.has_other or any(member.column.nests_freely for member in self.members)

    @property
    def keys_each(self) -> int | None:
        """None in any tuple, where the items have none."""
        return 0 if all(member.column.keys_each == 0 for member in self.members) else None

    def count_keys(self, value: Any) -> int:  # noqa: ANN401 - any JSON value
        """Return the number in the items with a column."""
        there = [pair for pair in zip(self.members, value, strict=False) if pair[1] is not None]
        return sum(member.column.count_keys(item) for member, item in there)

    def settle(self, value: Any, path: JsonPath) -> list[Any]:  # noqa: ANN401 - any JSON value
        """Return the array with every item settled."""
        settled = []
        for index, item in enumerate(value):
            if item is None or index >= len(self.members):
                settled.append(without_decimals(item))
            else:
                settled.append(self.members[index].column.settle(item, (*path, index)))
        return settled

    def to_arrow(self, values: Values) -> pa.Array[Any]:
        """Return structs over one array for every item."""
        return struct_array(values, self.arrow_type, self._arrays)

    def _arrays(self, lists: Values) -> list[pa.Array[Any]]:
        arrays: list[pa.Array[Any]] = []
        for index, member in enumerate(self.members):
            missing = ABSENT if isinstance(member.column, JsonColumn) else None
            arrays += member.arrays([v[index] if len(v) > index else missing for v in lists])
        if self.has_other:
            count = len(self.members)
            others = [json_text(v[count:]) if len(v) > count else None for v in lists]
            arrays.append(pa.array(others, pa.string()))
        return arrays

    def to_json(self, array: pa.Array[Any]) -> list[Any]:
        """Return lists."""
        arrays = children_of(array)
        lists: list[list[Any]] = [[] for _ in range(len(array))]
        for member in self.members:
            own, arrays = arrays[: len(member.fields)], arrays[len(member.fields) :]
            for target, value in zip(lists, member.to_json(own), strict=True):
                if value is not ABSENT:
                    target.append(value)
        for target, other in zip(lists, arrays[0].to_pylist() if arrays else (), strict=False):
            target.extend(json.loads(other) if other is not None else ())
        return with_nulls(lists, array)
