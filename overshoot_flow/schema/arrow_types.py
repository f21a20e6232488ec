"""JSON Schema → Arrow type.

Every place of a document gets the narrowest type that holds all of its valid values. Where a
schema says too little for one (a union of several types, anything at all, recursion), the place
is JSON text. `docs/schemas.md` has the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, cast

import pyarrow as pa

from overshoot_flow.errors import UnsupportedSchemaError
from overshoot_flow.schema.collection_columns import ListColumn, MapColumn
from overshoot_flow.schema.column_times import (
    DateColumn,
    DurationColumn,
    TimeColumn,
    TimestampColumn,
    UuidColumn,
)
from overshoot_flow.schema.columns import (
    Column,
    DecimalColumn,
    DictionaryColumn,
    IntegerColumn,
    JsonPath,
    NumberColumn,
    json_pointer,
)
from overshoot_flow.schema.dialects import Dialect, Schema
from overshoot_flow.schema.integers import integer_type
from overshoot_flow.schema.json_columns import JsonColumn
from overshoot_flow.schema.names import ColumnNames
from overshoot_flow.schema.places import Part, Place, Places, RecursionFoundError
from overshoot_flow.schema.references import References
from overshoot_flow.schema.struct_columns import Member, StructColumn
from overshoot_flow.schema.tagged import tagged_column
from overshoot_flow.schema.tagged_columns import TaggedColumn
from overshoot_flow.schema.text_kept import TextKeptColumn
from overshoot_flow.schema.tuple_columns import TupleColumn

MAX_COLUMNS: Final = 1000
"""Most places of a document that may have a type, after all references are followed."""
MAX_DEPTH: Final = 40
"""Deepest nesting of objects and arrays.

Arrow's Parquet reader stops at 100 levels, and an array takes two.
"""
OTHER: Final = "other_json"
"""Name of the column with what a struct's other columns do not hold, unless a property has it."""

_MAP_KEYWORDS: Final = frozenset({"additionalProperties", "patternProperties"})
_PARTIAL: Final = frozenset(
    {"anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"}
)
_TEXT_KEPT: Final[Mapping[str, tuple[type[TextKeptColumn], pa.DataType, bool]]] = {
    "date-time": (TimestampColumn, pa.timestamp("us", "UTC"), False),
    "time": (TimeColumn, pa.time64("us"), False),
    "duration": (DurationColumn, pa.duration("us"), False),
    "uuid": (UuidColumn, pa.uuid(), True),
}


def root_column(
    document: Schema, references: References, dialect: Dialect
) -> StructColumn | TaggedColumn:
    """Return the typed column of a JSON Schema whose root is an object.

    Raises:
        UnsupportedSchemaError: The root is something else, or the schema is too large.
    """
    compiler = Compiler(Places(references, dialect), dialect)
    column = compiler.column([Part((), document)], frozenset({()}), 0)
    if column.nullable or not isinstance(column, (StructColumn, TaggedColumn)):
        raise UnsupportedSchemaError(
            "",
            'the root must be "type": "object" with properties, without null; put any other value '
            "into a property of an object",
        )
    return column


