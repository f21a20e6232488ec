"""Columns of objects with named properties."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import pyarrow as pa

from overshoot_flow.schema.arrow_arrays import (
    children_of,
    fields_of,
    has_null,
    struct_array,
    with_nulls,
)
from overshoot_flow.schema.columns import (
    ABSENT,
    JSON_FIELD,
    PROPERTY_FIELD,
    TEXT_FIELD,
    Column,
    JsonPath,
    Values,
)
from overshoot_flow.schema.json_columns import JsonColumn, json_text, without_decimals
from overshoot_flow.schema.text_kept import TextKeptColumn


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One property of an object, or one item of a tuple.

    Attributes:
        name: The property's name.
        column: How its values are held.
        is_required: Whether it is in every object.
        fields: The field of the value and, where it is kept beside it, that of the text.
    """

    name: str
    column: Column
    is_required: bool
    fields: tuple[pa.Field[Any], ...]

    @classmethod
    def of(cls, name: str, column: Column, fields: Sequence[str], *, is_required: bool) -> Member:
        """Return the member with its fields under the names given."""
        metadata = column.metadata
        if fields[0] != name:
            metadata[PROPERTY_FIELD] = name
        if not isinstance(column, TextKeptColumn):
            field = column.field(fields[0], is_required=is_required)
            made = [field.with_metadata(metadata) if metadata else field]
        else:
            is_nullable = column.may_be_null or not is_required or not column.holds_all
            made = [
                pa.field(fields[0], column.value_type, is_nullable, metadata=metadata or None),
                pa.field(fields[1], pa.string(), metadata={TEXT_FIELD: fields[0]}),
            ]
        return cls(name=name, column=column, is_required=is_required, fields=tuple(made))

    @property
    def is_direct(self) -> bool:
        """Whether `pa.array` makes what it needs of the objects that have it."""
        if not self.is_required and (self.column.nullable or isinstance(self.column, StructColumn)):
            return False
        return self.column.is_direct and self.fields[0].name == self.name

    def arrays(self, values: Values) -> Sequence[pa.Array[Any]]:
        """Return the array of each field."""
        if isinstance(self.column, TextKeptColumn):
            return self.column.split(values)
        return [self.column.to_arrow(values)]

    def to_json(self, arrays: Sequence[pa.Array[Any]]) -> list[Any]:
        """Return the values, `ABSENT` where the member is not there."""
        if isinstance(self.column, TextKeptColumn):
            values = self.column.join(*arrays)
        else:
            values = self.column.to_json(arrays[0])
        if self.is_required or isinstance(self.column, JsonColumn):
            return values
        return [ABSENT if value is None else value for value in values]


