"""The drafts of JSON Schema, and where each of them has schemas inside a schema.

The columns know one form of a schema, that of draft 2020-12. What older drafts spell in another
way (`items` as a list, `definitions`, `dependencies`) is put into that form here, one schema
object at a time, and the places keep their pointers into the user's document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import jsonschema_rs

from overshoot_flow.errors import UnsupportedSchemaError
from overshoot_flow.schema.columns import JsonPath, json_pointer

_ANNOTATIONS: Final = frozenset(
    {
        "$comment",
        "$defs",
        "$id",
        "$schema",
        "$vocabulary",
        "contentEncoding",
        "contentMediaType",
        "contentSchema",
        "default",
        "definitions",
        "deprecated",
        "description",
        # Not JSON Schema but OpenAPI: pydantic writes it beside the `oneOf` that it is about.
        "discriminator",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    }
)
_ASSERTIONS: Final = frozenset(
    {
        "$anchor",
        "$ref",
        "additionalProperties",
        "allOf",
        "anyOf",
        "const",
        "contains",
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "enum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "if",
        "items",
        "maxContains",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minContains",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "not",
        "oneOf",
        "pattern",
        "patternProperties",
        "properties",
        "propertyNames",
        "required",
        "then",
        "type",
        "uniqueItems",
    }
)
_SINCE_2019: Final = frozenset({"unevaluatedItems", "unevaluatedProperties"})
_ONE_IN_PLACE: Final = ("not", "if", "then", "else")
_LISTS_IN_PLACE: Final = ("allOf", "anyOf", "oneOf")
_MAPS_IN_PLACE: Final = ("dependentSchemas",)
_INSTEAD: Final[Mapping[str, str]] = {
    "$dynamicRef": "use $ref to a place in $defs",
    "$dynamicAnchor": "use $ref to a place in $defs",
    "$recursiveRef": "use $ref to a place in $defs",
    "$recursiveAnchor": "use $ref to a place in $defs",
    "nullable": 'that is OpenAPI; write "type": [T, "null"]',
}

Schema: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One draft of JSON Schema.

    Attributes:
        uri: Its name in `$schema`, without a trailing `#`.
        validator: Validator class of `jsonschema_rs`.
        keywords: What a schema object may have, besides names that start with `x-`.
        has_lists_in_items: Whether `items` may be a list, beside `additionalItems`.
        ref_is_alone: Whether what stands beside `$ref` is ignored.
    """

    uri: str
    validator: type[Any]
    keywords: frozenset[str]
    has_lists_in_items: bool
    ref_is_alone: bool

    def modern(self, schema: Schema) -> Schema:
        """Return the schema object in the form of draft 2020-12; what is inside stays as it is."""
        if self.ref_is_alone and "$ref" in schema:
            return {"$ref": schema["$ref"]}
        return schema

    def tuple_items(self, schema: Schema) -> tuple[list[tuple[JsonPath, Any]], JsonPath]:
        """Return the schemas of an array's first items, and the path of that of all others."""
        if not self.has_lists_in_items:
            prefix, others = schema.get("prefixItems", []), "items"
            name = "prefixItems"
        elif isinstance(schema.get("items"), list):
            prefix, others, name = schema["items"], "additionalItems", "items"
        else:
            return [], ("items",)
        return [((name, index), each) for index, each in enumerate(prefix)], (others,)


_KEYWORDS_7: Final = _ANNOTATIONS | _ASSERTIONS | {"additionalItems"}
DRAFT_2020_12: Final = Dialect(
    "https://json-schema.org/draft/2020-12/schema",
    jsonschema_rs.Draft202012Validator,
    _ANNOTATIONS | _ASSERTIONS | _SINCE_2019 | {"prefixItems"},
    has_lists_in_items=False,
    ref_is_alone=False,
)
DRAFT_7: Final = Dialect(
    "http://json-schema.org/draft-07/schema",
    jsonschema_rs.Draft7Validator,
    _KEYWORDS_7,
    has_lists_in_items=True,
    ref_is_alone=True,
)
_DIALECTS: Final = {
    each.uri: each
    for each in (
        DRAFT_2020_12,
        Dialect(
            "https://json-schema.org/draft/2019-09/schema",
            jsonschema_rs.Draft201909Validator,
            _KEYWORDS_7 | _SINCE_2019,
            has_lists_in_items=True,
            ref_is_alone=False,
        ),
        DRAFT_7,
    )
}


