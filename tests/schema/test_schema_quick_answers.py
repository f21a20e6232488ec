"""Answers that are accepted by counting their keys: no other verdict than the exact reading's."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_schema_round_trip import FAST, objects, typed

from overshoot_flow.results import FailureReason
from overshoot_flow.schema import strict_json
from overshoot_flow.schema.json_schema import Checked, OutputSchema, Parsed, Rejected

BOX = {
    "type": "object",
    "properties": {"x": {"type": "number"}, "y": {"type": "number"}},
    "required": ["x", "y"],
    "additionalProperties": False,
}
CLOSED: dict[str, Any] = {
    "type": "object",
    "properties": {
        "at": {"type": "string", "format": "date-time"},
        "note": {"type": "string"},
        "count": {"type": "integer", "minimum": 0, "maximum": 9},
        "boxes": {"type": "array", "items": BOX},
        "best": {"anyOf": [BOX, {"type": "null"}]},
    },
    "required": ["at", "note", "boxes"],
    "additionalProperties": False,
}
OPEN: dict[str, Any] = {
    "type": "object",
    "properties": {
        "boxes": {"type": "array", "items": {**BOX, "additionalProperties": True}},
        "free": {},
        "by_name": {"type": "object", "additionalProperties": BOX},
        "pair": {"type": "array", "prefixItems": [BOX, {"type": "string"}]},
        "form": {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {"kind": {"const": kind}, "box": BOX},
                    "required": ["kind"],
                }
                for kind in ("a", "b")
            ]
        },
    },
}
AT = "2026-03-10T12:10:00Z"
B = {"x": 0.5, "y": 1}


def exactly(output: OutputSchema, text: str, monkeypatch: pytest.MonkeyPatch) -> Checked:
    with monkeypatch.context() as patch:
        patch.setattr(strict_json, "read_quickly", lambda *_: None)
        return output.check(text, "stop")


@pytest.mark.parametrize(
    ("schema", "document"),
    [
        (CLOSED, {"at": AT, "note": "at 12:10: two, 1.5 m", "boxes": [B, B], "count": 3}),
        (CLOSED, {"at": AT, "note": "", "boxes": [], "best": B}),
        (CLOSED, {"at": AT, "note": "a\\n", "boxes": [B], "best": None}),
        (OPEN, {"boxes": [{**B, "z": 1}, B], "more": 1}),
        (OPEN, {"free": [{"a": {"b": [{"c": 1}]}}, {}], "by_name": {"p": B, "q": B}}),
        (OPEN, {"pair": [B, "s"], "form": {"kind": "b", "box": B}}),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_usual_answers_are_accepted_without_the_exact_reading(
    schema: dict[str, Any],
    document: dict[str, Any],
    indent: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the exact reading was needed")

    monkeypatch.setattr(strict_json, "read", never)
    text = json.dumps(document, indent=indent)
    assert OutputSchema(schema).check(text, "stop") == Parsed(document)


@pytest.mark.parametrize(
    "text",
    [
        '{"note": "a: b", "note": "a: b", "at": AT, "boxes": []}',
        '{"at": AT, "note": "", "boxes": [{"x": 1, "y": 2, "x": 1}]}',
        '{"at": AT, "note": "", "boxes": [{"x": 1, "y": 2, "\\u0078": 1}]}',
        '{"at": AT, "note": "", "boxes": [], "boxes": [{"x": 1, "y": 2}]}',
        '{"at": AT, "note": "", "boxes": [{"x": 1, "y": 2}], "boxes": []}',
        '{"at": AT, "note": "", "boxes": [], "best": null, "best": null}',
        '{"at": AT, "note": "\\":", "boxes": [], "count": 1, "count": 1}',
        '{"at": AT, "note" : "", "note" : "", "boxes": []}',
        '{"at": AT, "note"\t: "", "note"\r\n: "", "boxes": []}',
        '{"at": AT, "note": "", "note"\n\n :"", "boxes": []}',
        # Neither valid nor without repetition: that it is no JSON document comes first.
        '{"at": AT, "note": 1, "note": 1, "boxes": []}',
        '{"at": AT, "note": "", "boxes": ' + "[" * 150 + "]" * 150 + "}",
    ],
)
def test_what_is_no_document_is_found_in_every_spelling(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = OutputSchema(CLOSED)
    text = text.replace("AT", f'"{AT}"')
    checked = output.check(text, "stop")
    assert isinstance(checked, Rejected)
    assert checked.reason is FailureReason.NOT_JSON
    assert checked == exactly(output, text, monkeypatch)


@pytest.mark.parametrize("space", ["\x0b", "\x0c", "\x00", "\x85", "\xa0", "\u2028", "\ufeff"])
def test_no_other_space_may_stand_before_a_colon(space: str) -> None:
    # Where it might, the keys in the text would be more than are counted.
    checked = OutputSchema(OPEN).check(f'{{"free"{space}: 1}}', "stop")
    assert isinstance(checked, Rejected)
    assert checked.reason is FailureReason.NOT_JSON


@pytest.mark.parametrize(
    "note", ['a": b', 'a" : b', "a : b", "1e5", "0123456789012345", "2nd", "[[[{", "😀"]
)
def test_a_text_that_looks_like_more_is_accepted_as_it_is(note: str) -> None:
    document = {"at": AT, "note": note, "boxes": [B]}
    assert OutputSchema(CLOSED).check(json.dumps(document), "stop") == Parsed(document)


def keys_in(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(keys_in, value.values()))
    return sum(map(keys_in, value)) if isinstance(value, list) else 0


def repeated(text: str, choice: random.Random) -> str:
    """The text of a document with one member of one object written twice."""

    def write(value: Any) -> str:
        if isinstance(value, list):
            return "[" + ",".join(map(write, value)) + "]"
        if not isinstance(value, dict):
            return json.dumps(value)
        members = []
        for name, each in value.items():
            nonlocal number
            number -= 1
            times = 2 if number == 0 else 1
            spaces = "".join(choice.choices(" \t\n", k=choice.randrange(2)))
            member = f"{json.dumps(name)}{spaces}:{write(each)}"
            members += [member] * times
        return "{" + ",".join(members) + "}"

    document = json.loads(text)
    number = choice.randint(1, keys_in(document))
    return write(document)


@FAST
@given(st.data(), st.integers(0, 1 << 32))
def test_no_key_is_repeated_unseen(data: st.DataObject, seed: int) -> None:
    schema, values = data.draw(objects(typed()))
    output = OutputSchema(schema)
    text = json.dumps(data.draw(values.filter(bool)))
    checked = output.check(text, "stop")
    assert isinstance(checked, Parsed)
    assert output._column.count_keys(checked.document) <= keys_in(checked.document)
    choice = random.Random(seed)  # noqa: S311 - repeatable, not secret
    again = output.check(repeated(text, choice), "stop")
    assert isinstance(again, Rejected)
    assert again.reason is FailureReason.NOT_JSON
