"""Scalars: schema of a required property → its type, and values that come back equal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from type_text import assert_round_trip, field_of, shown, with_property

from overshoot_flow.schema.json_schema import OutputSchema


def integer(**more: Any) -> dict[str, Any]:
    return {"type": "integer", **more}


def between(low: Any, high: Any) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high}


def text(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "format": name, **more}


STRING = {"type": "string"}
NULL = {"type": "null"}

INTEGERS: list[tuple[Any, str, list[str]]] = [
    (integer(), "int64!", ["0", "-1", "1.0", "1e3", str(2**63 - 1), str(-(2**63))]),
    (integer(minimum=0), "int64!", ["0", str(2**63 - 1)]),
    (integer(maximum=0), "int64!", ["-5"]),
    (integer(multipleOf=5), "int64!", ["15", "1.5e1"]),
    (between(0, 1), "int8!", ["0", "1"]),
    (between(0, 127), "int8!", ["127", "127.0"]),
    (between(-128, 127), "int8!", ["-128"]),
    (between(0, 128), "uint8!", ["128"]),
    (between(0, 255), "uint8!", ["255", "2.55e2"]),
    (between(-1, 128), "int16!", ["-1", "128"]),
    (between(-129, 0), "int16!", ["-129"]),
    (between(0, 256), "int16!", ["256"]),
    (between(0, 32767), "int16!", ["32767"]),
    (between(0, 32768), "uint16!", ["32768"]),
    (between(0, 65535), "uint16!", ["65535"]),
    (between(0, 65536), "int32!", ["65536"]),
    (between(-32769, 0), "int32!", ["-32769"]),
    (between(0, 2**31 - 1), "int32!", [str(2**31 - 1)]),
    (between(0, 2**31), "uint32!", [str(2**31)]),
    (between(0, 2**32 - 1), "uint32!", [str(2**32 - 1)]),
    (between(0, 2**32), "int64!", [str(2**32)]),
    (between(-(2**31) - 1, 0), "int64!", [str(-(2**31) - 1)]),
    (between(-(2**63), 2**63 - 1), "int64!", [str(-(2**63))]),
    (between(0, 2**63), "uint64!", [str(2**63)]),
    (between(0, 2**64 - 1), "uint64!", [str(2**64 - 1), "0"]),
    (between(-1, 2**63), "decimal!", [str(2**63), "-1"]),
    (between(0, 2**64), "decimal!", [str(2**64), "1.0", "1e10"]),
    (between(-(10**38) + 1, 10**38 - 1), "decimal!", [str(10**38 - 1), str(-(10**38) + 1)]),
    (integer(maximum=2**70), "decimal!", [str(2**70), str(-(2**80))]),
    (integer(minimum=-(2**70)), "decimal!", [str(-(2**70))]),
    (integer(minimum=2**70), "decimal!", [str(2**70)]),
    (integer(maximum=-(2**70)), "decimal!", [str(-(2**71))]),
    (integer(exclusiveMinimum=-1, exclusiveMaximum=128), "int8!", ["0", "127"]),
    (integer(exclusiveMinimum=-129, exclusiveMaximum=127), "int8!", ["-128"]),
    (integer(exclusiveMinimum=-130, exclusiveMaximum=127), "int16!", ["-129"]),
    (integer(minimum=0, exclusiveMaximum=256), "uint8!", ["255"]),
    (integer(minimum=-0.5, maximum=127.9), "int8!", ["127"]),
    (integer(exclusiveMinimum=-0.5, exclusiveMaximum=127.5), "int8!", ["0", "127"]),
    (integer(minimum=-1e3, maximum=1e3), "int16!", ["-1000"]),
    (integer(minimum=0, maximum=100, exclusiveMaximum=50), "int8!", ["49"]),
    ({"enum": [1, 2]}, "int8!", ["1", "2", "2.0"]),
    ({"enum": [0, 255]}, "uint8!", ["255"]),
    ({"enum": [-1, 300]}, "int16!", ["300"]),
    ({"enum": [1, 2**63 - 1]}, "int64!", [str(2**63 - 1)]),
    ({"enum": [0, 2**63]}, "uint64!", [str(2**63)]),
    ({"enum": [-1, 2**63]}, "decimal!", [str(2**63), "-1"]),
    ({"enum": [1.0, 2]}, "int8!", ["1", "1.0"]),
    ({"const": 3}, "int8!", ["3", "3.0"]),
    ({"const": 70000}, "int32!", ["70000"]),
    (integer(enum=[1, 2, 3], minimum=0), "int8!", ["3"]),
    (integer(enum=[1, "a"]), "int8!", ["1"]),
    ({"type": ["integer", "null"]}, "int64", ["null", "5"]),
    ({"type": ["integer", "null"], "minimum": 0, "maximum": 9}, "int8", ["null", "9"]),
    ({"enum": [1, None]}, "int8", ["null", "1"]),
    ({"type": "integer", "title": "T", "default": 1, "examples": [2], "x-unit": "m"}, "int64!", []),
]

NUMBERS: list[tuple[Any, str, list[str]]] = [
    ({"type": "number"}, "double!", ["0", "1.5", "-0.0", "1e300", "5e-324", "0.1", str(2**53)]),
    ({"type": "number", "minimum": 0, "maximum": 1}, "double!", ["0.25", "1", "1.0"]),
    ({"type": "number", "multipleOf": 0.5}, "double!", ["2.5"]),
    ({"type": "number", "maximum": 2**70}, "double!", [str(2**70), "1e-7"]),
    ({"type": ["number", "integer"]}, "double!", ["1", "1.5"]),
    ({"type": ["number", "null"]}, "double", ["null", "0.30000000000000004"]),
    ({"type": ["integer", "number", "null"]}, "double", ["null", "3"]),
    ({"enum": [1, 2.5]}, "double!", ["1", "2.5"]),
    ({"enum": [0.5, None]}, "double", ["null", "0.5"]),
    ({"const": 1.5}, "double!", ["1.5"]),
    ({"type": "number", "enum": [1, 2]}, "double!", ["1", "2.0"]),
    ({"type": "boolean"}, "bool!", ["true", "false"]),
    ({"type": ["null", "boolean"]}, "bool", ["null", "true"]),
    ({"enum": [True, False]}, "bool!", ["true", "false"]),
    ({"enum": [True, None]}, "bool", ["true", "null"]),
    ({"const": False}, "bool!", ["false"]),
]

STRINGS: list[tuple[Any, str, list[str]]] = [
    (STRING, "string!", ['""', '"a"', '"\\u0000"', '"\\ud83d\\ude00"', f'"{"x" * 100_000}"']),
    ({"type": "string", "minLength": 1, "maxLength": 3}, "string!", ['"abc"']),
    ({"type": "string", "pattern": "^[A-Z]{2}-\\d{3}$"}, "string!", ['"AB-123"']),
    ({"type": "string", "contentEncoding": "base64"}, "string!", ['"YWJj"']),
    ({"type": ["string", "null"]}, "string", ["null", '"null"', '""']),
    ({"type": "string", "not": {"const": "x"}}, "string!", ['"y"']),
    ({"type": "string", "if": {"minLength": 2}, "then": {"pattern": "^a"}}, "string!", ['"b"']),
    ({"type": "string", "minimum": 5}, "string!", ['"a"']),
    ({"type": "string", "x-unit": {"any": 1}, "description": "d"}, "string!", ['"a"']),
    (text("email"), "string!", ['"a@b.example"']),
    (text("uri"), "string!", ['"https://a.example/b"']),
    (text("ipv4"), "string!", ['"127.0.0.1"']),
    (text("hostname"), "string!", ['"a.example"']),
    (text("not-known"), "string!", ['"anything"']),
    (text("regex"), "string!", ['"a+"']),
    ({"enum": ["a", "b"]}, "enum!", ['"a"', '"b"']),
    ({"type": "string", "enum": ["b", "a", ""]}, "enum!", ['"a"', '""']),
    ({"enum": ["a", None]}, "enum", ["null", '"a"']),
    ({"type": ["string", "null"], "enum": ["a"]}, "enum!", ['"a"']),
    ({"type": "string", "enum": ["a", None]}, "enum!", ['"a"']),
    ({"type": "string", "enum": ["a", 1]}, "enum!", ['"a"']),
    ({"const": "a"}, "enum!", ['"a"']),
    ({"const": "a", "enum": ["a", "b"]}, "enum!", ['"a"']),
    ({"enum": ["é", "e\u0301", "A", "a"]}, "enum!", ['"é"', '"e\u0301"', '"A"', '"a"']),
    ({"type": "string", "format": "date", "enum": ["2024-01-01"]}, "enum!", ['"2024-01-01"']),
]

FORMATS: list[tuple[Any, str, list[str]]] = [
    (text("date"), "date!", ['"2024-02-29"', '"0001-01-01"', '"9999-12-31"', '"0000-02-29"']),
    ({"type": ["string", "null"], "format": "date"}, "date", ["null", '"1969-12-31"']),
    (
        text("date-time"),
        "ts",
        [
            '"2024-02-29T23:59:59Z"',
            '"2024-02-29T23:59:59.5Z"',
            '"2024-02-29T23:59:59.123456Z"',
            '"1969-12-31T23:59:59.999999Z"',
            '"0001-01-01T00:00:00Z"',
            '"9999-12-31T23:59:59.999999Z"',
        ],
    ),
    (
        text("date-time"),
        "ts",
        [
            '"2024-02-29T23:59:59Z"',
            '"2024-02-29t23:59:59z"',
            '"2024-02-29T23:59:59.50Z"',
            '"2024-02-29T23:59:59.000Z"',
            '"2024-02-29T23:59:59.1234567Z"',
            '"2024-02-29T23:59:59.1234567890123Z"',
            '"2024-02-29T23:59:59+00:00"',
            '"2024-02-29T23:59:59-00:00"',
            '"2024-02-29T23:59:59.25+05:30"',
            '"2016-12-31T23:59:60Z"',
            '"2016-12-31T15:59:60.5-08:00"',
            '"0000-01-01T00:00:00Z"',
            '"0001-01-01T00:00:00+01:00"',
            '"9999-12-31T23:59:59-01:00"',
        ],
    ),
    ({"type": ["string", "null"], "format": "date-time"}, "ts", ["null", '"2024-01-01T00:00:00Z"']),
    (
        text("time"),
        "time",
        [
            '"00:00:00Z"',
            '"23:59:59.999999Z"',
            '"12:30:00.5+02:00"',
            '"00:30:00+02:00"',
            '"23:59:60Z"',
            '"12:00:00.1234567Z"',
            '"12:00:00z"',
        ],
    ),
    (
        text("duration"),
        "duration",
        [
            '"PT0S"',
            '"PT1M"',
            '"PT60S"',
            '"P1DT2H"',
            '"P1D"',
            '"PT24H"',
            '"P2W"',
            '"P1Y2M3D"',
            '"P1M"',
            '"P99999999999D"',
            '"PT1H2M3S"',
        ],
    ),
    (
        text("uuid"),
        "uuid!",
        [
            '"123e4567-e89b-12d3-a456-426614174000"',
            '"123E4567-e89b-12d3-a456-426614174000"',
            '"00000000-0000-0000-0000-000000000000"',
        ],
    ),
    (
        {"type": ["string", "null"], "format": "uuid"},
        "uuid",
        ["null", '"123e4567-e89b-12d3-a456-426614174000"'],
    ),
]
CASES = [*INTEGERS, *NUMBERS, *STRINGS, *FORMATS]


@pytest.mark.parametrize(
    ("schema", "expected", "texts"), CASES, ids=[json.dumps(case[0])[:60] for case in CASES]
)
def test_a_scalar_has_its_type_and_comes_back_equal(
    schema: Any, expected: str, texts: list[str]
) -> None:
    assert shown(field_of(schema)) == expected
    output = OutputSchema(with_property(schema))
    assert_round_trip(output, [f'{{"p": {each}}}' for each in texts])
    # Items have no column beside theirs for a text that has to be kept.
    inside = OutputSchema(with_property({"type": "array", "items": schema}))
    assert_round_trip(inside, [f'{{"p": [{", ".join(texts)}]}}', '{"p": []}'])


@pytest.mark.parametrize(
    ("name", "value", "moment"),
    [
        ("date-time", "2024-01-01T01:00:00+01:00", "2024-01-01 00:00:00+00:00"),
        ("date-time", "2024-01-01T00:00:00.5Z", "2024-01-01 00:00:00.500000+00:00"),
        ("date-time", "2016-12-31T23:59:60Z", "None"),
        ("date-time", "2024-01-01T00:00:00.0000001Z", "None"),
        ("date", "2024-02-29", "2024-02-29"),
        ("time", "00:30:00+02:00", "22:30:00"),
        ("duration", "P1DT1S", "1 day, 0:00:01"),
        ("duration", "P2W", "14 days, 0:00:00"),
        ("duration", "P1M", "None"),
        ("uuid", "123E4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"),
    ],
)
def test_a_format_is_a_value_that_can_be_computed_with(name: str, value: str, moment: str) -> None:
    output = OutputSchema(with_property(text(name)))
    row: Any = output.to_array([{"p": value}]).to_pylist()[0]
    assert str(row["p"]) == moment
    if name != "date":
        is_kept = moment == "None" or value == "P2W" or "+" in value or "E" in value
        assert row["p_text"] == (value if is_kept else None)
