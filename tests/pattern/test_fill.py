from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from overshoot_flow.local.engines.fill import Findings, Json, fill, integers_in

AT = datetime(2026, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)
NAMES = ["lane", "count", "plate", "ratio", "moving", "lines", "other", "more"]


def findings(text: str = "LANE 3 COUNT 0042\nPLATE AB-123", **named: Json) -> Findings:
    return Findings(text=text, seen=bool(text), at=AT, named=named.get)


def filled(schema: dict[str, Any], found: Findings | None = None) -> Json:
    document = fill(schema, found or findings())
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    problems = [
        f"{error.message} at {error.instance_path}" for error in validator.iter_errors(document)
    ]
    assert not problems, (problems, schema, document)
    return document


def thing(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def test_properties_take_what_was_found_by_their_name() -> None:
    schema = thing(
        lane={"type": "integer"},
        plate={"type": "string"},
        ratio={"type": "number"},
        moving={"type": "boolean"},
        lines={"type": "array", "items": {"type": "string"}},
    )
    found = findings(lane="7", plate="XY-9", ratio="2.5", moving=False, lines=["a", "b"])
    assert filled(schema, found) == {
        "lane": 7,
        "plate": "XY-9",
        "ratio": 2.5,
        "moving": False,
        "lines": ["a", "b"],
    }


def test_what_was_not_found_comes_from_the_text_by_type() -> None:
    schema = thing(
        a={"type": "string"},
        b={"type": "integer"},
        c={"type": "number"},
        d={"type": "boolean"},
        e={"type": "array", "items": {"type": "integer"}},
        f={"type": "array", "items": {"type": "string"}},
        g={"enum": ["truck", "plate", "lane"]},
        h={"enum": ["car", "truck"]},
        i={"type": "string", "format": "date-time"},
        j={"const": "fixed"},
        k={"type": ["string", "null"]},
    )
    assert filled(schema) == {
        "a": "LANE 3 COUNT 0042\nPLATE AB-123",
        "b": 3,
        "c": 3.0,
        "d": True,
        "e": [3, 42, 123],
        "f": ["LANE 3 COUNT 0042", "PLATE AB-123"],
        "g": "plate",
        "h": "car",
        "i": "2026-03-04T05:06:07.089Z",
        "j": "fixed",
        "k": None,
    }


def test_a_finding_of_the_wrong_type_is_not_used() -> None:
    schema = thing(lane={"type": "integer"}, moving={"type": "boolean"}, plate={"type": "string"})
    found = findings("seen 5", lane="left", moving="yes", plate=["AB"])
    assert filled(schema, found) == {"lane": 5, "moving": True, "plate": "seen 5"}
    assert filled({"type": "integer"}, findings("nothing")) == 0


def test_optional_properties_appear_only_when_found() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "lane": {"type": "integer"},
            "driver": {"type": "string"},
            "car": {"type": "object", "properties": {"plate": {"type": "string"}}},
            "cargo": {"type": "object", "properties": {"weight": {"type": "number"}}},
        },
        "required": [],
    }
    assert filled(schema, findings(lane=1, plate="Q")) == {"lane": 1, "car": {"plate": "Q"}}
    assert filled(schema) == {}


def test_objects_in_arrays_and_behind_null_and_references() -> None:
    schema = {
        "$defs": {"a/b": thing(plate={"type": "string"})},
        **thing(
            cars={"type": "array", "items": {"$ref": "#/$defs/a~1b"}},
            first={"anyOf": [{"$ref": "#/$defs/a~1b"}, {"type": "null"}]},
            last={"anyOf": [thing(weight={"type": "number"}), {"type": "null"}]},
            kind={"type": ["string", "null"], "enum": ["car", "plate", None]},
        ),
    }
    assert filled(schema, findings(plate="AB")) == {
        "cars": [{"plate": "AB"}],
        "first": {"plate": "AB"},
        "last": None,
        "kind": "plate",
    }


