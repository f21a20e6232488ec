"""Arrow's types in tables: values stay what they are, or are refused with their column."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from outcome_samples import a_result
from table_support import Tables

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.schema.records import RecordBatchOf, RecordBuilder
from overshoot_flow_connectors.table_types import storable_schema

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)

CASES: list[tuple[pa.DataType, Any, Any]] = [
    (pa.bool_(), True, True),
    (pa.int8(), -128, -128),
    (pa.int16(), 2**15 - 1, 2**15 - 1),
    (pa.int32(), -(2**31), -(2**31)),
    (pa.int64(), 2**63 - 1, 2**63 - 1),
    (pa.uint8(), 255, 255),
    (pa.uint16(), 2**16 - 1, 2**16 - 1),
    (pa.uint32(), 2**32 - 1, 2**32 - 1),
    (pa.uint64(), 2**64 - 1, Decimal(2**64 - 1)),
    (pa.float32(), 0.5, 0.5),
    (pa.float64(), 0.1, 0.1),
    (pa.string(), "é\x00", "é\x00"),
    (pa.large_string(), "x", "x"),
    (pa.string_view(), "x", "x"),
    (pa.binary(), b"\xff\x00", b"\xff\x00"),
    (pa.large_binary(), b"\xff", b"\xff"),
    (pa.binary(2), b"ab", b"ab"),
    (pa.date32(), date(1969, 12, 31), date(1969, 12, 31)),
    (pa.time64("us"), time(1, 2, 3, 4), "01:02:03.000004"),
    (pa.timestamp("us", "UTC"), NOON, NOON),
    (pa.timestamp("ms", "UTC"), NOON, NOON),
    (pa.timestamp("us"), datetime(2024, 1, 1), datetime(2024, 1, 1)),  # noqa: DTZ001 - a local time
    (pa.decimal128(38, 0), Decimal(10**37), Decimal(10**37)),
    (pa.decimal128(9, 2), Decimal("-1.25"), Decimal("-1.25")),
    (pa.dictionary(pa.int8(), pa.string()), "a", "a"),
    (pa.list_(pa.dictionary(pa.int8(), pa.string())), ["a", "b", "a"], ["a", "b", "a"]),
    (pa.list_(pa.field("x", pa.uint32(), nullable=False)), [1, 2**32 - 1], [1, 2**32 - 1]),
    (pa.large_list(pa.int64()), [1], [1]),
    (pa.map_(pa.string(), pa.uint8()), [("k", 255)], [("k", 255)]),
    (pa.struct([pa.field("odd name, with = signs", pa.uint8())]), None, None),
    (
        pa.list_(pa.struct([pa.field("t", pa.time64("us"), nullable=False)])),
        [{"t": time(1)}, None],
        [{"t": "01:00:00.000000"}, None],
    ),
    (pa.null(), None, None),
]


def records_of(columns: dict[str, pa.Array[Any]]) -> RecordBatchOf:
    """Results with further columns."""
    (records,) = RecordBuilder(None).batches([a_result()])
    batch = records.batch
    for name, column in columns.items():
        batch = batch.append_column(name, column)
    return replace(records, batch=batch)


def test_values_come_back_as_they_were(kind: Tables, tmp_path: Path) -> None:
    columns = {
        f"c{number}": pa.array([value], type=arrow_type)
        for number, (arrow_type, value, _) in enumerate(CASES)
    }
    part = kind.sink(tmp_path).build_part("flow.out", "part-0000", None)
    part.write_batch([records_of(columns)])
    part.snapshot()
    part.close()
    rows = kind.read(tmp_path, "results")
    assert rows is not None
    (row,) = rows.to_pylist()
    found = {f"c{number}": row[f"c{number}"] for number in range(len(CASES))}
    assert found == {f"c{number}": stored for number, (_, _, stored) in enumerate(CASES)}


@pytest.mark.parametrize(
    ("arrow_type", "column"),
    [
        (pa.timestamp("ns", "UTC"), "x"),
        (pa.duration("us"), "x"),
        (pa.decimal256(60, 0), "x"),
        (pa.struct([]), "x"),
        (pa.list_(pa.struct([pa.field("y", pa.month_day_nano_interval())])), r"x\[\]\.y"),
    ],
)
def test_what_no_table_holds_is_refused_with_its_column(
    arrow_type: pa.DataType, column: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"column {column} is "):
        storable_schema(pa.schema([pa.field("x", arrow_type)]))


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [("iceberg", "pyiceberg", "iceberg"), ("delta", "deltalake", "delta")],
)
def test_without_the_extra_the_text_says_how_to_install_it(
    module: str, package: str, extra: str
) -> None:
    program = (
        f"import sys; sys.modules[{package!r}] = None; import overshoot_flow_connectors.{module}"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert f'pip install "overshoot-flow[{extra}]"' in done.stderr
