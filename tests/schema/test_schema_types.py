from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from overshoot_flow.errors import UnsupportedSchemaError
from overshoot_flow.schema.arrow_types import MAX_COLUMNS, MAX_DEPTH
from overshoot_flow.schema.json_schema import OutputSchema


def with_property(schema: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"p": schema}, **more}


def arrow_field(schema: Any, **more: Any) -> pa.Field[Any]:
    struct = OutputSchema(with_property(schema, **more)).arrow_type
    assert isinstance(struct, pa.StructType)
    return struct.field("p")


STRING = {"type": "string"}
NULL = {"type": "null"}


@pytest.mark.parametrize(
    ("schema", "arrow_type"),
    [
        (STRING, pa.string()),
        ({"type": "string", "pattern": "^a", "maxLength": 3, "title": "T"}, pa.string()),
        ({"type": "string", "format": "email"}, pa.string()),
        ({"type": "string", "format": "date-time"}, pa.timestamp("us", "UTC")),
        ({"type": "integer", "minimum": 0, "maximum": 2**63 - 1}, pa.int64()),
        ({"type": "number", "exclusiveMaximum": 1.5, "multipleOf": 0.5}, pa.float64()),
        ({"type": "boolean"}, pa.bool_()),
        ({"enum": ["a", "b"]}, pa.string()),
        ({"type": "string", "enum": ["a", "b"]}, pa.string()),
        ({"enum": [1, 2]}, pa.int64()),
        ({"enum": [1, 2.5]}, pa.float64()),
        ({"type": "number", "enum": [1, 2]}, pa.float64()),
        ({"enum": [True, False]}, pa.bool_()),
        ({"const": "a"}, pa.string()),
        ({"const": 3}, pa.int64()),
        (
            {"type": "array", "items": STRING, "minItems": 1, "uniqueItems": True},
            pa.list_(pa.field("item", pa.string(), nullable=False)),
        ),
        (
            {"type": "array", "items": {"type": ["integer", "null"]}},
            pa.list_(pa.field("item", pa.int64())),
        ),
        (
            with_property(STRING, required=["p"], additionalProperties=False),
            pa.struct([pa.field("p", pa.string(), nullable=False)]),
        ),
        ({**STRING, "x-vendor": 1, "default": "a", "examples": ["b"]}, pa.string()),
    ],
)
def test_a_supported_schema_has_its_arrow_type(schema: Any, arrow_type: pa.DataType) -> None:
    assert arrow_field(schema).type == arrow_type


@pytest.mark.parametrize(
    ("schema", "nullable"),
    [
        (STRING, False),
        ({"type": ["string", "null"]}, True),
        ({"anyOf": [STRING, NULL]}, True),
        ({"oneOf": [NULL, STRING], "title": "T", "default": None}, True),
        ({"enum": ["a", None]}, True),
        ({"type": ["string", "null"], "enum": ["a"]}, False),
        ({"anyOf": [{"$ref": "#/$defs/S"}, NULL]}, True),
        ({"$ref": "#/$defs/S"}, False),
    ],
)
def test_a_required_property_is_null_only_where_the_schema_says_so(
    schema: Any,
    nullable: bool,  # noqa: FBT001 - a table's column
) -> None:
    definitions = {"S": STRING}
    field = arrow_field(schema, required=["p"], **{"$defs": definitions})
    assert (field.type, field.nullable) == (pa.string(), nullable)
    assert arrow_field(schema, **{"$defs": definitions}).nullable


def test_columns_stand_in_the_order_of_the_properties() -> None:
    properties = {"b": STRING, "a": {"type": "integer"}}
    first = OutputSchema({"type": "object", "properties": properties})
    second = OutputSchema({"properties": dict(reversed(properties.items())), "type": "object"})
    assert [each.name for each in first.arrow_type] == ["b", "a"]
    assert first.canonical == second.canonical


def test_references_are_followed_inside_the_document() -> None:
    field = arrow_field(
        {"type": "array", "items": {"$ref": "#/$defs/a~1b%20c", "description": "one"}},
        **{
            "$defs": {"a/b c": with_property({"$ref": "#/definitions/S"})},
            "definitions": {"S": STRING},
        },
    )
    item = pa.field("item", pa.struct([pa.field("p", pa.string())]), nullable=False)
    assert field.type == pa.list_(item)


def deep(levels: int) -> Any:
    schema: Any = STRING
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


DOUBLING = {
    f"L{level}": {
        "type": "object",
        "properties": {name: {"$ref": f"#/$defs/L{level + 1}"} for name in "ab"},
    }
    for level in range(12)
}
CHAIN = {str(link): {"$ref": f"#/$defs/{link + 1}"} for link in range(3000)} | {"3000": STRING}
PEOPLE = {"type": "object", "properties": {"boss": {"$ref": "#/$defs/Person"}}}