def test_a_schema_that_refers_to_itself_ends() -> None:
    node = {
        **thing(plate={"type": "string"}, children={"type": "array", "items": {"$ref": "#"}}),
    }
    node["properties"]["next"] = {"anyOf": [{"$ref": "#"}, {"type": "null"}]}
    node["required"].append("next")
    filled(node, findings(plate="AB"))


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        ({"type": "integer", "minimum": 10}, "3", 10),
        ({"type": "integer", "exclusiveMaximum": 3}, "3", 2),
        ({"type": "integer", "exclusiveMinimum": 3}, "3", 4),
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": 5}, "0", 6),
        ({"type": "integer", "minimum": 5, "exclusiveMinimum": 1}, "0", 5),
        ({"type": "integer", "multipleOf": 5, "minimum": 1, "maximum": 9}, "42", 5),
        ({"type": "integer", "multipleOf": 2.5}, "6", 5),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "0", 0.5),
        ({"type": "number", "minimum": 0, "maximum": 1}, "7.5", 1.0),
        ({"type": "number", "exclusiveMinimum": 1e18}, "1", 1.001e18),
        ({"type": "number", "multipleOf": 0.1}, "0.25", 0.2),
        ({"type": "number", "multipleOf": 3, "minimum": 2**60}, "1", 2**60 + 2),
        ({"type": "string", "maxLength": 3}, "abcdef", "abc"),
        ({"type": "string", "minLength": 3}, "a", "a  "),
        ({"type": "string", "format": "date"}, "x", "2026-03-04"),
        ({"type": "string", "format": "time"}, "x", "05:06:07.089Z"),
        ({"type": "array", "items": {"type": "integer"}, "maxItems": 1}, "1 2", [1]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, "1", [1, 1]),
        ({"type": "array", "items": {"type": "boolean"}, "uniqueItems": True}, "x", [True]),
        ({"minimum": 3}, "text", "text"),
        ({"properties": {"a": True}, "required": ["a", "b"]}, "x", {"a": "x", "b": "x"}),
    ],
)
def test_bounds_are_respected(schema: dict[str, Any], text: str, expected: Json) -> None:
    assert filled(schema, findings(text)) == expected


def test_only_a_minus_at_the_start_of_a_word_is_a_sign() -> None:
    assert integers_in("-5 AB-123 x 0042") == [-5, 123, 42]


def bounded(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    # Narrow ranges around the numbers of the texts, so that every bound is met and missed.
    lows = st.sampled_from(["minimum", "exclusiveMinimum"])
    highs = st.sampled_from(["maximum", "exclusiveMaximum"])
    both = st.tuples(st.integers(-5, 50), st.integers(2, 9), lows, highs).map(
        lambda drawn: {"type": kind, drawn[2]: drawn[0], drawn[3]: drawn[0] + drawn[1]}
    )
    steps = st.tuples(st.integers(1, 9), lows, st.integers(-5, 50)).map(
        lambda drawn: {"type": kind, "multipleOf": drawn[0], drawn[1]: drawn[2]}
    )
    return st.one_of(st.just({"type": kind}), both, steps)


def scalars() -> st.SearchStrategy[dict[str, Any]]:
    lengths = st.tuples(st.integers(0, 5), st.integers(0, 5))
    return st.one_of(
        bounded("integer"),
        bounded("number"),
        st.just({"type": "boolean"}),
        st.just({"type": "string", "format": "date-time"}),
        lengths.map(lambda n: {"type": "string", "minLength": n[0], "maxLength": sum(n)}),
        st.lists(st.text(max_size=3) | st.integers(), min_size=1, max_size=3).map(
            lambda values: {"enum": values}
        ),
        st.integers().map(lambda value: {"const": value}),
        st.just({"$ref": "#/$defs/shared"}),
    )


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    properties = st.dictionaries(st.sampled_from(NAMES), inner, min_size=1, max_size=4)
    return st.tuples(properties, st.sets(st.sampled_from(NAMES))).map(
        lambda drawn: {
            "type": "object",
            "properties": drawn[0],
            "required": sorted(set(drawn[0]) - drawn[1]),
            "additionalProperties": False,
        }
    )


def nested(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    arrays = st.tuples(inner, st.integers(0, 2), st.integers(0, 2)).map(
        lambda drawn: {
            "type": "array",
            "items": drawn[0],
            "minItems": drawn[1],
            "maxItems": drawn[1] + drawn[2],
        }
    )
    nullable = inner.map(lambda schema: {"anyOf": [schema, {"type": "null"}]})
    return st.one_of(objects(inner), arrays, nullable)


texts = st.one_of(
    st.lists(st.integers(-5, 60) | st.sampled_from(NAMES), max_size=8).map(
        lambda words: "\n".join(map(str, words))
    ),
    st.text(max_size=20),
    st.just("LANE 3 COUNT 0042\nPLATE AB-123"),
)
singles = st.one_of(
    st.booleans(),
    st.integers(-5, 60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.sampled_from(["3", "-7", "2.5", "AB-123"]),
)


@settings(deadline=None, max_examples=300)
@example(
    schema={"type": "object", "properties": {"ratio": {"type": "number", "multipleOf": 3}}},
    shared={"type": "integer"},
    text="",
    named={"ratio": 1.0111155532583218e16},
)
@given(
    schema=objects(st.recursive(scalars(), nested, max_leaves=6)),
    shared=bounded("integer"),
    text=texts,
    named=st.dictionaries(st.sampled_from(NAMES), singles | st.lists(singles, max_size=4)),
)
def test_the_document_always_satisfies_the_schema(
    schema: dict[str, Any], shared: dict[str, Any], text: str, named: dict[str, Any]
) -> None:
    filled({**schema, "$defs": {"shared": shared}}, findings(text, **named))
