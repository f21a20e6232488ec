"""References, allOf, unions, recursion and older drafts: schema → type, and values back equal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from type_text import assert_round_trip, field_of, shown, with_property

from overshoot_flow.schema.arrow_arrays import fields_of
from overshoot_flow.schema.columns import JSON_FIELD
from overshoot_flow.schema.json_schema import OutputSchema

NEVER: Any = False
S: Any = {"type": "string"}
I8: Any = {"type": "integer", "minimum": 0, "maximum": 9}
NULL: Any = {"type": "null"}
TS: Any = {"type": "string", "format": "date-time"}


def ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def one_of(*schemas: Any) -> dict[str, Any]:
    return {"oneOf": list(schemas)}


def any_of(*schemas: Any) -> dict[str, Any]:
    return {"anyOf": list(schemas)}


def all_of(*schemas: Any, **more: Any) -> dict[str, Any]:
    return {"allOf": list(schemas), **more}


def closed(*required: str, **properties: Any) -> dict[str, Any]:
    return {**opened(*required, **properties), "additionalProperties": False}


def opened(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


DEFS: Any = {
    "S": S,
    "I8": I8,
    "Alias": ref("S"),
    "Maybe": any_of(ref("S"), NULL),
    "Point": closed("x", "y", x=I8, y=I8),
    "a/b~ c": I8,
    "Anchored": {**I8, "$anchor": "here"},
    "Person": closed("name", name=S, boss=any_of(ref("Person"), NULL)),
    "Tree": closed("v", v=I8, children={"type": "array", "items": ref("Tree")}),
    "Ping": closed(pong=ref("Pong")),
    "Pong": closed(ping=ref("Ping")),
    "Any": any_of(S, {"type": "array", "items": ref("Any")}),
}
A = closed("kind", "v", kind={"const": "a"}, v=I8)
B = closed("kind", "w", kind={"const": "b"}, w=S)
OPEN_B = opened("kind", kind={"const": "b"}, w=S)

REFERENCES: list[tuple[Any, str, list[str]]] = [
    (ref("S"), "string!", ['"a"']),
    (ref("Alias"), "string!", ['"a"']),
    (ref("Maybe"), "string", ["null", '"a"']),
    (ref("Point"), "{x: int8!, y: int8!}!", ['{"x": 1, "y": 2}']),
    (ref("a~1b~0%20c"), "int8!", ["5"]),
    ({"$ref": "#here"}, "int8!", ["5"]),
    ({**ref("S"), "description": "d", "default": "a"}, "string!", ['"a"']),
    ({**ref("S"), "maxLength": 2}, "string!", ['"ab"']),
    ({"type": "integer", "$ref": "#/$defs/I8", "maximum": 300}, "int8!", ["9"]),
    ({"type": "array", "items": ref("Point")}, "[{x: int8!, y: int8!}!]!", ['[{"x":1,"y":2}]']),
    ({"$ref": "#/properties/q"}, "bool!", ["true"]),
    # Recursion: one level has columns, what is below is text.
    (
        ref("Person"),
        "{name: string!, boss: json}!",
        ['{"name": "a"}', '{"name": "a", "boss": null}', '{"name":"a","boss":{"name":"b"}}'],
    ),
    (
        ref("Tree"),
        "{v: int8!, children: [json!]}!",
        ['{"v":1}', '{"v":1,"children":[{"v":2,"children":[{"v":3}]}]}'],
    ),
    (ref("Ping"), "{pong: {ping: json}}!", ["{}", '{"pong":{"ping":{"pong":{}}}}']),
    (ref("Any"), "json!", ['"a"', '[["a"], []]']),
    ({"type": "array", "items": {"$ref": "#"}}, "[json!]!", ["[]", '[{"p": []}]']),
]

MERGED: list[tuple[Any, str, list[str]]] = [
    (all_of(S), "string!", ['"a"']),
    (all_of(S, {"maxLength": 3}, {"pattern": "^a"}), "string!", ['"ab"']),
    (all_of({"type": "integer"}, {"minimum": 0}, {"maximum": 9}), "int8!", ["9"]),
    (all_of({"type": ["integer", "null"]}, {"type": ["integer", "string"]}), "int64!", ["1"]),
    (all_of({"type": "number"}, {"type": "integer"}), "int64!", ["1", "1.0"]),
    (all_of({"type": ["string", "null"]}, ref("S")), "string!", ['"a"']),
    (all_of({"enum": ["a", "b", 1]}, {"enum": ["b", "c", True]}), "enum!", ['"b"']),
    (all_of({"enum": [1, 300]}, {"maximum": 9}), "int16!", ["1"]),
    (all_of(TS, {"minLength": 2}), "ts", ['"2024-01-01T00:00:00Z"']),
    (
        all_of(opened("a", a=I8), opened("b", b=S)),
        "{a: int8!, b: string!, other_json: other}!",
        ['{"a": 1, "b": "x", "c": [1]}'],
    ),
    (
        all_of(opened(a={"type": "integer"}), opened("a", a={"minimum": 0, "maximum": 9})),
        "{a: int8!, other_json: other}!",
        ['{"a": 1}'],
    ),
    (
        all_of(opened("a", a=I8), opened(b=S), unevaluatedProperties=False),
        "{a: int8!, b: string}!",
        ['{"a": 1, "b": "x"}', '{"a": 1}'],
    ),
    (
        all_of(ref("Point"), **opened("x", x=I8)),
        "{x: int8!, y: int8!}!",
        ['{"x": 1, "y": 2}'],
    ),
    (
        all_of({"type": "array", "items": {"type": "integer"}}, {"items": {"maximum": 5}}),
        "[int64!]!",
        ["[1, 2]"],
    ),
    (
        all_of(all_of(all_of(I8))),
        "int8!",
        ["1"],
    ),
    ({**S, "allOf": [{}]}, "string!", ['"a"']),
    ({**S, "allOf": [True]}, "string!", ['"a"']),
]

UNIONS: list[tuple[Any, str, list[str]]] = [
    (any_of(S, NULL), "string", ["null", '"a"']),
    (one_of(NULL, S), "string", ["null", '"a"']),
    (one_of(S), "string!", ['"a"']),
    (any_of(S, NULL, NULL), "string", ["null"]),
    (any_of(S, {"const": None}), "string", ["null", '"a"']),
    (any_of(S, {"enum": [None]}, NEVER), "string", ["null", '"a"']),
    ({**any_of(S, NULL), "title": "T", "default": None}, "string", ["null"]),
    (any_of({"enum": ["a", "b"]}, NULL), "enum", ["null", '"b"']),
    (any_of(I8, NULL), "int8", ["null", "9"]),
    (any_of(TS, NULL), "ts", ["null", '"2024-01-01T00:00:00+01:00"']),
    (any_of(any_of(S, NULL), NULL), "string", ["null", '"a"']),
    (any_of(ref("Point"), NULL), "{x: int8!, y: int8!}", ["null", '{"x":1,"y":2}']),
    (any_of({"type": "array", "items": I8}, NULL), "[int8!]", ["null", "[1]"]),
    (
        any_of({"type": "object", "additionalProperties": I8}, NULL),
        "map<int8!>",
        ["null", '{"a": 1}'],
    ),
    (
        any_of({"type": "array", "prefixItems": [I8], "items": False}, NULL),
        "{item_0: int8}",
        ["null", "[]", "[1]"],
    ),
    (any_of(all_of(opened("a", a=I8)), NULL), "{a: int8!, other_json: other}", ["null"]),
    ({"type": "string", "anyOf": [{"minLength": 3}, {"pattern": "^a"}]}, "string!", ['"ab"']),
    (
        {**closed(a=I8, b=I8), "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        "{a: int8, b: int8}!",
        ['{"b": 1}'],
    ),
    # Alternatives of one scalar type are one type that holds them all.
    (one_of({"const": "a"}, {"const": "b"}), "enum!", ['"a"', '"b"']),
    (
        one_of({"const": "a", "title": "A"}, {"enum": ["b", "c"]}, NULL),
        "enum",
        ["null", '"c"'],
    ),
    (any_of({"const": "a"}, S), "string!", ['"z"']),
    (any_of(TS, S), "string!", ['"z"']),
    (any_of({"type": "integer", "maximum": 9, "minimum": 0}, {"const": 300}), "int16!", ["300"]),
    (any_of({"type": "integer"}, {"const": 300}), "int64!", ["-5"]),
    (any_of({"type": "integer"}, {"type": "number"}), "double!", ["1", "1.5"]),
    # Alternatives that a tag tells apart.
    (
        one_of(A, B),
        "{kind: tag enum!, a: {v: int8!}, b: {w: string!}}!",
        ['{"kind": "a", "v": 1}', '{"w": "x", "kind": "b"}'],
    ),
    (
        any_of(A, OPEN_B, NULL),
        "{kind: tag enum!, a: {v: int8!}, b: {w: string, other_json: other}}",
        ["null", '{"kind": "b", "z": 1}', '{"kind": "b", "w": "x"}', '{"kind": "a", "v": 1}'],
    ),
    (
        one_of(A, closed("kind", kind={"enum": ["b", "c"]})),
        "{kind: tag enum!, a: {v: int8!}}!",
        ['{"kind": "c"}', '{"kind": "b"}', '{"kind": "a", "v": 2}'],
    ),
    (
        {**opened("t", "c", c=S), **one_of(opened(t={"const": "x"}), opened(t={"const": "X"}))},
        "{t: tag enum!, x: {c: string!, other_json: other}, X_2: {c: string!, other_json: other}}!",
        ['{"t": "x", "c": ""}', '{"t": "X", "c": "", "d": 1}'],
    ),
    (
        {"type": "array", "items": one_of(A, B)},
        "[{kind: tag enum!, a: {v: int8!}, b: {w: string!}}!]!",
        ['[{"kind": "a", "v": 1}, {"kind": "b", "w": ""}]', "[]"],
    ),
    (
        one_of(closed("t", t={"const": "t"}, v=I8), closed("t", t={"const": ""}, v=S)),
        "{t: tag enum!, t_2: {v: int8}, unnamed: {v: string}}!",
        ['{"t": "t"}', '{"t": "", "v": "x"}'],
    ),
    # Open unions.
    (any_of(S, {"type": "integer"}), "json!", ['"1"', "1", "1.0"]),
    (any_of(S, {"type": "integer"}, NULL), "json!", ["null", "1"]),
    ({"type": ["string", "integer"]}, "json!", ['"a"', "1", "1e2"]),
    ({"type": ["object", "array", "null"]}, "json!", ["null", "{}", "[1.5]"]),
    ({"enum": ["a", 1]}, "json!", ['"a"', "1"]),
    ({"enum": [{"a": 1}, {"b": 2}]}, "json!", ['{"b": 2}']),
    ({"const": {"a": [1]}}, "json!", ['{"a": [1]}']),
    ({}, "json!", ["null", "1", '"a"', "[]", str(2**70)]),
    (True, "json!", ["null"]),
    ({"description": "anything"}, "json!", ["false"]),
    ({"minimum": 3}, "json!", ['"a"', "5"]),
    ({"not": {"type": "string"}}, "json!", ["1"]),
    ({"properties": {"q": S}}, "json!", ["1", '{"q": "a"}']),
    (one_of(opened("a", a=S), opened("b", b=S)), "json!", ['{"a": "x"}']),
    (one_of(A, opened("w", w=S)), "json!", ['{"kind": "a", "v": 1}']),
    (one_of(A, A | {"title": "same tag"}, B), "json!", ['{"kind": "b", "w": ""}']),
    (
        any_of({"type": "array", "items": S}, {"type": "array", "items": I8}),
        "[json!]!",
        ['["a"]', "[1]"],
    ),
    (any_of(S, ref("Person")), "json!", ['"a"', '{"name": "b"}']),
]
CASES = [*REFERENCES, *MERGED, *UNIONS]
MORE: Any = {"$defs": DEFS, "properties": {"q": {"type": "boolean"}}}


@pytest.mark.parametrize(
    ("schema", "expected", "texts"), CASES, ids=[json.dumps(case[0])[:60] for case in CASES]
)
def test_a_merged_schema_has_its_type_and_comes_back_equal(
    schema: Any, expected: str, texts: list[str]
) -> None:
    more = {"$defs": DEFS, "properties": {"p": schema, "q": {"type": "boolean"}}}
    assert shown(field_of(schema, **more)) == expected
    answers = [f'{{"p": {each}}}' for each in texts]
    assert_round_trip(OutputSchema(with_property(schema, **more)), answers)
    optional = OutputSchema(with_property(schema, **more, required=[]))
    assert_round_trip(optional, [*answers, '{"q": true}', "{}"])


@pytest.mark.parametrize(
    ("root", "texts"),
    [
        (one_of(A, B), ['{"kind": "a", "v": 1}']),
        (ref("Point"), ['{"x": 1, "y": 2}']),
        (all_of(ref("Point"), {"description": "d"}), ['{"x": 1, "y": 2}']),
        (ref("Person"), ['{"name": "a", "boss": {"name": "b"}}']),
    ],
)
def test_a_root_may_be_put_together(root: Any, texts: list[str]) -> None:
    assert_round_trip(OutputSchema({**root, "$defs": DEFS}), texts)


D7 = "http://json-schema.org/draft-07/schema#"
D2019 = "https://json-schema.org/draft/2019-09/schema"
D2020 = "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    ("draft", "schema", "expected", "texts"),
    [
        (D7, {"$ref": "#/definitions/S"}, "string!", ['"a"']),
        (D7, {"$ref": "#/definitions/S", "type": "integer", "maxLength": 1}, "string!", ['"ab"']),
        (D2019, {"$ref": "#/definitions/S", "enum": ["a"]}, "enum!", ['"a"']),
        (D7, {"$ref": "#named"}, "int8!", ["1"]),
        (
            D7,
            {"type": "array", "items": [I8, S], "additionalItems": False},
            "{item_0: int8, item_1: string}!",
            ["[]", '[1, "a"]'],
        ),
        (
            D2019,
            {"type": "array", "items": [I8], "minItems": 1},
            "{item_0: int8!, other_json: other}!",
            ["[1]", '[1, "a"]'],
        ),
        (D7, {"type": "array", "items": I8, "additionalItems": False}, "[int8!]!", ["[1, 2]"]),
        (
            D7,
            {**closed(a=I8, b=S), "dependencies": {"a": ["b"]}},
            "{a: int8, b: string}!",
            ['{"a": 1, "b": ""}'],
        ),
        (D7, {"type": "array", "contains": I8}, "[json!]!", ["[1]"]),
        (
            D2019,
            {**opened(a=I8), "unevaluatedProperties": False},
            "{a: int8}!",
            ['{"a": 1}'],
        ),
        (D2020, {"type": "array", "prefixItems": [I8], "items": False}, "{item_0: int8}!", ["[1]"]),
        (D2020.rstrip("#") + "#", S, "string!", ['"a"']),
    ],
)
def test_older_drafts_are_read_as_they_are_meant(
    draft: str, schema: Any, expected: str, texts: list[str]
) -> None:
    definitions = {"S": S, "I": {**I8, **({"$id": "#named"} if draft == D7 else {})}}
    more = {"$schema": draft, "definitions": definitions}
    assert shown(field_of(schema, **more)) == expected
    assert_round_trip(OutputSchema(with_property(schema, **more)), [f'{{"p": {t}}}' for t in texts])


def test_json_text_is_marked() -> None:
    assert field_of({}).metadata == {JSON_FIELD.encode(): b"value"}
    [_, other] = fields_of(OutputSchema(opened("p", p=S)).arrow_type)
    assert other.metadata == {JSON_FIELD.encode(): b"other"}
