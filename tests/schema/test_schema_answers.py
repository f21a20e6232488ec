from __future__ import annotations

import json
from typing import Any

import pytest

from overshoot_flow.results import FailureReason
from overshoot_flow.schema.json_schema import MAX_DETAIL_CHARS, OutputSchema, Parsed, Rejected
from overshoot_flow.schema.strict_json import MAX_DEPTH, MAX_TEXT_BYTES

SCHEMA = OutputSchema(
    {
        "type": "object",
        "properties": {
            "count": {"type": "integer"},
            "score": {"type": "number"},
            "seen": {"type": "string", "format": "date-time"},
            "label": {"type": ["string", "null"], "maxLength": 5},
            "person": {"anyOf": [{"$ref": "#/$defs/Person"}, {"type": "null"}]},
            "boxes": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
        },
        "required": ["count"],
        "$defs": {"Person": {"type": "object", "properties": {"age": {"type": "integer"}}}},
    }
)


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ('{"count": 1}', {"count": 1}),
        ('\n\t{"count": 1} \r\n', {"count": 1}),
        ('{"count": 1.0}', {"count": 1}),
        ('{"count": 12e2}', {"count": 1200}),
        ('{"count": 9007199254740993.0}', {"count": 9007199254740993}),
        ('{"count": -9223372036854775808}', {"count": -(2**63)}),
        ('{"count": 1, "score": 1}', {"count": 1, "score": 1}),
        ('{"count": 1, "score": 1.0}', {"count": 1, "score": 1.0}),
        ('{"count": 1, "score": 1e-7}', {"count": 1, "score": 1e-7}),
        ('{"count": 1, "score": 9007199254740992}', {"count": 1, "score": 2.0**53}),
        ('{"count": 1, "more": 1180591620717411303424}', {"count": 1, "more": 2**70}),
        (
            '{"count": 1, "seen": "2016-12-31T23:59:60Z"}',
            {"count": 1, "seen": "2016-12-31T23:59:60Z"},
        ),
        ('{"count": 1, "score": 0.1}', {"count": 1, "score": 0.1}),
        (
            '{"count": 1, "label": null, "person": null}',
            {"count": 1, "label": None, "person": None},
        ),
        ('{"count": 1, "label": "\\ud83d\\ude00"}', {"count": 1, "label": "😀"}),
        ('{"count": 1, "more": {"a": [1.5, 2]}}', {"count": 1, "more": {"a": [1.5, 2]}}),
        (
            '{"count": 1, "seen": "2024-02-29T23:59:59.1234560+05:30"}',
            {"count": 1, "seen": "2024-02-29T23:59:59.1234560+05:30"},
        ),
    ],
)
def test_a_valid_answer_is_taken_exactly(text: str, document: Any) -> None:
    checked = SCHEMA.check(text, "stop")
    assert checked == Parsed(document)
    # 1 == 1.0 == True in Python; the texts differ.
    assert json.dumps(checked.document) == json.dumps(document)


