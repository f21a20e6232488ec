"""Schemas that are refused when they are given: at which place, and with what advice."""

# ruff: noqa: E501 - a table of one line for each schema

from __future__ import annotations

import io
import json
import socket
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from type_text import assert_round_trip, with_property

from overshoot_flow.errors import UnsupportedSchemaError
from overshoot_flow.schema.arrow_types import MAX_COLUMNS, MAX_DEPTH
from overshoot_flow.schema.json_schema import OutputSchema, Parsed, Rejected
from overshoot_flow.schema.references import MAX_CHECKS_PER_VALUE, MAX_SCHEMA_DEPTH

S: Any = {"type": "string"}
NULL: Any = {"type": "null"}
NEVER: Any = False
D7 = "http://json-schema.org/draft-07/schema#"


def p(schema: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"p": schema}, **more}


def nested(levels: int) -> Any:
    schema: Any = S
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def objects(levels: int) -> Any:
    schema: Any = S
    for _ in range(levels):
        schema = p(schema)
    return schema


DOUBLING: Any = {
    f"L{level}": {
        "type": "object",
        "properties": {name: {"$ref": f"#/$defs/L{level + 1}"} for name in "ab"},
    }
    for level in range(12)
} | {"L12": S}
BRANCHING: Any = {
    f"L{level}": {"anyOf": [{"$ref": f"#/$defs/L{level + 1}"}] * 2} for level in range(40)
} | {"L40": S}
CHAIN: Any = {str(i): {"$ref": f"#/$defs/{i + 1}"} for i in range(3000)} | {"3000": S}