UNSUPPORTED: list[tuple[str, Any, str]] = [
    ("an array at the root", {"type": "array", "items": STRING}, ""),
    ("a root that may be null", with_property(STRING, type=["object", "null"]), ""),
    ("no type", with_property({}), "/properties/p"),
    ("anything", with_property(schema=True), "/properties/p"),
    ("properties without a type", with_property({"properties": {"q": STRING}}), "/properties/p"),
    ("an open object", with_property({"type": "object"}), "/properties/p"),
    (
        "a map",
        with_property({"type": "object", "additionalProperties": STRING}),
        "/properties/p/additionalProperties",
    ),
    (
        "patternProperties",
        with_property(with_property(STRING, patternProperties={"^x": STRING})),
        "/properties/p/patternProperties",
    ),
    ("unknown items", with_property({"type": "array"}), "/properties/p"),
    ("items of any type", with_property({"type": "array", "items": True}), "/properties/p/items"),
    (
        "a tuple",
        with_property({"type": "array", "items": STRING, "prefixItems": [STRING]}),
        "/properties/p/prefixItems",
    ),
    (
        "a union by oneOf",
        with_property({"oneOf": [STRING, {"type": "integer"}]}),
        "/properties/p/oneOf",
    ),
    (
        "a union by anyOf with null",
        with_property({"anyOf": [STRING, {"type": "integer"}, NULL]}),
        "/properties/p/anyOf",
    ),
    ("a union by type", with_property({"type": ["string", "integer"]}), "/properties/p/type"),
    ("only null", with_property(NULL), "/properties/p/type"),
    ("a mixed enum", with_property({"enum": ["a", 1]}), "/properties/p/enum"),
    ("an enum of objects", with_property({"enum": [{"a": 1}]}), "/properties/p/enum"),
    (
        "a const of another type",
        with_property({"type": "string", "const": 1}),
        "/properties/p/const",
    ),
    ("allOf", with_property({"allOf": [STRING]}), "/properties/p"),
    ("allOf beside a type", with_property({**STRING, "allOf": [{}]}), "/properties/p/allOf"),
    ("if", with_property({**STRING, "if": {"minLength": 2}}), "/properties/p/if"),
    (
        "a type beside anyOf",
        with_property({**STRING, "anyOf": [STRING, NULL]}),
        "/properties/p/type",
    ),
    ("an unknown keyword", with_property({**STRING, "lenght": 1}), "/properties/p/lenght"),
    ("another type's keyword", with_property({**STRING, "minimum": 1}), "/properties/p/minimum"),
    (
        "wide integers",
        with_property({"type": "integer", "maximum": 2**64}),
        "/properties/p/maximum",
    ),
    ("wide enum integers", with_property({"enum": [1, 2**63]}), "/properties/p/enum/1"),
    ("recursion", {**PEOPLE, "$defs": {"Person": PEOPLE}}, "/$defs/Person/properties/boss/$ref"),
    ("recursion to the root", with_property({"$ref": "#"}), "/properties/p/$ref"),
    ("a dangling reference", with_property({"$ref": "#/$defs/X"}), "/properties/p/$ref"),
    ("a remote reference", with_property({"$ref": "https://x.example/s"}), "/properties/p/$ref"),
    ("a file", with_property({"$ref": "file:///etc/hosts"}), "/properties/p/$ref"),
    ("a relative file", with_property({"$ref": "other.json#/a"}), "/properties/p/$ref"),
    (
        "a remote reference that nothing uses",
        with_property(STRING, **{"$defs": {"X": {"$ref": "https://x.example/s"}}}),
        "/$defs/X/$ref",
    ),
    ("a second $id", with_property({**STRING, "$id": "https://x.example/s"}), "/properties/p/$id"),
    (
        "another draft",
        with_property(STRING, **{"$schema": "http://json-schema.org/draft-07/schema#"}),
        "/$schema",
    ),
    ("a keyword's wrong value", with_property({"type": "text"}), "/properties/p/type"),
    ("a broken pattern", with_property({**STRING, "pattern": "("}), "/properties/p/pattern"),
    ("a required stranger", with_property(STRING, required=["p", "q"]), "/required/1"),
    ("no name", {"type": "object", "properties": {"": STRING}}, "/properties/"),
    (
        "names by case",
        {"type": "object", "properties": {"a": STRING, "A": STRING}},
        "/properties/A",
    ),
    ("an odd name's place", {"type": "object", "properties": {"a/b~": {}}}, "/properties/a~1b~0"),
    ("too deep", with_property(deep(MAX_DEPTH)), "/properties/p" + "/items" * MAX_DEPTH),
    (
        "a long chain of references",
        with_property({"$ref": "#/$defs/0"}, **{"$defs": CHAIN}),
        f"/$defs/{MAX_DEPTH - 1}",
    ),
    ("not JSON", with_property({"const": float("nan")}), ""),
]


@pytest.mark.parametrize(
    ("document", "path"),
    [case[1:] for case in UNSUPPORTED],
    ids=[case[0] for case in UNSUPPORTED],
)
def test_an_unsupported_schema_is_refused_at_its_place(document: Any, path: str) -> None:
    with pytest.raises(UnsupportedSchemaError) as caught:
        OutputSchema(document)
    assert caught.value.schema_path == path
    assert len(str(caught.value)) < len(path) + 300


def test_the_deepest_accepted_schema_can_be_read_back_from_parquet() -> None:
    output = OutputSchema(with_property(deep(MAX_DEPTH - 1)))
    value: Any = "x"
    for _ in range(MAX_DEPTH - 1):
        value = [value]
    file = io.BytesIO()
    pq.write_table(pa.table({"output": output.to_array([{"p": value}])}), file)
    assert pq.read_table(file).to_pylist() == [{"output": {"p": value}}]


def test_references_that_multiply_are_refused_before_they_fill_the_memory() -> None:
    definitions = {**DOUBLING, "L12": STRING}
    with pytest.raises(UnsupportedSchemaError, match=f"more than {MAX_COLUMNS} columns"):
        OutputSchema({"$ref": "#/$defs/L0", "$defs": definitions})