@dataclass(frozen=True, slots=True, kw_only=True)
class StructColumn(Column):
    """Objects with named properties.

    The last column `other` is JSON text of an object with what the others do not hold: properties
    that the schema does not name, and a `null` of one that may also be absent.

    Attributes:
        members: The properties with columns.
        has_other: Whether there is the column.
        names: Names of the properties that are held here or elsewhere.
        with_ints: The members that have integers in them.
        with_keys: The members that have objects in them.
        same_keys: What `keys_each` says.
        direct: Names of the members whose arrays are made all at once.
        direct_type: A struct type of them only.
        ignored: A property that is held elsewhere.
    """

    members: tuple[Member, ...]
    has_other: bool
    names: frozenset[str]
    with_ints: tuple[Member, ...]
    with_keys: tuple[Member, ...]
    same_keys: int | None
    direct: frozenset[str]
    direct_type: pa.DataType
    ignored: str | None = None

    @classmethod
    def of(
        cls,
        members: Sequence[Member],
        other: str | None,
        *,
        nullable: bool,
        schema_path: str,
        ignored: str | None = None,
    ) -> StructColumn:
        """Return the column; `other` is the name of the column for what the members do not hold."""
        fields = [field for member in members for field in member.fields]
        if other is not None:
            fields.append(pa.field(other, pa.string(), metadata={JSON_FIELD: "other"}))
        names = {member.name for member in members} | ({ignored} if ignored is not None else set())
        direct = [member for member in members if member.is_direct]
        return cls(
            arrow_type=pa.struct(fields),
            nullable=nullable,
            schema_path=schema_path,
            members=tuple(members),
            has_other=other is not None,
            names=frozenset(names),
            with_ints=tuple(member for member in members if member.column.has_integers),
            with_keys=tuple(member for member in members if member.column.keys_each != 0),
            same_keys=None if other is not None else _same_keys(names, members),
            direct=frozenset(member.name for member in direct),
            direct_type=pa.struct([member.fields[0] for member in direct]),
            ignored=ignored,
        )

    @property
    def has_integers(self) -> bool:
        """Whether a member has."""
        return bool(self.with_ints)

    def with_integers(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Return the value with every member so."""
        for member in self.with_ints:
            each = value.get(member.name)
            if each is not None:
                value[member.name] = member.column.with_integers(each)
        return value

    @property
    def is_direct(self) -> bool:
        """Whether all members are, and no object is null: then its members would be null too."""
        return not self.nullable and self.direct_type == self.arrow_type

    @property
    def nests_freely(self) -> bool:
        """Whether a member does, or may have a name that the schema does not know."""
        return self.has_other or any(member.column.nests_freely for member in self.members)

    @property
    def keys_each(self) -> int | None:
        """The number where every object has the same names."""
        return self.same_keys

    def count_keys(self, value: Any) -> int:  # noqa: ANN401 - any JSON value
        """Return the number of names and of the keys in all members."""
        count = len(value)
        for member in self.with_keys:
            each = value.get(member.name)
            if each is not None:
                count += member.column.count_keys(each)
        return count

    def settle(self, value: Any, path: JsonPath) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
        """Return the object with every property settled, in the same order."""
        columns = {member.name: member.column for member in self.members}
        settled: dict[str, Any] = {}
        for name, each in value.items():
            column = columns.get(name)
            if each is None or column is None:
                settled[name] = without_decimals(each)
            else:
                settled[name] = column.settle(each, (*path, name))
        return settled

    def to_arrow(self, values: Values) -> pa.Array[Any]:
        """Return structs over one array for every field."""
        direct = pa.array(values, self.direct_type)
        if direct.null_count:
            return struct_array(values, self.arrow_type, self._arrays)
        if len(self.direct) == len(fields_of(self.arrow_type)):
            return direct
        arrays = self._arrays_beside(direct, values)
        return pa.StructArray.from_arrays(arrays, fields=fields_of(self.arrow_type))

    def _arrays(self, objects: Values) -> list[pa.Array[Any]]:
        return self._arrays_beside(pa.array(objects, self.direct_type), objects)

    def _arrays_beside(self, direct: pa.Array[Any], objects: Values) -> list[pa.Array[Any]]:
        arrays: list[pa.Array[Any]] = []
        explicit_nulls: list[str] = []
        direct_arrays = iter(children_of(direct))
        for member in self.members:
            name = member.name
            if name in self.direct:
                arrays.append(next(direct_arrays))
                continue
            if member.is_required:
                members = list(map(itemgetter(name), objects))
            elif isinstance(member.column, JsonColumn):
                members = [each.get(name, ABSENT) for each in objects]
            else:
                members = [each.get(name) for each in objects]
                if member.column.nullable and has_null(members):
                    explicit_nulls.append(name)
            arrays += member.arrays(members)
        if self.has_other:
            arrays.append(pa.array(self._others(objects, explicit_nulls), pa.string()))
        return arrays

    def _others(self, objects: Values, explicit_nulls: Sequence[str]) -> list[str | None]:
        names = self.names
        others = []
        for each in objects:
            other = (
                None if each.keys() <= names else {n: v for n, v in each.items() if n not in names}
            )
            for name in explicit_nulls:
                if each.get(name, ABSENT) is None:
                    other = {**(other or {}), name: None}
            others.append(None if other is None else json_text(other))
        return others

    def to_json(self, array: pa.Array[Any]) -> list[Any]:
        """Return dicts, the properties in the schema's order and the others behind them."""
        arrays = children_of(array)
        objects: list[dict[str, Any]] = [{} for _ in range(len(array))]
        for member in self.members:
            own, arrays = arrays[: len(member.fields)], arrays[len(member.fields) :]
            for target, value in zip(objects, member.to_json(own), strict=True):
                if value is not ABSENT:
                    target[member.name] = value
        for target, other in zip(objects, arrays[0].to_pylist() if arrays else (), strict=False):
            target.update(json.loads(other) if other is not None else {})
        return with_nulls(objects, array)


def _same_keys(names: Collection[str], members: Sequence[Member]) -> int | None:
    """Return how many keys every object has that has no others, or None where that differs."""
    total = len(names)
    for member in members:
        each = member.column.keys_each
        if each is None or not member.is_required or (each and member.column.nullable):
            return None
        total += each
    return total
