"""Arrow → canonical JSON and its JSON Schema."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import jsonschema_rs
import pyarrow as pa
import pytest

from overshoot_flow.errors import UnsupportedSchemaError
from overshoot_flow_connectors.arrow_json import JsonRows

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
TABLE: list[tuple[pa.DataType, Any, Any]] = [
    (pa.bool_(), False, False),
    (pa.int64(), 2**63 - 1, 2**63 - 1),
    (pa.uint64(), 2**64 - 1, 2**64 - 1),
    (pa.float64(), 0.1, 0.1),
    (pa.float64(), float("nan"), "NaN"),
    (pa.float64(), float("-inf"), "-Infinity"),
    (pa.float16(), 0.5, 0.5),
    (pa.string(), 'ß"\n', 'ß"\n'),
    (pa.binary(), b"\xff", "/w=="),
    (pa.date32(), date(2026, 1, 31), "2026-01-31"),
    (pa.date64(), date(2026, 1, 31), "2026-01-31"),
    (pa.time64("us"), time(1, 2, 3, 4), "01:02:03.000004"),
    (pa.timestamp("us", "UTC"), NOON.replace(microsecond=1), "2026-01-31T12:00:00.000001Z"),
    (pa.timestamp("ms"), datetime(2026, 1, 31), "2026-01-31T00:00:00.000"),  # noqa: DTZ001 - local
    (pa.duration("us"), 5, 5),
    (pa.decimal128(12, 3), Decimal("0.100"), "0.100"),
    (pa.dictionary(pa.int8(), pa.string()), "x", "x"),
    (pa.list_(pa.timestamp("us", "UTC")), [NOON, None], ["2026-01-31T12:00:00.000000Z", None]),
    (pa.map_(pa.string(), pa.binary()), [("a", b"a")], {"a": "YQ=="}),
    (pa.map_(pa.int8(), pa.string()), [(1, None)], [{"key": 1, "value": None}]),
    (pa.struct([pa.field("d", pa.date32())]), {"d": date(2026, 1, 31)}, {"d": "2026-01-31"}),
]


@pytest.mark.parametrize(("arrow", "value", "said"), TABLE, ids=[str(row[:2]) for row in TABLE])
def test_every_type_has_a_json_form_that_fits_its_schema(
    arrow: pa.DataType, value: Any, said: Any
) -> None:
    schema = pa.schema([pa.field("v", arrow), pa.field("w", arrow, nullable=False)])
    form = JsonRows(schema, "test")
    rows = [{"v": None, "w": value}, {"v": value, "w": value}]
    documents = form.rows(pa.RecordBatch.from_pylist(rows, schema=schema))
    assert [json.loads(each) for each in documents] == [
        {"v": None, "w": said},
        {"v": said, "w": said},
    ]
    validator = jsonschema_rs.Draft7Validator(form.schema, validate_formats=True)
    for document in documents:
        validator.validate(json.loads(document))
    assert not validator.is_valid({"v": said, "w": None if said is not None else 1})


def test_equal_rows_are_equal_bytes() -> None:
    schema = pa.schema([pa.field("b", pa.string()), pa.field("a", pa.map_(pa.string(), pa.int8()))])
    form = JsonRows(schema, "test")
    rows = [{"b": "ü", "a": [("y", 1), ("x", 2)]}, {"b": "ü", "a": [("x", 2), ("y", 1)]}]
    documents = form.rows(pa.RecordBatch.from_pylist(rows, schema=schema))
    assert documents == ['{"a":{"x":2,"y":1},"b":"ü"}'.encode()] * 2


def test_a_type_without_a_form_is_named() -> None:
    schema = pa.schema([pa.field("a", pa.month_day_nano_interval())])
    with pytest.raises(UnsupportedSchemaError, match="/a: the column type month_day_nano"):
        JsonRows(schema, "r")
