"""Arrays and objects: schema of a required property → its type, and values that come back equal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from type_text import assert_round_trip, field_of, shown, with_property

from overshoot_flow.schema.arrow_arrays import fields_of
from overshoot_flow.schema.columns import PROPERTY_FIELD
from overshoot_flow.schema.json_schema import OutputSchema

ANYTHING: Any = True
NEVER: Any = False
S: Any = {"type": "string"}
I8: Any = {"type": "integer", "minimum": 0, "maximum": 9}
NUM: Any = {"type": "number"}
S_NULL: Any = {"type": ["string", "null"]}
TS: Any = {"type": "string", "format": "date-time"}
Z = '"2024-01-01T00:00:00Z"'
OFFSET = '"2024-01-01T00:00:00+02:00"'
UUID = '"123E4567-e89b-12d3-a456-426614174000"'


def array(items: Any, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


def tuple_of(*items: Any, **more: Any) -> dict[str, Any]:
    return {"type": "array", "prefixItems": list(items), **more}


def closed(*required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def opened(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def mapped(values: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": values, **more}


ARRAYS: list[tuple[Any, str, list[str]]] = [
    (array(S), "[string!]!", ["[]", '["a", ""]']),
    (array(S, minItems=1, maxItems=2, uniqueItems=True), "[string!]!", ['["a"]']),
    (array(S_NULL), "[string]!", ["[null]", '["a", null]']),
    ({**array(I8), "type": ["array", "null"]}, "[int8!]", ["null", "[]", "[1, 2.0]"]),
    (array(array(I8)), "[[int8!]!]!", ["[[], [1], [2, 3]]"]),
    (array({"enum": ["a", "b"]}), "[enum!]!", ['["a", "b", "a"]']),
    (array(closed("a", a=I8)), "[{a: int8!}!]!", ['[{"a": 1}, {"a": 2}]', "[]"]),
    (
        array({"anyOf": [closed("a", a=I8), {"type": "null"}]}),
        "[{a: int8!}]!",
        ['[null, {"a": 1}, null]', "[null]"],
    ),
    (array(TS), "[{value: ts, text: string}!]!", [f"[{Z}]"]),
    (array({**TS, "type": ["string", "null"]}), "[{value: ts, text: string}]!", [f"[null, {Z}]"]),
    ({"type": "array"}, "[json!]!", ['[1, null, "a", {"b": []}]', "[]"]),
    (array(ANYTHING), "[json!]!", ["[null, true, 1.5]"]),
    (array({}), "[json!]!", ["[[[]]]"]),
    (array(S, contains={"const": "a"}), "[string!]!", ['["a"]']),
    (array(S, unevaluatedItems=False), "[string!]!", ['["a"]']),
    ({"type": "array", "contains": S}, "[json!]!", ['[1, "a"]']),
    (array({"type": ["string", "integer"]}), "[json!]!", ['["1", 1, 1.0]']),
]

TUPLES: list[tuple[Any, str, list[str]]] = [
    (
        tuple_of(NUM, S, items=False, minItems=2),
        "{item_0: double!, item_1: string!}!",
        ['[1.5, "a"]'],
    ),
    (tuple_of(NUM, S, items=False), "{item_0: double, item_1: string}!", ["[]", "[1]", '[1, "a"]']),
    (tuple_of(NUM, minItems=1, maxItems=1), "{item_0: double!}!", ["[2.5]"]),
    (
        tuple_of(NUM, minItems=1),
        "{item_0: double!, other_json: other}!",
        ["[1]", '[1, "a", null, [2]]'],
    ),
    (
        tuple_of(NUM, items=I8, minItems=1),
        "{item_0: double!, other_json: other}!",
        ["[1]", "[1, 2, 3]"],
    ),
    (
        tuple_of(S_NULL, S_NULL, items=False, minItems=1),
        "{item_0: string, item_1: json}!",
        ["[null]", "[null, null]", '["a", "b"]'],
    ),
    (
        tuple_of(TS, minItems=1, items=False),
        "{item_0: ts, item_0_text: text}!",
        [f"[{Z}]", f"[{OFFSET}]"],
    ),
    (tuple_of({}, {}, items=False), "{item_0: json, item_1: json}!", ["[]", "[null]", "[1, null]"]),
    (
        {**tuple_of(I8, minItems=1, items=False), "type": ["array", "null"]},
        "{item_0: int8!}",
        ["null", "[3]"],
    ),
    (
        array(tuple_of(NUM, NUM, minItems=2, items=False)),
        "[{item_0: double!, item_1: double!}!]!",
        ["[[0.5, 1], [2, 3]]"],
    ),
    (
        tuple_of(closed("a", a=I8), minItems=1, items=False),
        "{item_0: {a: int8!}!}!",
        ['[{"a": 1}]'],
    ),
]

OBJECTS: list[tuple[Any, str, list[str]]] = [
    (closed("a", a=I8), "{a: int8!}!", ['{"a": 1}']),
    (closed(a=I8, b=S), "{a: int8, b: string}!", ["{}", '{"b": "x"}', '{"b": "", "a": 0}']),
    (closed("a", a=S_NULL), "{a: string}!", ['{"a": null}', '{"a": "x"}']),
    (closed(a=S_NULL), "{a: string, other_json: other}!", ["{}", '{"a": null}', '{"a": "x"}']),
    (opened("a", a=I8), "{a: int8!, other_json: other}!", ['{"a": 1}', '{"a": 1, "b": [null]}']),
    (
        opened(a=S_NULL),
        "{a: string, other_json: other}!",
        ["{}", '{"a": null}', '{"A": null}', '{"a": null, "b": 1}', '{"\\u0000": 1, "": 2}'],
    ),
    ({**closed("a", a=I8), "type": ["object", "null"]}, "{a: int8!}", ["null", '{"a": 1}']),
    ({**opened(a=I8), "additionalProperties": True}, "{a: int8, other_json: other}!", ['{"b": 1}']),
    ({**opened(a=I8), "additionalProperties": S}, "{a: int8, other_json: other}!", ['{"b": "x"}']),
    ({**opened(a=I8), "unevaluatedProperties": False}, "{a: int8}!", ["{}", '{"a": 5}']),
    (
        {**closed(a=I8), "patternProperties": {"^x": S}},
        "{a: int8, other_json: other}!",
        ['{"xy": "z", "a": 1}'],
    ),
    ({**closed(a=I8), "minProperties": 1, "maxProperties": 3}, "{a: int8}!", ['{"a": 1}']),
    (
        {**closed(a=I8, b=S), "dependentRequired": {"a": ["b"]}},
        "{a: int8, b: string}!",
        ['{"a": 1, "b": ""}'],
    ),
    (
        {**opened(a=I8), "dependentSchemas": {"a": opened("c", c=S)}},
        "{a: int8, other_json: other}!",
        ['{"a": 1, "c": "x"}'],
    ),
    (
        {**opened(a=I8), "if": {"required": ["a"]}, "then": opened("c", c=S)},
        "{a: int8, other_json: other}!",
        ["{}", '{"a": 1, "c": "x"}'],
    ),
    (
        {**opened(a=I8), "if": opened("c", c=S), "unevaluatedProperties": False},
        "{a: int8, other_json: other}!",
        ['{"a": 1, "c": "x"}'],
    ),
    ({**opened(a=I8), "propertyNames": {"maxLength": 2}}, "{a: int8, other_json: other}!", ["{}"]),
    (closed(a=False, b=I8), "{b: int8}!", ["{}", '{"b": 1}']),
    (closed("a", a={}), "{a: json!}!", ['{"a": null}', '{"a": {"b": 1}}']),
    (closed(a={}), "{a: json}!", ["{}", '{"a": null}', '{"a": 1e2}']),
    (closed(a=True), "{a: json}!", ['{"a": "null"}']),
    (closed(a=TS), "{a: ts, a_text: text}!", ["{}", f'{{"a": {Z}}}', f'{{"a": {OFFSET}}}']),
    (
        closed(a={**TS, "type": ["string", "null"]}),
        "{a: ts, a_text: text, other_json: other}!",
        ["{}", '{"a": null}', f'{{"a": {OFFSET}}}'],
    ),
    (closed("a", a={**S, "format": "uuid"}), "{a: uuid!, a_text: text}!", [f'{{"a": {UUID}}}']),
    (
        closed("a", a=closed("b", b=closed("c", c=I8))),
        "{a: {b: {c: int8!}!}!}!",
        ['{"a": {"b": {"c": 1}}}'],
    ),
    (closed(a=closed("b", b=array(S))), "{a: {b: [string!]!}}!", ["{}", '{"a": {"b": ["x"]}}']),
    (
        closed(a=closed("u", "t", "m", u={**S, "format": "uuid"}, t=tuple_of(I8), m=mapped(I8))),
        "{a: {u: uuid!, u_text: text, t: {item_0: int8, other_json: other}!, m: map<int8!>!}}!",
        ["{}", f'{{"a": {{"u": {UUID}, "t": [1, 2], "m": {{"k": 1}}}}}}'],
    ),
    ({"type": "object"}, "json!", ["{}", '{"a": {"b": [1.5]}}']),
    ({"type": "object", "properties": {}}, "json!", ['{"a": 1}']),
    ({"type": "object", "additionalProperties": False}, "json!", ["{}"]),
    ({"type": "object", "minProperties": 1}, "json!", ['{"a": null}']),
]

MAPS: list[tuple[Any, str, list[str]]] = [
    (mapped(I8), "map<int8!>!", ["{}", '{"b": 1, "a": 2.0, "": 3, "A": 4}']),
    (mapped(S_NULL), "map<string>!", ['{"a": null, "b": "x"}']),
    (mapped(I8, type=["object", "null"]), "map<int8!>", ["null", "{}", '{"a": 1}']),
    (mapped(TS), "map<{value: ts, text: string}!>!", [f'{{"a": {OFFSET}, "b": {Z}}}']),
    (mapped(array(I8)), "map<[int8!]!>!", ['{"a": [], "b": [1, 2]}']),
    (mapped(mapped(S)), "map<map<string!>!>!", ['{"a": {"b": "c"}, "d": {}}']),
    (mapped(closed("a", a=I8)), "map<{a: int8!}!>!", ['{"k": {"a": 1}}', "{}"]),
    (mapped({"enum": ["a", "b"]}), "map<enum!>!", ['{"k": "a"}']),
    (mapped(I8, propertyNames={"pattern": "^[a-z]+$"}), "map<int8!>!", ['{"k": 1}']),
    (mapped(I8, minProperties=1, required=["k"]), "map<int8!>!", ['{"k": 1}']),
    (mapped(NEVER, patternProperties={"^x": I8}), "map<int8!>!", ["{}", '{"x": 1, "xy": 2}']),
    (mapped(NEVER, patternProperties={"^x": I8, "^y": I8}), "map<int8!>!", ['{"x": 1, "y": 2}']),
    (mapped(I8, patternProperties={"^x": I8}), "map<int8!>!", ['{"x": 1, "a": 2}']),
    (
        mapped(NEVER, patternProperties={"^x": S, "^y": S_NULL}),
        "map<string>!",
        ['{"x": "a", "y": null}'],
    ),
    (mapped(NEVER, patternProperties={"^x": I8, "^y": S}), "json!", ['{"x": 1, "y": "z"}']),
    ({"type": "object", "patternProperties": {"^x": I8}}, "json!", ['{"x": 1, "a": "any"}']),
    (mapped(ANYTHING), "json!", ['{"a": 1}']),
    (mapped({}), "json!", ['{"a": 1}']),
    (mapped({"type": ["string", "integer"]}), "json!", ['{"a": 1, "b": "1"}']),
    (array(mapped(I8)), "[map<int8!>!]!", ['[{"a": 1}, {}, {"b": 2}]']),
]
CASES = [*ARRAYS, *TUPLES, *OBJECTS, *MAPS]


@pytest.mark.parametrize(
    ("schema", "expected", "texts"), CASES, ids=[json.dumps(case[0])[:60] for case in CASES]
)
def test_a_nested_value_has_its_type_and_comes_back_equal(
    schema: Any, expected: str, texts: list[str]
) -> None:
    assert shown(field_of(schema)) == expected
    answers = [f'{{"p": {each}}}' for each in texts]
    assert_round_trip(OutputSchema(with_property(schema)), answers)
    assert_round_trip(OutputSchema(with_property(schema, required=[])), [*answers, "{}"])


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (["b", "a"], ["b", "a"]),
        (["a", "A"], ["a", "A_2"]),
        (["A", "a", "a_2"], ["A", "a_3", "a_2"]),
        (["é", "e\u0301"], ["é", "e\u0301_2"]),
        (["ﬁ", "fi"], ["ﬁ", "fi_2"]),
        (["straße", "STRASSE"], ["straße", "STRASSE_2"]),
        ([""], ["unnamed"]),
        ([" ", "unnamed"], ["unnamed_2", "unnamed"]),
        (["a\0b", "ab"], ["ab_2", "ab"]),
        (["other_json"], ["other_json"]),
        (["a.b", "a/b", "a~b", "a b", '"'], ["a.b", "a/b", "a~b", "a b", '"']),
        (["item", "ITEM", "Item"], ["item", "ITEM_2", "Item_3"]),
    ],
)
def test_names_that_readers_take_for_one_are_told_apart(
    names: list[str], columns: list[str]
) -> None:
    output = OutputSchema({"type": "object", "properties": dict.fromkeys(names, S)})
    *fields, other = fields_of(output.arrow_type)
    assert [field.name for field in fields] == columns
    assert other.name == ("other_json_2" if "other_json" in names else "other_json")
    for name, field in zip(names, fields, strict=True):
        said = (field.metadata or {}).get(PROPERTY_FIELD.encode())
        assert said == (None if field.name == name else name.encode())
    document = {name: str(index) for index, name in enumerate(names)}
    assert_round_trip(output, [json.dumps(document), json.dumps({**document, "more": 1}), "{}"])


def test_a_kept_text_gives_way_to_a_property_of_its_name() -> None:
    output = OutputSchema(closed(a=TS, a_text=S))
    assert [field.name for field in fields_of(output.arrow_type)] == ["a", "a_text_2", "a_text"]
    assert_round_trip(output, [f'{{"a": {OFFSET}, "a_text": "x"}}'])


def test_500_columns() -> None:
    names = [f"c{index}" for index in range(500)]
    kinds = [I8, S_NULL, TS, array(S), closed("a", a=I8)]
    values = [1, None, "2024-01-01T00:00:00Z", ["x"], {"a": 2}]
    output = OutputSchema(closed(**{name: kinds[i % 5] for i, name in enumerate(names)}))
    document = {name: values[i % 5] for i, name in enumerate(names)}
    assert_round_trip(output, [json.dumps(document), "{}"])