@pytest.mark.parametrize(
    ("text", "instance_path", "schema_path"),
    [
        ("{}", "", "/required"),
        ("[1]", "", "/type"),
        ('{"count": "1"}', "/count", "/properties/count/type"),
        ('{"count": true}', "/count", "/properties/count/type"),
        ('{"count": 1.00000000000000000001}', "/count", "/properties/count/type"),
        ('{"count": 1, "label": "too long"}', "/label", "/properties/label/maxLength"),
        ('{"count": 1, "seen": "yesterday"}', "/seen", "/properties/seen/format"),
        ('{"count": 1, "seen": "2024-02-30T00:00:00Z"}', "/seen", "/properties/seen/format"),
        (
            '{"count": 1, "person": {"age": "x"}}',
            "/person/age",
            "/$defs/Person/properties/age/type",
        ),
        ('{"count": 1, "person": 5}', "/person", "/properties/person/anyOf"),
        (
            '{"count": 1, "boxes": [[1], [2, "x"]]}',
            "/boxes/1/1",
            "/properties/boxes/items/items/type",
        ),
        # Valid, and yet no value of the Arrow type.
        ('{"count": 1180591620717411303424}', "/count", "/properties/count"),
        ('{"count": 9223372036854775808}', "/count", "/properties/count"),
        (f'{{"count": 1, "score": 1{"0" * 400}}}', "/score", "/properties/score"),
        ('{"count": 1, "score": 9007199254740993}', "/score", "/properties/score"),
        ('{"Count": 1}', "", "/required"),
        ('{"count": 1.5}', "/count", "/properties/count/type"),
        ('{"count": 12345678901.0000001}', "/count", "/properties/count/type"),
        ('{"count": 1, "boxes": [[9e99]]}', "/boxes/0/0", "/properties/boxes/items/items"),
    ],
)
def test_an_answer_outside_the_schema_is_rejected_at_its_place(
    text: str, instance_path: str, schema_path: str
) -> None:
    checked = SCHEMA.check(text, "stop")
    assert isinstance(checked, Rejected)
    assert checked.reason is FailureReason.SCHEMA
    assert (checked.instance_path, checked.schema_path) == (instance_path, schema_path)
    assert 0 < len(checked.detail) <= MAX_DETAIL_CHARS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A dog runs.",
        '{"count": 1',
        '{"count": 1} and more',
        '{"count": 1}{"count": 2}',
        "{'count': 1}",
        '{"count": 01}',
        '{"count": 1,}',
        '{"count": 1, "score": NaN}',
        '{"count": 1, "score": -Infinity}',
        '{"count": 1, "score": 1e400}',
        '{"count": 1, "score": 1e-400}',
        '{"count": 1, "score": 1e999999999}',
        '{"count": 1, "score": 1e99999999999999999999}',
        '{"count": 1, "count": 2}',
        '{"count": 1, "person": {"a": 1, "a": 1}}',
        '{"count": 1, "more": {"a": 1, "\\u0061": 1}}',
        '{"count": 1, "more": 1e400}',
        '{"count": 1, "score": 0.' + "0" * 400 + "1}",
        '{"count": 1, "label": "\\ud800"}',
        '{"count": 1, "label": "\ud800"}',
        '{"count": 1, "\\udfff": 1}',
        '{"count": 1, "label": "a\nb"}',
        '```json\n{"count": 1}\n```',
        '```json\n{"count": 1}\n',
        '```json\n```json\n{"count": 1}\n```\n```',
        '\ufeff{"count": 1}',
        f'{{"count": {"9" * 5000}}}',
        "[" * 200_000,
        '{"a":' * 100_000,
        f'{{"count": 1, "more": {"[" * MAX_DEPTH}{"]" * MAX_DEPTH}}}',
        f'{{"count": 1, "more": "{"x" * MAX_TEXT_BYTES}"}}',
        f'{{"count": 1, "more": "{"é" * (MAX_TEXT_BYTES // 2)}"}}',
    ],
    ids=lambda text: ascii(text[:40]),
)
def test_what_is_not_a_json_document_is_rejected(text: str) -> None:
    checked = SCHEMA.check(text, "stop")
    assert isinstance(checked, Rejected)
    assert checked.reason is FailureReason.NOT_JSON
    assert "Internal error" not in checked.detail
    assert 0 < len(checked.detail) <= MAX_DETAIL_CHARS
    assert (checked.instance_path, checked.schema_path) == (None, None)


def test_nesting_and_length_are_accepted_up_to_the_bound() -> None:
    nested = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert isinstance(SCHEMA.check(f'{{"count": 1, "more": {nested}}}', None), Parsed)
    frame = '{"count": 1, "more": ""}'
    text = frame.replace('""', f'"{"x" * (MAX_TEXT_BYTES - len(frame))}"')
    assert isinstance(SCHEMA.check(text, None), Parsed)
    assert isinstance(SCHEMA.check(f'{{"count": 1, "more": [{"[]," * 500}[]]}}', None), Parsed)


@pytest.mark.parametrize(
    ("finish_reason", "reason"),
    [("length", FailureReason.CUT), ("content_filter", FailureReason.CONTENT_FILTER)],
)
@pytest.mark.parametrize("text", ['{"count": 1}', '{"count'])
def test_an_incomplete_answer_is_rejected_whatever_it_says(
    finish_reason: str, reason: FailureReason, text: str
) -> None:
    checked = SCHEMA.check(text, finish_reason)
    assert isinstance(checked, Rejected)
    assert checked.reason is reason