class Compiler:
    """One walk over one schema document.

    Attributes:
        places: What the document says about each of its places.
    """

    def __init__(self, places: Places, dialect: Dialect) -> None:
        self.places = places
        self._dialect = dialect
        self._columns = 0
        self._typed: Mapping[str, Callable[[Place, frozenset[JsonPath], int], Column]] = {
            "boolean": self._boolean,
            "integer": self._integer,
            "number": self._number,
            "string": self._string,
            "array": self._array,
            "object": self._object,
        }

    def column(self, parts: list[Part], active: frozenset[JsonPath], depth: int) -> Column:
        """Return the column of the values that all parts look at.

        Args:
            parts: At least one.
            active: Targets of references that the values are inside of.
            depth: How many arrays and objects they are inside of.

        Raises:
            UnsupportedSchemaError: No value is valid, or the schema is too large.
        """
        pointer = json_pointer(parts[0].path)
        self._columns += 1
        if self._columns > MAX_COLUMNS:
            raise UnsupportedSchemaError(pointer, f"more than {MAX_COLUMNS} columns; ask for less")
        if depth > MAX_DEPTH:
            raise UnsupportedSchemaError(
                pointer, f"nested deeper than {MAX_DEPTH} levels; flatten it"
            )
        try:
            place = self.places.place(parts, active)
        except RecursionFoundError:
            return _json(pointer)
        return self.typed(place, active | place.targets, depth)

    def typed(self, place: Place, active: frozenset[JsonPath], depth: int) -> Column:
        """Return the column of a place."""
        if place.is_never or place.kinds == {"null"}:
            raise UnsupportedSchemaError(
                place.pointer,
                "only null is valid here; remove the property"
                if place.kinds == {"null"}
                else "no value is valid here; remove the place, or what contradicts itself",
            )
        kinds = place.kinds - {"null"}
        if not place.is_typed or len(kinds) != 1:
            return _json(place.pointer)
        return self._typed[next(iter(kinds))](place, active, depth)

    def _boolean(self, place: Place, _active: frozenset[JsonPath], _depth: int) -> Column:
        return Column(
            arrow_type=pa.bool_(), nullable="null" in place.kinds, schema_path=place.pointer
        )

    def _number(self, place: Place, _active: frozenset[JsonPath], _depth: int) -> Column:
        return NumberColumn(
            arrow_type=pa.float64(), nullable="null" in place.kinds, schema_path=place.pointer
        )

    def _integer(self, place: Place, _active: frozenset[JsonPath], _depth: int) -> Column:
        arrow_type = integer_type(place)
        column = DecimalColumn if pa.types.is_decimal(arrow_type) else IntegerColumn
        return column(
            arrow_type=arrow_type, nullable="null" in place.kinds, schema_path=place.pointer
        )

    def _string(self, place: Place, _active: frozenset[JsonPath], _depth: int) -> Column:
        nullable, pointer = "null" in place.kinds, place.pointer
        values = listed_strings(place)
        if values is not None:
            return DictionaryColumn.of(values, nullable=nullable, schema_path=pointer)
        formats = {value for _, value in place.each("format")}
        for name in sorted(formats & {*_TEXT_KEPT, "date"}):
            if name == "date":
                return DateColumn(arrow_type=pa.date32(), nullable=nullable, schema_path=pointer)
            column, value_type, holds_all = _TEXT_KEPT[name]
            fields = [
                pa.field("value", value_type, nullable=not holds_all),
                pa.field("text", pa.string()),
            ]
            return column(
                arrow_type=pa.struct(fields),
                nullable=nullable,
                schema_path=pointer,
                value_type=value_type,
                holds_all=holds_all,
            )
        return Column(arrow_type=pa.string(), nullable=nullable, schema_path=pointer)

    def _array(self, place: Place, active: frozenset[JsonPath], depth: int) -> Column:
        prefix: dict[int, list[Part]] = {}
        rest: list[Part] = []
        for part in place.parts:
            first, others = self._dialect.tuple_items(part.schema)
            for index, (path, schema) in enumerate(first):
                prefix.setdefault(index, []).append(Part((*part.path, *path), schema))
            if others[0] in part.schema:
                rest.append(Part((*part.path, *others), part.schema[others[0]]))
        if prefix:
            return self._tuple(place, list(prefix.values()), rest, active, depth)
        items = self.column(rest or [Part(place.path, {})], active, depth + 1)
        return ListColumn(
            arrow_type=pa.list_(items.field("item")),
            nullable="null" in place.kinds,
            schema_path=place.pointer,
            items=items,
        )

    def _tuple(
        self,
        place: Place,
        prefix: list[list[Part]],
        rest: list[Part],
        active: frozenset[JsonPath],
        depth: int,
    ) -> Column:
        least = max((value for _, value in place.each("minItems")), default=0)
        most = min((value for _, value in place.each("maxItems")), default=None)
        columns = [self.column(parts, active, depth + 1) for parts in prefix]
        for index, column in enumerate(columns):
            # An item that may be null or missing would be null either way.
            if index >= least and column.nullable:
                columns[index] = _json(column.schema_path)
        is_closed = any(part.schema is False for part in rest) or (
            most is not None and most <= len(columns)
        )
        names = ColumnNames([f"item_{index}" for index in range(len(columns))])
        members = [
            member_of(f"item_{index}", column, names, is_required=index < least)
            for index, column in enumerate(columns)
        ]
        return TupleColumn.of(
            members,
            None if is_closed else names.other(OTHER),
            nullable="null" in place.kinds,
            schema_path=place.pointer,
        )

    def _object(self, place: Place, active: frozenset[JsonPath], depth: int) -> Column:
        tagged = tagged_column(self, place, active, depth)
        if tagged is not None:
            return tagged
        if any(named for _, named in place.each("properties")):
            return self.struct(place, active, depth)
        return self._map(place, active, depth)

    def struct(
        self, place: Place, active: frozenset[JsonPath], depth: int, ignored: str | None = None
    ) -> StructColumn:
        """Return the column of an object with named properties.

        Args:
            place: The object.
            active: As for `column`.
            depth: As for `column`.
            ignored: A property that is held elsewhere.
        """
        properties: dict[str, list[Part]] = {}
        for path, named in place.each("properties"):
            for name, schema in named.items():
                properties.setdefault(name, []).append(Part((*path, name), schema))
        required = _required(place, properties)
        _refuse_forbidden(place, properties, required)
        columns = {
            name: self.column(parts, active, depth + 1)
            for name, parts in properties.items()
            # A property that is never valid has no column.
            if name != ignored and not any(part.schema is False for part in parts)
        }
        names = ColumnNames(columns)
        members = [
            member_of(name, column, names, is_required=name in required)
            for name, column in columns.items()
        ]
        has_two_nulls = any(each.column.nullable and not each.is_required for each in members)
        return StructColumn.of(
            members,
            names.other(OTHER) if has_two_nulls or not is_closed(place) else None,
            nullable="null" in place.kinds,
            schema_path=place.pointer,
            ignored=ignored,
        )

    def _map(self, place: Place, active: frozenset[JsonPath], depth: int) -> Column:
        shaped = [part for part in place.parts if part.schema.keys() & _MAP_KEYWORDS]
        if len(shaped) != 1 or place.unions or "additionalProperties" not in shaped[0].schema:
            return _json(place.pointer)
        path, schema = shaped[0]
        sources = [
            Part((*path, "patternProperties", pattern), each)
            for pattern, each in schema.get("patternProperties", {}).items()
        ]
        if schema["additionalProperties"] is not False:
            sources.append(Part((*path, "additionalProperties"), schema["additionalProperties"]))
        if not sources or not all(isinstance(part.schema, dict) for part in sources):
            return _json(place.pointer)
        columns = [self.column([part], active, depth + 1) for part in sources]
        first = columns[0]
        if isinstance(first, JsonColumn) or any(c.arrow_type != first.arrow_type for c in columns):
            return _json(place.pointer)
        if any(c.nullable for c in columns) and not first.nullable:
            first = next(c for c in columns if c.nullable)
        return MapColumn(
            arrow_type=_map_type(first.field("value")),
            nullable="null" in place.kinds,
            schema_path=place.pointer,
            items=first,
        )