# What it is, the schema, the place, a part of the advice.
REFUSED: list[tuple[str, Any, str, str]] = [
    ("an array at the root", {"type": "array", "items": S}, "", "root must be"),
    ("a string at the root", S, "", "put any other value into a property"),
    ("anything at the root", {}, "", "root must be"),
    ("a root without a type", {"properties": {"a": S}}, "", "root must be"),
    ("a root that may be null", p(S, type=["object", "null"]), "", "without null"),
    ("a root without properties", {"type": "object"}, "", "with properties"),
    ("a map at the root", {"type": "object", "additionalProperties": S}, "", "root must be"),
    ("a union at the root", {"anyOf": [p(S), {"type": "array"}]}, "", "root must be"),
    ("a recursive root", {"$ref": "#"}, "", "remove the circle"),
    ("only null", p(NULL), "/properties/p", "remove the property"),
    ("only null by const", p({"const": None}), "/properties/p", "remove the property"),
    ("only null by anyOf", p({"anyOf": [NULL, NULL]}), "/properties/p", "remove the property"),
    ("items that are never valid", p({"type": "array", "items": False}), "/properties/p/items", ""),
    ("a const of another type", p({"type": "string", "const": 1}), "/properties/p", "contradicts"),
    ("an enum of other types", p({"type": "string", "enum": [1]}), "/properties/p", "contradicts"),
    ("types that exclude each other", p({"allOf": [S, {"type": "array"}]}), "/properties/p/allOf/0", "contradicts"),
    ("enums without a common value", p({"allOf": [{"enum": ["a"]}, {"enum": ["b"]}]}), "/properties/p", "contradicts"),
    ("true is not 1", p({"allOf": [{"enum": [1]}, {"enum": [True]}]}), "/properties/p", "contradicts"),
    ("no alternative", p({"anyOf": [False, False]}), "/properties/p", "no value is valid"),
    ("a typing error", p({**S, "maxlength": 1}), "/properties/p/maxlength", "not a keyword"),
    ("a typing error in a definition", p(S, **{"$defs": {"X": {"tipe": 1}}}), "/$defs/X/tipe", "x-"),
    ("a typing error in items", p({"type": "array", "items": {"itms": S}}), "/properties/p/items/itms", ""),
    ("OpenAPI's nullable", p({**S, "nullable": True}), "/properties/p/nullable", '"null"]'),
    ("prefixItems in draft 7", p({"type": "array", "prefixItems": [S]}, **{"$schema": D7}), "/properties/p/prefixItems", "not a keyword"),
    ("additionalItems today", p({"type": "array", "additionalItems": False}), "/properties/p/additionalItems", "not a keyword"),
    ("$dynamicRef", p({"$dynamicRef": "#x"}), "/properties/p/$dynamicRef", "$ref"),
    ("$recursiveRef", p({"$recursiveRef": "#"}, **{"$schema": "https://json-schema.org/draft/2019-09/schema"}), "/properties/p/$recursiveRef", "$ref"),
    ("draft 4", p(S, **{"$schema": "http://json-schema.org/draft-04/schema#"}), "/$schema", "2020-12"),
    ("draft 6", p(S, **{"$schema": "http://json-schema.org/draft-06/schema#"}), "/$schema", "draft-07"),
    ("an own dialect", p(S, **{"$schema": "https://x.example/s"}), "/$schema", "write https"),
    ("$schema of another type", p(S, **{"$schema": 7}), "/$schema", "write https"),
    ("a dangling reference", p({"$ref": "#/$defs/X"}), "/properties/p/$ref", "leads nowhere"),
    ("a dangling anchor", p({"$ref": "#X"}), "/properties/p/$ref", "leads nowhere"),
    ("a reference into a list", p({"$ref": "#/allOf/7"}, allOf=[{}]), "/properties/p/$ref", "leads nowhere"),
    ("a reference to no schema", p({"$ref": "#/type"}), "/properties/p/$ref", "leads to no schema"),
    ("a dangling reference nobody uses", p(S, **{"$defs": {"X": {"$ref": "#/a"}}}), "/$defs/X/$ref", "add the definition"),
    ("a remote reference", p({"$ref": "https://x.example/s"}), "/properties/p/$ref", "never fetched"),
    ("a remote reference nobody uses", p(S, **{"$defs": {"X": {"$ref": "https://x.example/s"}}}), "/$defs/X/$ref", "never fetched"),
    ("a file", p({"$ref": "file:///etc/hosts"}), "/properties/p/$ref", "never fetched"),
    ("a relative file", p({"$ref": "other.json#/a"}), "/properties/p/$ref", "copy it into $defs"),
    ("a remote reference below not", p({**S, "not": {"$ref": "x.json"}}), "/properties/p/not/$ref", "never fetched"),
    ("a second $id", p({**S, "$id": "https://x.example/s"}), "/properties/p/$id", "remove it"),
    ("a circle", p({"$ref": "#/$defs/A"}, **{"$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}}), "/$defs/B", "circle"),
    ("a circle through allOf", p(S, **{"$defs": {"A": {"allOf": [{"$ref": "#/$defs/A"}]}}}), "/$defs/A/allOf/0", "circle"),
    ("a circle through not", p(S, **{"$defs": {"A": {"not": {"$ref": "#/$defs/A"}}}}), "/$defs/A/not", "circle"),
    ("a circle through if", p(S, **{"$defs": {"A": {"if": {"$ref": "#/$defs/A"}}}}), "/$defs/A/if", "circle"),
    ("alternatives that multiply", p({"$ref": "#/$defs/L0"}, **{"$defs": BRANCHING}), "/$defs/L28", f"more than {MAX_CHECKS_PER_VALUE}"),
    ("properties that multiply", {"$ref": "#/$defs/L0", "$defs": DOUBLING}, "", f"more than {MAX_COLUMNS} columns"),
    ("a long chain of references", p({"$ref": "#/$defs/0"}, **{"$defs": CHAIN}), "", "merge them"),
    ("too many properties", {"type": "object", "properties": {str(i): S for i in range(MAX_COLUMNS)}}, f"/properties/{MAX_COLUMNS - 1}", "ask for less"),
    ("arrays too deep", p(nested(MAX_DEPTH)), "/properties/p" + "/items" * MAX_DEPTH, "flatten it"),
    ("objects too deep", objects(MAX_DEPTH + 1), "/properties/p" * (MAX_DEPTH + 1), "flatten it"),
    ("a schema too deep", p({"not": json.loads('{"not":' * 220 + "{}" + "}" * 220)}), "", f"deeper than {MAX_SCHEMA_DEPTH}"),
    ("a schema far too deep", p(nested(5000)), "", "not JSON data"),
    ("a bound of 39 digits", p({"type": "integer", "maximum": 10**38}), "/properties/p", "38 digits"),
    ("a least value of 39 digits", p({"type": "integer", "minimum": -(10**40)}), "/properties/p", "with a pattern"),
    ("a fixed integer of 39 digits", p({"enum": [1, 10**38]}), "/properties/p", "38 digits"),
    ("a bound as a large float", p({"type": "integer", "maximum": 1e300}), "/properties/p", "38 digits"),
    ("a type that does not exist", p({"type": "text"}), "/properties/p/type", "not a valid JSON Schema"),
    ("a negative length", p({**S, "maxLength": -1}), "/properties/p/maxLength", "not a valid JSON Schema"),
    ("properties that are no object", {"type": "object", "properties": []}, "/properties", "not a valid"),
    ("a required that is no list", p(S, required="p"), "/required", "not a valid"),
    ("no alternatives", p({"anyOf": []}), "/properties/p/anyOf", "not a valid"),
    ("a schema that is a number", p(5), "/properties/p", "not a valid"),
    ("a broken pattern", p({**S, "pattern": "("}), "/properties/p/pattern", "regex"),
    ("look-ahead", p({**S, "pattern": "^(?=a)b"}), "/properties/p/pattern", "regex"),
    ("look-behind", p({**S, "pattern": "(?<!a)b"}), "/properties/p/pattern", "look-around"),
    ("a back-reference", p({**S, "pattern": r"(a)\1"}), "/properties/p/pattern", "back-references"),
    ("a pattern that explodes", p({**S, "pattern": "((a{100}){100}){100}"}), "/properties/p/pattern", "regex"),
    ("a look-ahead for names", p({"type": "object", "patternProperties": {"(?=a)": S}}), "/properties/p/patternProperties/(?=a)", "look-around"),
    ("required beside a closed part", {"type": "object", "allOf": [p(S, additionalProperties=False), {"properties": {"q": S}, "required": ["q"]}]}, "/allOf/0/additionalProperties", "unevaluatedProperties"),
    ("required and never valid", p(NEVER, required=["p"]), "/properties/p", "remove one"),
    ("a bad URI and no pattern", p(S, **{"$id": "no uri %%"}), "", "Invalid URI"),
    ("a list of items today", p({"type": "array", "items": [S]}), "/properties/p/items", "prefixItems"),
    ("draft 4's exclusiveMinimum", p({"type": "integer", "minimum": 0, "exclusiveMinimum": True}), "/properties/p/exclusiveMinimum", "write the bound itself"),
    ("draft 3's required", p({**S, "required": True}), "/properties/p/required", "a list of names"),
    ("a required stranger", p(S, required=["p", "q"]), "/required/1", "add it"),
    ("a required stranger of a closed object", p(S, required=["q"], additionalProperties=False), "/required/0", "add it"),
    ("NaN", p({"const": float("nan")}), "/properties/p/const", "not JSON data"),
    ("an infinite default", p({"type": "number", "default": [1.0, float("inf")]}), "/properties/p/default/1", "remove it"),
    ("a set", p({"enum": {1}}), "", "not JSON data"),
    ("a lone surrogate", p({"const": "\ud800"}), "", "not JSON data"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "path", "advice"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_a_refusal_names_the_place_and_says_what_to_write(
    document: Any, path: str, advice: str
) -> None:
    with pytest.raises(UnsupportedSchemaError) as caught:
        OutputSchema(document)
    if path or not advice.startswith(("more than", "deeper", "merge")):
        assert caught.value.schema_path == path
    assert advice in str(caught.value)
    assert ("look-around" in str(caught.value)) == ("regex" in str(caught.value))
    assert len(str(caught.value)) < len(caught.value.schema_path) + 400


def test_the_deepest_accepted_schema_can_be_read_back_from_parquet() -> None:
    output = OutputSchema(with_property(nested(MAX_DEPTH - 1)))
    text = f'{{"p": {"[" * (MAX_DEPTH - 1)}"x"{"]" * (MAX_DEPTH - 1)}}}'
    assert_round_trip(output, [text])
    checked = output.check(text, "stop")
    assert isinstance(checked, Parsed)
    file = io.BytesIO()
    pq.write_table(pa.table({"output": output.to_array([checked.document])}), file)
    assert pq.read_table(file).to_pylist() == [{"output": checked.document}]


@pytest.mark.parametrize("keyword", ["$ref", "$schema", "$id"])
@pytest.mark.parametrize("where", ["root", "property", "unused definition", "fixed value"])
def test_nothing_is_ever_fetched(keyword: str, where: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/schema.json"
        said = {keyword: address}
        document = p(S, **(said if where == "root" else {}))
        if where == "property":
            document["properties"]["p"] = said
        elif where == "unused definition":
            document["$defs"] = {"X": said}
        elif where == "fixed value":
            # As a value it is data that only looks like a schema.
            document["properties"]["p"] = {"enum": [said, "a"]}
        try:
            OutputSchema(document).check('{"p": "a"}', "stop")
        except UnsupportedSchemaError as error:
            assert error.schema_path.endswith(keyword)  # noqa: PT017 - either way is right here
            assert where != "fixed value"
        else:
            assert keyword != "$ref" or where == "fixed value"
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_file_is_never_read(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(S))
    for reference in (file.as_uri(), str(file), f"{file.as_uri()}#/x"):
        with pytest.raises(UnsupportedSchemaError, match="never fetched"):
            OutputSchema(p({"$ref": reference}))


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "^(.*a){20}$", "(x+x+)+y"])
def test_a_pattern_takes_time_in_proportion_to_the_text(pattern: str) -> None:
    # An engine that tries every way to match would not come back from any of these.
    output = OutputSchema(p({**S, "pattern": pattern}))
    checked = output.check(json.dumps({"p": "a" * 10_000 + "x" * 10_000 + "!"}), "stop")
    assert isinstance(checked, (Parsed, Rejected))


def test_a_recursion_that_branches_bounds_the_depth_of_answers() -> None:
    node = {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/N"}}] * 2 + [NULL]}
    output = OutputSchema(p({"$ref": "#/$defs/N"}, **{"$defs": {"N": node}}))
    assert isinstance(output.check(f'{{"p": {"[" * 10}null{"]" * 10}}}', "stop"), Parsed)
    checked = output.check(f'{{"p": {"[" * 100}1{"]" * 100}}}', "stop")
    assert isinstance(checked, Rejected)
    assert "nested deeper than 16" in checked.detail


N: Any = {"$ref": "#/$defs/N"}


@pytest.mark.parametrize(
    "node",
    [
        {"type": "array", "items": N},
        # Nothing is an item and a property at once.
        {
            "anyOf": [
                {"type": "array", "items": N},
                {"type": "object", "additionalProperties": N},
                {"type": "integer"},
            ]
        },
    ],
)
def test_a_recursion_that_does_not_branch_leaves_answers_their_depth(node: Any) -> None:
    output = OutputSchema(p(N, **{"$defs": {"N": node}}))
    assert isinstance(output.check(f'{{"p": {"[" * 100}{"]" * 100}}}', "stop"), Parsed)