def dialect_of(document: Schema) -> Dialect:
    """Return the draft that `$schema` names, 2020-12 where it names none.

    Raises:
        UnsupportedSchemaError: It names another.
    """
    named = document.get("$schema", DRAFT_2020_12.uri)
    dialect = _DIALECTS.get(named.removesuffix("#")) if isinstance(named, str) else None
    if dialect is None:
        raise UnsupportedSchemaError("/$schema", f"not supported; write {' or '.join(_DIALECTS)}")
    return dialect


def check_keywords(schema: Schema, dialect: Dialect, path: JsonPath) -> None:
    """Refuse a keyword that the draft does not have: it may be a typing error.

    Raises:
        UnsupportedSchemaError: There is one; names that start with `x-` may be anything.
    """
    for keyword in schema:
        if keyword not in dialect.keywords and not keyword.startswith("x-"):
            raise UnsupportedSchemaError(
                json_pointer((*path, keyword)),
                _INSTEAD.get(
                    keyword,
                    f"not a keyword of {dialect.uri}; remove it, or let its name start with x-",
                ),
            )


def definitions(schema: Schema) -> Iterator[tuple[JsonPath, Any]]:
    """Yield the schemas that are only there to be referred to, with their paths below `schema`."""
    for keyword in ("$defs", "definitions"):
        for name, each in schema.get(keyword, {}).items():
            yield (keyword, name), each


def in_place(schema: Schema) -> Iterator[tuple[JsonPath, Any]]:
    """Yield the schemas that look at the same value as `schema`, without the target of `$ref`."""
    for keyword in _ONE_IN_PLACE:
        if keyword in schema:
            yield (keyword,), schema[keyword]
    for keyword in _LISTS_IN_PLACE:
        for index, each in enumerate(schema.get(keyword, [])):
            yield (keyword, index), each
    for keyword in _MAPS_IN_PLACE:
        for name, each in schema.get(keyword, {}).items():
            yield (keyword, name), each
    for name, each in schema.get("dependencies", {}).items():
        if isinstance(each, (dict, bool)):
            yield ("dependencies", name), each


def below(schema: Schema) -> Iterator[tuple[str, JsonPath, Any]]:
    """Yield the schemas of members and items, each with the kind of value that has them.

    The kind is `property` with the name as the last part of the path, `properties` for any of an
    object's, `names`, or `items` for any of an array's.
    """
    for name, each in schema.get("properties", {}).items():
        yield "property", ("properties", name), each
    for name, each in schema.get("patternProperties", {}).items():
        yield "properties", ("patternProperties", name), each
    for keyword in ("additionalProperties", "unevaluatedProperties"):
        if keyword in schema:
            yield "properties", (keyword,), schema[keyword]
    if "propertyNames" in schema:
        yield "names", ("propertyNames",), schema["propertyNames"]
    for path, each in _items(schema):
        yield "items", path, each


def _items(schema: Schema) -> Iterator[tuple[JsonPath, Any]]:
    for keyword in ("additionalItems", "contains", "unevaluatedItems"):
        if keyword in schema:
            yield (keyword,), schema[keyword]
    for keyword in ("items", "prefixItems"):
        value = schema.get(keyword)
        for index, each in enumerate(value if isinstance(value, list) else ()):
            yield (keyword, index), each
        if isinstance(value, (dict, bool)):
            yield (keyword,), value
