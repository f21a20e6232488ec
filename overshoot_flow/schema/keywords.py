"""What one schema object says by itself: its keywords, its one type, its names and bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from overshoot_flow.errors import UnsupportedSchemaError
from overshoot_flow.schema.columns import INT64_MAX, INT64_MIN, json_pointer

_ANNOTATIONS: Final = frozenset(
    {
        "$comment",
        "$defs",
        "default",
        "definitions",
        "deprecated",
        "description",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    }
)
_ROOT_KEYWORDS: Final = frozenset({"$schema", "$id"})
_VALUES: Final = frozenset({"type", "enum", "const"})
_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_NUMERIC: Final = frozenset({*_BOUNDS, "multipleOf", "format"})
_KEYWORDS: Final[Mapping[str, frozenset[str]]] = {
    "object": frozenset(
        {
            "additionalProperties",
            "dependentRequired",
            "maxProperties",
            "minProperties",
            "properties",
            "required",
        }
    ),
    "array": frozenset({"items", "minItems", "maxItems", "uniqueItems"}),
    "string": frozenset(
        {"minLength", "maxLength", "pattern", "format", "contentEncoding", "contentMediaType"}
    ),
    "integer": _NUMERIC,
    "number": _NUMERIC,
    "boolean": frozenset(),
}
_INSTEAD: Final[Mapping[str, str]] = {
    "patternProperties": "use an array of objects with a key and a value property",
    "propertyNames": "use an array of objects with a key and a value property",
    "unevaluatedProperties": 'use "additionalProperties": false',
    "prefixItems": "a tuple has no column type; use an object with named properties",
    "contains": "give every item one type with items",
    "allOf": "write the merged schema in one place",
    "not": "say what is allowed with type, enum or const",
    "if": "make the properties optional and check them after the answer",
    "$dynamicRef": "use $ref to a place in $defs",
    "$anchor": "refer to the place with a JSON pointer, #/$defs/…",
}


def keywords_of(kind: str) -> frozenset[str]:
    """Return the keywords that a schema of this JSON type may have besides annotations."""
    return _VALUES | _KEYWORDS[kind]


def kind_of(schema: dict[str, Any], path: tuple[str | int, ...]) -> tuple[str, bool]:
    """Return the one JSON type beside null that a schema without references accepts.

    The second value says whether null is accepted as well.

    Raises:
        UnsupportedSchemaError: There is none, or more than one.
    """
    pointer = json_pointer(path)
    kinds: set[str] | None = None
    for keyword in ("enum", "const"):
        if keyword in schema:
            values = schema[keyword] if keyword == "enum" else [schema[keyword]]
            found = _kinds_of(values, f"{pointer}/{keyword}")
            kinds = found if kinds is None else kinds & found
    where = f"{pointer}/{'enum' if 'enum' in schema else 'const'}"
    if "type" in schema:
        declared = schema["type"]
        declared = {declared} if isinstance(declared, str) else set(declared)
        if kinds is not None and kinds - {"null"} == {"integer"} and "number" in declared:
            kinds = kinds - {"integer"} | {"number"}
        if kinds is not None and not kinds <= declared:
            raise UnsupportedSchemaError(where, "a value is not of the declared type; remove it")
        where = f"{pointer}/type"
        kinds = declared if kinds is None else kinds
    if kinds is None:
        raise UnsupportedSchemaError(pointer, 'the value has no type; add "type"')
    nullable = "null" in kinds
    kinds = kinds - {"null"}
    if len(kinds) != 1:
        raise UnsupportedSchemaError(
            where,
            "several types share one value; keep one (and null), or use one property for each"
            if kinds
            else "only null is accepted; remove the property",
        )
    return kinds.pop(), nullable


def _kinds_of(values: Sequence[Any], pointer: str) -> set[str]:
    kinds = set()
    for value in values:
        match value:
            case None:
                kinds.add("null")
            case bool():
                kinds.add("boolean")
            case str():
                kinds.add("string")
            case int():
                kinds.add("integer")
            case float():
                kinds.add("number")
            case _:
                raise UnsupportedSchemaError(
                    pointer, "arrays and objects are not supported as fixed values; use type"
                )
    return kinds - {"integer"} if "number" in kinds else kinds


def check_keywords(
    schema: dict[str, Any], allowed: frozenset[str], path: tuple[str | int, ...]
) -> None:
    """Refuse keywords that are neither `allowed` nor annotations."""
    known = allowed | _ANNOTATIONS | (frozenset() if path else _ROOT_KEYWORDS)
    for keyword in schema:
        if keyword not in known and not keyword.startswith("x-"):
            raise UnsupportedSchemaError(
                f"{json_pointer(path)}{json_pointer((keyword,))}",
                _INSTEAD.get(keyword, "the keyword is not supported here; remove it"),
            )


def check_integer_bounds(schema: dict[str, Any], path: tuple[str | int, ...]) -> None:
    """Refuse integers that the schema allows and 64 bits do not hold."""
    pointer = json_pointer(path)
    for keyword in (*_BOUNDS, "const"):
        bound = schema.get(keyword)
        if isinstance(bound, (int, float)) and not INT64_MIN <= bound <= INT64_MAX:
            raise UnsupportedSchemaError(
                f"{pointer}/{keyword}", f"outside {INT64_MIN} to {INT64_MAX}; integers have 64 bits"
            )
    for index, value in enumerate(schema.get("enum", [])):
        if value is not None and not INT64_MIN <= value <= INT64_MAX:
            raise UnsupportedSchemaError(
                f"{pointer}/enum/{index}",
                f"outside {INT64_MIN} to {INT64_MAX}; integers have 64 bits",
            )


def check_names(properties: dict[str, Any], path: tuple[str | int, ...]) -> None:
    """Refuse property names that a reader would have to change."""
    # DuckDB renames a field without a name, and the second of two that differ only in case.
    seen: dict[str, str] = {}
    for name in properties:
        pointer = json_pointer((*path, "properties", name))
        if not name or "\0" in name:
            raise UnsupportedSchemaError(
                pointer, "the property's name cannot name a column; rename it"
            )
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise UnsupportedSchemaError(
                pointer, f"differs from {other!r} only in case; rename one of them"
            )