def member_of(name: str, column: Column, names: ColumnNames, *, is_required: bool) -> Member:
    """Return a struct's member under the column names that it gets."""
    fields = [names.of(name)]
    if isinstance(column, TextKeptColumn):
        fields.append(names.other(f"{fields[0]}_text"))
    return Member.of(name, column, fields, is_required=is_required)


def is_closed(place: Place) -> bool:
    """Return whether an object has no properties but those that its parts name."""
    keywords = {keyword for part in place.parts for keyword in part.schema}
    if "patternProperties" in keywords:
        return False
    if any(value is False for _, value in place.each("additionalProperties")):
        return True
    # What is evaluated by a schema that is no part of the place is valid, and has no column.
    is_whole = not keywords & _PARTIAL
    return is_whole and any(value is False for _, value in place.each("unevaluatedProperties"))


def _required(place: Place, properties: Mapping[str, Any]) -> set[str]:
    is_free = any(
        isinstance(value, dict)
        for keyword in ("additionalProperties", "patternProperties")
        for _, value in place.each(keyword)
    )
    required = set()
    for path, names in place.each("required"):
        for index, name in enumerate(names):
            if name not in properties and not is_free:
                raise UnsupportedSchemaError(
                    json_pointer((*path, index)),
                    f"{name!r} is not among the properties; add it",
                )
            required.add(name)
    return required


def _refuse_forbidden(
    place: Place, properties: Mapping[str, Sequence[Part]], required: AbstractSet[str]
) -> None:
    """Refuse a property that has to be there and must not: every answer would be rejected."""
    for name in required:
        for part in properties.get(name, ()):
            if part.schema is False:
                raise UnsupportedSchemaError(
                    json_pointer(part.path), "required, and no value is valid here; remove one"
                )
    for path, schema in place.parts:
        if schema.get("additionalProperties") is not False or "patternProperties" in schema:
            continue
        missing = sorted(required - schema.get("properties", {}).keys())
        if missing:
            raise UnsupportedSchemaError(
                json_pointer((*path, "additionalProperties")),
                f"forbids {missing[0]!r}, which is required, so that no object is valid; name it "
                "in the properties here too, or write unevaluatedProperties beside the allOf",
            )


def listed_strings(place: Place) -> list[str] | None:
    """Return the strings that are valid where the schema lists them all, or None."""
    if place.values is not None:
        return [value for value in place.values if isinstance(value, str)]
    for alternatives in place.unions:
        lists = [each.values for each in alternatives]
        if all(values is not None for values in lists):
            found = [v for values in lists if values for v in values if isinstance(v, str)]
            return list(dict.fromkeys(found))
    return None


def _map_type(value: pa.Field[Any]) -> pa.DataType:
    # The stubs do not know that a field may stand for the type of the values.
    map_type: pa.DataType = cast("Any", pa.map_)(pa.string(), value)
    return map_type


def _json(pointer: str) -> JsonColumn:
    return JsonColumn(arrow_type=pa.string(), nullable=False, schema_path=pointer)
