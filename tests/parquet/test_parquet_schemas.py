"""Results of several output schemas in one sink: a folder for each, which readers see typed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from outcome_samples import a_failure, a_gap, a_result, a_usage

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.results import Outcome
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.keyed_records import KeyedRecordBuilder, schema_key
from overshoot_flow.schema.records import RecordBuilder
from overshoot_flow_connectors.parquet import ParquetSink
from overshoot_flow_connectors.parquet_partition import ParquetPartition
from overshoot_flow_connectors.parquet_rolling import Rolling

ROLLING = Rolling(rows=5, log_bytes=1 << 30, interval_s=1000.0, buffer_bytes=1 << 20)
COUNT, NAME = (
    OutputSchema(
        {"type": "object", "properties": {"n": {"type": each}}, "additionalProperties": False}
    ).canonical
    for each in ("integer", "string")
)
KEYED = KeyedRecordBuilder()
LABELS = {"site": "north"}


def opened(directory: Path, state: dict[str, Any] | None = None) -> ParquetPartition:
    return ParquetPartition(directory, "flow.out.part-0000", state, ROLLING, lambda: 0.0)


def counted(first: int, count: int) -> list[Outcome]:
    return [
        a_result(result_id=f"{n}", output={"n": n}, schema_json=COUNT, labels=LABELS)
        for n in range(first, first + count)
    ]


def named(*names: str) -> list[Outcome]:
    return [a_result(result_id=each, output={"n": each}, schema_json=NAME) for each in names]


def write(directory: Path, outcomes: Sequence[Outcome]) -> None:
    """A whole run, without a recovery state."""
    part = ParquetSink(directory).build_part("out", "part-0000", None)
    part.write_batch(KEYED.batches(outcomes))
    part.snapshot()
    part.close()


def folder(directory: Path, schema_json: str | None) -> Path:
    return directory / "results" / f"schema={schema_key(schema_json)}"


def outputs(directory: Path, schema_json: str) -> list[Any]:
    files = sorted(folder(directory, schema_json).rglob("*.parquet"))
    found = [pq.ParquetFile(file).read(columns=["output"]).to_pylist() for file in files]
    return sorted(row["output"]["n"] for rows in found for row in rows)


def test_each_schema_has_its_folder_and_the_other_datasets_stay_as_they_are(
    tmp_path: Path,
) -> None:
    outcomes = [*counted(0, 1), *named("a"), a_result(), a_failure(), a_gap(), a_usage()]
    write(tmp_path, outcomes)
    places = {file.parent.relative_to(tmp_path) for file in tmp_path.rglob("part-*.parquet")}
    leaf = Path("date=2024-01-01", "source=cam-1")
    assert places == {
        *(folder(Path(), each) / leaf for each in (COUNT, NAME, None)),
        *(Path(each) / leaf for each in ("dead_letters", "gaps", "usage")),
    }


def test_a_log_of_two_schemas_goes_on_after_a_crash(tmp_path: Path) -> None:
    part = opened(tmp_path)
    part.write_batch(KEYED.batches([*counted(0, 2), *named("a")]))
    state = part.snapshot()
    part.write_batch(KEYED.batches([*counted(2, 2), *named("lost")]))
    part.snapshot()
    part.close()

    part = opened(tmp_path, state)
    part.write_batch(KEYED.batches([*counted(2, 2), *named("b")]))
    state = part.snapshot()
    assert list(tmp_path.glob("results/**/*.parquet")) == []
    part.close()

    part = opened(tmp_path, state)
    assert outputs(tmp_path, COUNT) == [0, 1, 2, 3]
    assert outputs(tmp_path, NAME) == ["a", "b"]
    part.write_batch(KEYED.batches([*named("c"), *counted(4, 1)]))
    part.snapshot()
    part.close()
    part.finish()
    assert outputs(tmp_path, COUNT) == [0, 1, 2, 3, 4]
    assert outputs(tmp_path, NAME) == ["a", "b", "c"]


def test_each_schema_is_guarded_apart_in_the_log_and_in_files(tmp_path: Path) -> None:
    part = opened(tmp_path)
    part.write_batch(KEYED.batches([*counted(0, 1), *named("a")]))
    state = part.snapshot()
    part.close()
    (records,) = KEYED.batches(counted(1, 1))
    (others,) = KEYED.batches(named("b"))
    wrong = replace(records, batch=others.batch)
    part = opened(tmp_path, state)
    with pytest.raises(ConfigurationError, match="column output") as refused:
        part.write_batch([wrong])
    assert str(folder(tmp_path, COUNT)) in str(refused.value)
    part.write_batch([records, others])
    part.snapshot()
    part.close()
    part.finish()
    fresh = ParquetPartition(tmp_path, "another", None, ROLLING, lambda: 0.0)
    with pytest.raises(ConfigurationError, match="column output"):
        fresh.write_batch([wrong])
    fresh.write_batch([records, others])
    fresh.close()


@pytest.mark.parametrize("waiting", ["in memory", "in the log", "in files"])
@pytest.mark.parametrize("keyed_first", [True, False])
def test_a_dataset_has_one_layout(waiting: str, tmp_path: Path, *, keyed_first: bool) -> None:
    text = [a_result()]
    batches = [KEYED.batches(text), RecordBuilder(None).batches(text)]
    first, second = batches if keyed_first else reversed(batches)
    part = opened(tmp_path)
    part.write_batch(first)
    if waiting != "in memory":
        state = part.snapshot()
        part.close()
        if waiting == "in files":
            part.finish()
        part = opened(tmp_path, state)
    with pytest.raises(ConfigurationError, match="inference for all rows or for none"):
        part.write_batch(second)
    part.close()


def test_readers_see_one_schema_typed(tmp_path: Path) -> None:
    for run in range(2):
        write(tmp_path, [*counted(run, 1), *named(f"{run}"), a_result()])
    key = schema_key(COUNT)
    files = f"{tmp_path}/results/schema={key}/**/*.parquet"
    rows = duckdb.sql(
        f"select schema, source, date::text, output.n + 1, labels['site'] from '{files}' order by 4"  # noqa: S608
    )
    expected = [(key, "cam-1", "2024-01-01", n + 1, "north") for n in range(2)]
    assert rows.fetchall() == expected
    assert str(duckdb.sql(f"select output.n from '{files}'").types[0]) == "BIGINT"  # noqa: S608

    seen = pl.scan_parquet(files, hive_partitioning=True).collect().sort(pl.col("output").struct[0])
    assert seen["output"].to_list() == [{"n": 0}, {"n": 1}]
    assert seen.schema["output"] == pl.Struct({"n": pl.Int64})
    assert seen["schema"].to_list() == [key] * 2
    names = pl.scan_parquet(folder(tmp_path, NAME)).collect()
    assert sorted(each["n"] for each in names["output"]) == ["0", "1"]


def test_readers_see_all_results_where_they_ask_for_what_is_common(tmp_path: Path) -> None:
    write(tmp_path, [*counted(0, 2), *named("a"), a_result()])
    files = f"{tmp_path}/results/**/*.parquet"
    rows = duckdb.sql(
        f"select schema, count(*) from read_parquet('{files}', union_by_name = true) group by 1"  # noqa: S608
    )
    found = dict(rows.fetchall())
    assert found == {schema_key(COUNT): 2, schema_key(NAME): 1, "text": 1}


@pytest.mark.parametrize("dataset", ["dead_letters", "gaps", "usage"])
def test_readers_see_every_other_dataset_as_one(dataset: str, tmp_path: Path) -> None:
    for key, result in (("cam-1", counted(0, 1)), ("cam-2", named("a"))):
        others = [make(stream_key=key, labels=LABELS) for make in (a_failure, a_gap, a_usage)]
        write(tmp_path, [*result, *others])
    files = f"{tmp_path}/{dataset}/**/*.parquet"
    rows = duckdb.sql(f"select source, labels['site'] from '{files}' order by 1")  # noqa: S608
    assert rows.fetchall() == [("cam-1", "north"), ("cam-2", "north")]
    seen = pl.scan_parquet(tmp_path / dataset).collect()
    assert sorted(seen["source"].to_list()) == ["cam-1", "cam-2"]
    assert seen["labels"].to_list() == [LABELS] * 2
