"""JSON Schema → Arrow type, for the schemas that describe every value they accept.

Supported: objects with named properties, arrays of one item type, strings, integers, numbers,
booleans, `enum` and `const` of one type, `null` beside a type (`"type": [T, "null"]`, or `anyOf` /
`oneOf` with `{"type": "null"}`), `"format": "date-time"`, and `$ref` inside the document without
recursion. Keywords that only narrow a value (bounds, `pattern`, …) are left to the validator.
Everything else is refused with the JSON pointer of the keyword and what to write instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast
from urllib.parse import unquote

import pyarrow as pa

from overshoot_flow.errors import UnsupportedSchemaError
from overshoot_flow.schema.columns import (
    Column,
    IntegerColumn,
    ListColumn,
    NumberColumn,
    StructColumn,
    TimestampColumn,
    json_pointer,
)
from overshoot_flow.schema.keywords import (
    check_integer_bounds,
    check_keywords,
    check_names,
    keywords_of,
    kind_of,
)

MAX_COLUMNS: Final = 1000
"""Most places of a document that may have a type, after all references are followed."""
MAX_DEPTH: Final = 40
"""Deepest nesting of objects, arrays, references and null unions.

Arrow's Parquet reader stops at 100 levels, and an array takes two.
"""

_SCALARS: Final[Mapping[str, tuple[type[Column], pa.DataType]]] = {
    "integer": (IntegerColumn, pa.int64()),
    "number": (NumberColumn, pa.float64()),
    "boolean": (Column, pa.bool_()),
    "string": (Column, pa.string()),
    "date-time": (TimestampColumn, pa.timestamp("us", "UTC")),
}


def struct_column(document: Mapping[str, Any]) -> StructColumn:
    """Return the typed column of a JSON Schema (draft 2020-12) whose root is an object.

    Properties that are required and not nullable become non-null fields. An enum of strings is
    a string column (Parquet encodes it as a dictionary by itself).

    Raises:
        UnsupportedSchemaError: A part of the schema has no column type.
    """
    column = _Compiler(document).column(document, (), 0)
    if not isinstance(column, StructColumn) or column.nullable:
        raise UnsupportedSchemaError(
            "", 'the root must be "type": "object"; put the value into a property of an object'
        )
    return column


class _Compiler:
    """One walk over one schema document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._columns = 0
        self._references: list[str] = []

    def column(self, schema: Any, path: tuple[str | int, ...], depth: int) -> Column:  # noqa: ANN401 - user input
        pointer = json_pointer(path)
        if not isinstance(schema, dict):
            raise UnsupportedSchemaError(
                pointer, "not a schema object; say which type the value has"
            )
        self._columns += 1
        if self._columns > MAX_COLUMNS:
            raise UnsupportedSchemaError(pointer, f"more than {MAX_COLUMNS} columns; ask for less")
        if depth > MAX_DEPTH:
            raise UnsupportedSchemaError(
                pointer, f"nested deeper than {MAX_DEPTH} levels; flatten it"
            )
        if "$ref" in schema:
            return self._referenced(schema, path, depth)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return self._nullable_branch(keyword, schema, path, depth)
        kind, nullable = kind_of(schema, path)
        check_keywords(schema, keywords_of(kind), path)
        return self._typed(kind, schema, path, depth, nullable=nullable)

    def _typed(
        self,
        kind: str,
        schema: dict[str, Any],
        path: tuple[str | int, ...],
        depth: int,
        *,
        nullable: bool,
    ) -> Column:
        pointer = json_pointer(path)
        if kind == "object":
            return self._struct(schema, path, depth, nullable=nullable)
        if kind == "array":
            if "items" not in schema:
                raise UnsupportedSchemaError(
                    pointer, "the array has no items; say which type they have"
                )
            items = self.column(schema["items"], (*path, "items"), depth + 1)
            field = pa.field("item", items.arrow_type, nullable=items.nullable)
            return ListColumn(
                arrow_type=pa.list_(field), nullable=nullable, schema_path=pointer, items=items
            )
        if kind == "integer":
            check_integer_bounds(schema, path)
        if kind == "string" and schema.get("format") == "date-time":
            kind = "date-time"
        column, arrow_type = _SCALARS[kind]
        return column(arrow_type=arrow_type, nullable=nullable, schema_path=pointer)

    def _struct(
        self, schema: dict[str, Any], path: tuple[str | int, ...], depth: int, *, nullable: bool
    ) -> StructColumn:
        pointer = json_pointer(path)
        if isinstance(schema.get("additionalProperties"), dict):
            raise UnsupportedSchemaError(
                f"{pointer}/additionalProperties",
                "an object with free keys has no columns; use an array of objects with a key and "
                "a value property",
            )
        properties = schema.get("properties")
        if not properties:
            raise UnsupportedSchemaError(pointer, "the object names no properties; list them")
        required = schema.get("required", [])
        for index, name in enumerate(required):
            if name not in properties:
                raise UnsupportedSchemaError(
                    f"{pointer}/required/{index}", f"{name!r} is not among the properties; add it"
                )
        check_names(properties, path)
        fields = {
            name: self.column(member, (*path, "properties", name), depth + 1)
            for name, member in properties.items()
        }
        arrow_fields = [
            pa.field(name, column.arrow_type, nullable=column.nullable or name not in required)
            for name, column in fields.items()
        ]
        return StructColumn(
            arrow_type=pa.struct(arrow_fields),
            nullable=nullable,
            schema_path=pointer,
            fields=fields,
        )

    def _referenced(
        self, schema: dict[str, Any], path: tuple[str | int, ...], depth: int
    ) -> Column:
        reference = schema["$ref"]
        pointer = f"{json_pointer(path)}/$ref"
        check_keywords(schema, frozenset({"$ref"}), path)
        if reference in self._references or reference == "#":
            raise UnsupportedSchemaError(
                pointer, "a recursive schema has no column type; write out the levels you need"
            )
        target, target_path = self._resolve(reference, pointer)
        self._references.append(reference)
        column = self.column(target, target_path, depth + 1)
        self._references.pop()
        return column

    def _resolve(self, reference: Any, pointer: str) -> tuple[Any, tuple[str | int, ...]]:  # noqa: ANN401 - user input
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise UnsupportedSchemaError(
                pointer, "only references inside this document are followed; use #/$defs/…"
            )
        target: Any = self._document
        path: list[str | int] = []
        for part in unquote(reference[2:]).split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            try:
                target = target[int(key)] if isinstance(target, list) else target[key]
            except (KeyError, IndexError, TypeError, ValueError):
                raise UnsupportedSchemaError(
                    pointer, f"{reference} leads nowhere; add the definition"
                ) from None
            path.append(key)
        return target, tuple(path)

    def _nullable_branch(
        self, keyword: str, schema: dict[str, Any], path: tuple[str | int, ...], depth: int
    ) -> Column:
        branches = cast("Sequence[Any]", schema[keyword])
        typed = [
            index
            for index, branch in enumerate(branches)
            if not (isinstance(branch, dict) and branch.get("type") == "null")
        ]
        if len(branches) - len(typed) != 1 or len(typed) != 1:
            raise UnsupportedSchemaError(
                f"{json_pointer(path)}/{keyword}",
                "a union has no column type; only one type beside "
                '{"type": "null"} is supported: give each alternative its own optional property',
            )
        check_keywords(schema, frozenset({keyword}), path)
        column = self.column(branches[typed[0]], (*path, keyword, typed[0]), depth + 1)
        return replace(column, nullable=True)
