"""Several versions of a dataset's columns: what may change, and that readers see one dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from outcome_samples import a_result

from overshoot_flow.errors import ConfigurationError, SinkError
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.records import RecordBuilder
from overshoot_flow_connectors.parquet import ParquetSink
from overshoot_flow_connectors.parquet_partition import ParquetPartition
from overshoot_flow_connectors.parquet_rolling import Rolling
from overshoot_flow_connectors.parquet_versions import (
    known_versions,
    version_conflict,
)

INTEGER = {"type": "integer"}
TEXT = {"type": "string"}
CLOSED = {"type": "object", "additionalProperties": False}
BOX = {**CLOSED, "properties": {"x": INTEGER}, "required": ["x"]}
NAMED_BOX = {**BOX, "properties": {"x": INTEGER, "name": TEXT}}
ROLLING = Rolling(rows=1000, log_bytes=1 << 30, interval_s=1000.0, buffer_bytes=1 << 20)


def schema(required: tuple[str, ...] = ("n",), **properties: Any) -> OutputSchema:
    return OutputSchema(
        {**CLOSED, "properties": {"n": INTEGER, **properties}, "required": list(required)}
    )


def sample(described: Any) -> Any:
    """A document of such a schema."""
    match described["type"]:
        case "object":
            return {name: sample(each) for name, each in described["properties"].items()}
        case "array":
            return [sample(described["items"])]
        case "integer":
            return 1
        case "string":
            return "a"
    return None


FIRST = schema(boxes={"type": "array", "items": BOX})
SECOND = schema(boxes={"type": "array", "items": NAMED_BOX}, plate=TEXT)


def write(directory: Path, output_schema: OutputSchema | None, **result: Any) -> None:
    part = ParquetSink(directory).build_part("out", "part-0000", None)
    written = {"output": None if output_schema is None else sample(output_schema.document)}
    written |= result
    try:
        part.write_batch(RecordBuilder(output_schema).batches([a_result(**written)]))
        part.snapshot()
    finally:
        part.close()


def written(directory: Path) -> list[str]:
    return sorted(str(each) for each in (directory / "results").rglob("*.parquet"))


@pytest.mark.parametrize("newest_first", [True, False])
def test_versions_with_more_and_fewer_nullable_columns_are_read_as_one(
    tmp_path: Path, *, newest_first: bool
) -> None:
    first = {"n": 1, "boxes": [{"x": 1}]}
    second = {"n": 2, "boxes": [{"x": 2, "name": "b"}], "plate": "p"}
    runs = [(FIRST, first), (SECOND, second), (None, None), (FIRST, first)]
    for output_schema, output in reversed(runs) if newest_first else runs:
        write(tmp_path, output_schema, output=output, result_id=str(output))
    seen = [
        {"n": 1, "boxes": [{"x": 1, "name": None}], "plate": None},
        {"n": 1, "boxes": [{"x": 1, "name": None}], "plate": None},
        second,
        None,
    ]
    files = written(tmp_path)
    rows = duckdb.sql(
        f"select output from read_parquet({files}, union_by_name = true) "  # noqa: S608 - own files
        "order by output.n nulls last"
    )
    assert [output for (output,) in rows.fetchall()] == seen
    frame = pl.concat([pl.scan_parquet(each) for each in files], how="diagonal_relaxed").collect()
    outputs = frame.sort(pl.col("output").struct.field("n"), nulls_last=True)["output"].to_list()
    assert outputs == seen
    united = pa.unify_schemas([pq.read_schema(each) for each in files])
    table = ds.dataset(files, schema=united).to_table()
    assert sorted(map(str, table.column("output").to_pylist())) == sorted(map(str, seen))


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (schema(), schema(n={"type": "string"}), "output.n is int64"),
        (schema(), schema(("n", "m"), m=INTEGER), r"output\.m \(int64 not null\) is new"),
        (schema(("n", "m"), m=INTEGER), schema(), r"output\.m \(int64 not null\) is missing"),
        (schema(), schema(()), "output.n is int64 not null there and int64 now"),
        (schema(()), schema(), "output.n is int64 there and int64 not null now"),
        (schema(b=BOX), schema(b=INTEGER), "output.b is struct"),
        (schema(b=BOX), schema(b={**BOX, "properties": {"x": TEXT}}), "output.b.x is"),
        (
            schema(b={"type": "array", "items": BOX}),
            schema(b={"type": "array", "items": {**NAMED_BOX, "required": ["x", "name"]}}),
            r"output\.b\[\]\.name \(string not null\) is new",
        ),
        (
            schema(b={"type": "array", "items": BOX}),
            schema(b={"type": "array", "items": INTEGER}),
            r"output\.b\[\] is struct",
        ),
        (
            schema(b={"type": "array", "items": {"type": ["integer", "null"]}}),
            schema(b={"type": "array", "items": INTEGER}),
            r"output\.b\[\] is int64 there and int64 not null now",
        ),
    ],
)
def test_another_column_is_named_before_the_first_row_is_written(
    before: OutputSchema, now: OutputSchema, words: str, tmp_path: Path
) -> None:
    write(tmp_path, before)
    files = written(tmp_path)
    with pytest.raises(ConfigurationError, match=f"column {words}"):
        write(tmp_path, now)
    assert written(tmp_path) == files


def test_a_column_is_compared_with_every_version_that_is_there(tmp_path: Path) -> None:
    write(tmp_path, FIRST)
    write(tmp_path, SECOND)
    other = schema(boxes={"type": "array", "items": BOX}, plate=INTEGER)
    assert version_conflict(pa.schema(FIRST.arrow_type), pa.schema(other.arrow_type)) is None
    with pytest.raises(ConfigurationError, match=r"column output\.plate"):
        write(tmp_path, other)


def test_one_file_of_each_version_is_opened(tmp_path: Path) -> None:
    for output_schema in (FIRST, SECOND, FIRST):
        write(tmp_path, output_schema)
    results = tmp_path / "results"
    versions = known_versions(results)
    assert len(versions) == 2
    fields = [each.field("output").type.num_fields for each in versions.values()]
    assert sorted(fields) == [2, 3]
    file = next(results.rglob("*.parquet"))
    # Last in the order of names, and of a version that is known by then.
    broken = file.with_name(f"zz-{file.name}")
    broken.write_bytes(b"no Parquet file")
    assert known_versions(results) == versions
    broken.rename(file.with_name("unnamed.parquet"))
    with pytest.raises(SinkError, match="unnamed"):
        known_versions(results)


def test_a_run_goes_on_with_a_changed_schema_behind_rows_that_wait(tmp_path: Path) -> None:
    part = ParquetPartition(tmp_path, "w", None, ROLLING, lambda: 0.0)
    part.write_batch(RecordBuilder(FIRST).batches([a_result(output={"n": 1, "boxes": []})]))
    state = part.snapshot()
    part.close()
    part = ParquetPartition(tmp_path, "w", state, ROLLING, lambda: 0.0)
    for n in (2, 3):
        part.write_batch(RecordBuilder(SECOND).batches([a_result(output={"n": n, "boxes": []})]))
        part.write_batch(RecordBuilder(FIRST).batches([a_result(output={"n": -n, "boxes": []})]))
    part.snapshot()
    part.close()
    part.finish()
    files = written(tmp_path)
    assert len(files) == 2
    rows = duckdb.sql(f"select output.n from read_parquet({files}, union_by_name = true)")  # noqa: S608
    assert sorted(rows.fetchall()) == [(-3,), (-2,), (1,), (2,), (3,)]


def test_maps_and_dictionaries_are_compared_by_what_they_hold() -> None:
    small, big = (
        pa.struct([pa.field(name, pa.int64()) for name in names]) for names in ("a", "ab")
    )
    pairs: list[tuple[pa.DataType, pa.DataType, bool]] = [
        (pa.map_(pa.string(), small), pa.map_(pa.string(), big), True),
        (pa.map_(pa.string(), small), pa.map_(pa.string(), pa.int64()), False),
        (pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int16(), pa.string()), True),
        (pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int8(), pa.int64()), False),
        (pa.list_(small), pa.large_list(small), False),
        (pa.int8(), pa.int16(), False),
    ]
    for before, now, fits in pairs:
        conflict = version_conflict(pa.schema({"c": before}), pa.schema({"c": now}))
        assert (conflict is None) is fits, (before, now)
