"""DuckDB, Polars and pyarrow read what the sink wrote, each with one call."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.dataset as ds
import pytest
from outcome_samples import NEW_YEAR_2024_US, a_result

from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.records import RecordBuilder
from overshoot_flow_connectors.parquet import ParquetSink
from overshoot_flow_connectors.parquet_files import partition_value

SCHEMA = OutputSchema(
    {
        "type": "object",
        "properties": {
            "count": {"type": "integer"},
            "seen": {"type": ["string", "null"], "format": "date-time"},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
            "box": {
                "anyOf": [
                    {
                        "type": "object",
                        "properties": {"w": {"type": "number"}},
                        "required": ["w"],
                        "additionalProperties": False,
                    },
                    {"type": "null"},
                ]
            },
        },
        "required": ["count", "tags"],
    }
)
ODD_KEY = "rtsp://h/a b=%2F?é*[x]#\"'"
LONG_KEY = "é" * 300
OUTPUTS: dict[str, Any] = {
    "plain": {"count": 2**53 + 1, "seen": "2024-05-06T07:08:09.123456+02:00", "tags": ["a", "b"]},
    ODD_KEY: {"count": -1, "tags": [], "box": {"w": 0.1}},
    LONG_KEY: {"count": 0, "seen": None, "tags": ["b"], "box": None},
}

Row = dict[str, Any]


def by_duckdb(directory: Path) -> list[Row]:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        rows = connection.sql(f"from '{directory}/**/*.parquet'").to_arrow_table().to_pylist()
    return list(rows)


def by_polars(directory: Path) -> list[Row]:
    return pl.scan_parquet(directory).collect().to_dicts()


def by_pyarrow(directory: Path) -> list[Row]:
    rows = ds.dataset(directory, partitioning="hive").to_table().to_pylist()
    return [{**row, "date": date.fromisoformat(row["date"])} for row in rows]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Two runs, so that every key has two files."""
    for run in ("1", "2"):
        part = ParquetSink(tmp_path / "out").build_part("out", "part-0", None)
        part.write_batch(
            RecordBuilder(SCHEMA).batches(
                [
                    a_result(
                        result_id=run,
                        stream_key=key,
                        output=output,
                        captured_start_us=NEW_YEAR_2024_US + 5,
                    )
                    for key, output in OUTPUTS.items()
                ]
            )
        )
        part.snapshot()
        part.close()
    return tmp_path / "out" / "results"


@pytest.mark.parametrize("read", [by_duckdb, by_polars, by_pyarrow])
def test_a_reader_sees_every_row_with_its_types(
    directory: Path, read: Callable[[Path], list[Row]]
) -> None:
    rows = read(directory)
    assert sorted((row["result_id"], row["stream_key"]) for row in rows) == sorted(
        (run, key) for run in ("1", "2") for key in OUTPUTS
    )
    for row in rows:
        output = OUTPUTS[row["stream_key"]]
        seen = output.get("seen")
        assert row["output"] == {
            "count": output["count"],
            "seen": seen and datetime.fromisoformat(seen).astimezone(UTC),
            "tags": output["tags"],
            "seen_text": seen,
            "box": output.get("box"),
            "other_json": '{"seen":null,"box":null}' if output["count"] == 0 else None,
        }
        assert row["date"] == date(2024, 1, 1)
        assert row["captured_start"] == datetime(2024, 1, 1, 0, 0, 0, 5, tzinfo=UTC)
        assert row["media_end_us"] == 500_000
        assert row["ok"] is True
        if row["stream_key"] != LONG_KEY:
            assert row["source"] == row["stream_key"]


def test_a_partition_column_prunes_files(directory: Path) -> None:
    wanted = pl.scan_parquet(directory).filter(pl.col("source") == ODD_KEY).collect()
    assert wanted["stream_key"].to_list() == [ODD_KEY] * 2
    hits = duckdb.execute(
        f"select count(*) from '{directory}/**/*.parquet' where source = ?",  # noqa: S608
        [ODD_KEY],
    ).fetchall()
    assert hits == [(2,)]


def test_long_keys_get_different_directory_names_that_fit() -> None:
    names = [partition_value(LONG_KEY + end) for end in ("", "a", "b")]
    assert len(set(names)) == 3
    assert all(len(name) < 240 for name in names)
    assert partition_value("..") == ".."
    assert "/" not in partition_value("a/../b")
    assert partition_value("") == "__HIVE_DEFAULT_PARTITION__"
