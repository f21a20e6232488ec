"""Arrow → Avro: every type by table, and back through fastavro."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import fastavro
import pyarrow as pa
import pytest

from overshoot_flow.errors import UnsupportedSchemaError
from overshoot_flow_connectors.arrow_avro import AvroRows

NOON = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
POINT = pa.struct([pa.field("x", pa.int32(), nullable=False), pa.field("name", pa.string())])
DECIMAL: dict[str, Any] = {"type": "bytes", "logicalType": "decimal"}

TABLE: list[tuple[pa.DataType, Any, Any, Any]] = [
    (pa.bool_(), "boolean", True, True),
    (pa.int8(), "int", -128, -128),
    (pa.uint16(), "int", 65535, 65535),
    (pa.int32(), "int", -(2**31), -(2**31)),
    (pa.uint32(), "long", 2**32 - 1, 2**32 - 1),
    (pa.int64(), "long", -(2**63), -(2**63)),
    (pa.uint64(), {**DECIMAL, "precision": 20, "scale": 0}, 2**64 - 1, Decimal(2**64 - 1)),
    (pa.float16(), "float", 0.5, 0.5),
    (pa.float32(), "float", 0.25, 0.25),
    (pa.float64(), "double", 0.1, 0.1),
    (pa.string(), "string", "größe", "größe"),
    (pa.large_string(), "string", "x", "x"),
    (pa.binary(), "bytes", b"\x00\xff", b"\x00\xff"),
    (pa.binary(2), {"type": "fixed", "name": "r_v", "size": 2}, b"ab", b"ab"),
    (pa.date32(), {"type": "int", "logicalType": "date"}, date(2026, 1, 31), date(2026, 1, 31)),
    (pa.date64(), {"type": "int", "logicalType": "date"}, date(1969, 1, 1), date(1969, 1, 1)),
    (pa.time32("s"), {"type": "int", "logicalType": "time-millis"}, time(1, 2, 3), time(1, 2, 3)),
    (
        pa.time64("us"),
        {"type": "long", "logicalType": "time-micros"},
        time(1, 2, 3, 4),
        time(1, 2, 3, 4),
    ),
    (pa.timestamp("us", "UTC"), {"type": "long", "logicalType": "timestamp-micros"}, NOON, NOON),
    (
        pa.timestamp("s", "UTC"),
        {"type": "long", "logicalType": "timestamp-millis"},
        NOON.replace(microsecond=0),
        NOON.replace(microsecond=0),
    ),
    (
        pa.timestamp("ms"),
        {"type": "long", "logicalType": "local-timestamp-millis"},
        datetime(2026, 1, 31, 1),  # noqa: DTZ001 - a local time has no zone
        datetime(2026, 1, 31, 1),  # noqa: DTZ001
    ),
    (pa.duration("us"), {"type": "long", "arrow.unit": "us"}, 1_000_001, 1_000_001),
    (
        pa.decimal128(10, 3),
        {**DECIMAL, "precision": 10, "scale": 3},
        Decimal("-12.345"),
        Decimal("-12.345"),
    ),
    (pa.dictionary(pa.int8(), pa.string()), "string", "often", "often"),
    (
        pa.list_(pa.int64()),
        {"type": "array", "items": ["null", "long"]},
        [1, None, 3],
        [1, None, 3],
    ),
    (
        pa.list_(pa.field("item", pa.timestamp("us", "UTC"), nullable=False)),
        {"type": "array", "items": {"type": "long", "logicalType": "timestamp-micros"}},
        [NOON],
        [NOON],
    ),
    (
        pa.map_(pa.string(), pa.uint64()),
        {"type": "map", "values": ["null", {**DECIMAL, "precision": 20, "scale": 0}]},
        [("a", 1), ("b", None)],
        {"a": Decimal(1), "b": None},
    ),
    (
        pa.map_(pa.int32(), pa.string()),
        {
            "type": "array",
            "items": {
                "type": "record",
                "name": "r_v",
                "fields": [
                    {"name": "key", "type": "int"},
                    {"name": "value", "type": ["null", "string"], "default": None},
                ],
            },
        },
        [(1, "a")],
        [{"key": 1, "value": "a"}],
    ),
    (
        POINT,
        {
            "type": "record",
            "name": "r_v",
            "fields": [
                {"name": "x", "type": "int"},
                {"name": "name", "type": ["null", "string"], "default": None},
            ],
        },
        {"x": 1, "name": None},
        {"x": 1, "name": None},
    ),
]


def through_avro(schema: pa.Schema, rows: list[dict[str, Any]]) -> list[Any]:
    form = AvroRows(schema, "test.r")
    parsed = fastavro.parse_schema(form.schema)
    read = []
    for row in form.rows(pa.RecordBatch.from_pylist(rows, schema=schema)):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, parsed, row)
        out.seek(0)
        read.append(fastavro.schemaless_reader(out, parsed, None))
    return read


@pytest.mark.parametrize(
    ("arrow", "avro", "value", "read"), TABLE, ids=[str(row[0]) for row in TABLE]
)
def test_every_type_has_an_avro_form(arrow: pa.DataType, avro: Any, value: Any, read: Any) -> None:
    schema = pa.schema([pa.field("v", arrow, nullable=False)])
    (field,) = AvroRows(schema, "test.r").schema["fields"]
    assert field == {"name": "v", "type": avro}
    assert through_avro(schema, [{"v": value}]) == [{"v": read}]


@pytest.mark.parametrize("row", TABLE, ids=[str(row[0]) for row in TABLE])
def test_every_type_may_be_missing(row: tuple[pa.DataType, Any, Any, Any]) -> None:
    arrow, avro, value, read = row
    schema = pa.schema([pa.field("v", arrow)])
    (field,) = AvroRows(schema, "test.r").schema["fields"]
    assert field == {"name": "v", "type": ["null", avro], "default": None}
    assert through_avro(schema, [{"v": value}, {"v": None}]) == [{"v": read}, {"v": None}]


def test_nested_values_are_converted_at_every_level() -> None:
    inner = pa.struct([pa.field("größe", pa.uint64(), nullable=False), pa.field("at", pa.date64())])
    schema = pa.schema([pa.field("all", pa.list_(pa.map_(pa.string(), inner)))])
    day = date(2026, 1, 31)
    row = {"all": [[("k", {"größe": 7, "at": day})], None]}
    (read,) = through_avro(schema, [row])
    assert read == {"all": [{"k": {"gr__e": Decimal(7), "at": day}}, None]}


def test_names_that_avro_forbids_are_told_apart_and_kept_as_a_property() -> None:
    schema = pa.schema(
        [pa.field(name, pa.int64(), nullable=False) for name in ("a b", "a-b", "2nd", "ok")]
    )
    form = AvroRows(schema, "x.y.r")
    assert form.schema["name"] == "r"
    assert form.schema["namespace"] == "x.y"
    named = [(field["name"], field.get("arrow.name")) for field in form.schema["fields"]]
    assert named == [("a_b", "a b"), ("a_b_2", "a-b"), ("_2nd", "2nd"), ("ok", None)]
    (read,) = through_avro(schema, [{"a b": 1, "a-b": 2, "2nd": 3, "ok": 4}])
    assert read == {"a_b": 1, "a_b_2": 2, "_2nd": 3, "ok": 4}


def test_records_of_one_name_at_two_places_are_two_records() -> None:
    # a_b of the first column and a_b inside of the second would be one name.
    point = pa.struct([pa.field("b", POINT)])
    schema = pa.schema([pa.field("a", point), pa.field("a_b", POINT)])
    row = {"a": {"b": {"x": 1, "name": "p"}}, "a_b": {"x": 2, "name": None}}
    assert through_avro(schema, [row]) == [row]


def test_moments_outside_of_pythons_calendar_are_written() -> None:
    schema = pa.schema([pa.field("v", pa.timestamp("us", "UTC"), nullable=False)])
    batch = pa.RecordBatch.from_arrays(
        [pa.array([-(2**62)], pa.timestamp("us", "UTC"))], schema=schema
    )
    assert AvroRows(schema, "r").rows(batch) == [{"v": -(2**62)}]


def test_a_slice_has_its_own_rows() -> None:
    schema = pa.schema([pa.field("v", pa.list_(pa.uint64()))])
    batch = pa.RecordBatch.from_pylist([{"v": [1]}, {"v": [2]}, {"v": None}], schema=schema)
    assert AvroRows(schema, "r").rows(batch.slice(1)) == [{"v": [Decimal(2)]}, {"v": None}]


def test_a_type_without_a_form_is_named() -> None:
    schema = pa.schema([pa.field("a", pa.list_(pa.month_day_nano_interval()))])
    with pytest.raises(UnsupportedSchemaError, match=r"/a\[\]: the column type month_day_nano"):
        AvroRows(schema, "r")
