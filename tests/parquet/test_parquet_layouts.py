"""`partition_by=("date",)`: rows of many streams share files, each row once, read by one call."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from outcome_samples import DAY_US, NEW_YEAR_2024_US, a_failure, a_gap, a_result, a_usage

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.running import RUN
from overshoot_flow.repair_level import Repair
from overshoot_flow.results import FailureReason, Outcome
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.keyed_records import KeyedRecordBuilder, schema_key
from overshoot_flow.schema.records import RecordBuilder
from overshoot_flow_connectors.parquet import ParquetSink
from overshoot_flow_connectors.parquet_files import BY_DATE, BY_DATE_AND_SOURCE, Layout
from overshoot_flow_connectors.parquet_partition import ParquetPartition
from overshoot_flow_connectors.parquet_replay import replay

COUNT = OutputSchema({"type": "object", "properties": {"n": {"type": "integer"}}})
KEYED = KeyedRecordBuilder()
Row = dict[str, Any]


def clips(first: int, count: int) -> list[Outcome]:
    """One row about each clip, as a topic of requests makes them."""
    return [
        a_result(result_id=f"{index:03}", stream_key=f"clips-0-{index}")
        for index in range(first, first + count)
    ]


def opened(directory: Path, layout: Layout, state: Any = None, **rolling: Any) -> ParquetPartition:
    sink = ParquetSink(directory, partition_by=layout, **rolling)
    return sink.build_part("out", "part-0000", state)


def write(directory: Path, outcomes: Sequence[Outcome], layout: Layout = BY_DATE) -> None:
    """A whole run, without a recovery state."""
    part = opened(directory, layout)
    part.write_batch(KEYED.batches(outcomes))
    part.snapshot()
    part.close()


def places(directory: Path) -> list[str]:
    found = directory.rglob("part-*.parquet")
    return sorted(file.parent.relative_to(directory).as_posix() for file in found)


def ids(directory: Path, dataset: str = "results") -> list[str]:
    files = sorted((directory / dataset).rglob("*.parquet"))
    tables = [pq.ParquetFile(file).read(columns=["result_id"]) for file in files]
    return sorted(identity for table in tables for identity in table.column(0).to_pylist())


def numbers(stop: int) -> list[str]:
    return [f"{index:03}" for index in range(stop)]


def test_rows_of_all_streams_share_a_file_per_dataset_schema_and_day(tmp_path: Path) -> None:
    typed = [
        a_result(
            result_id=f"t{index}",
            stream_key=f"clips-1-{index}",
            output={"n": index},
            schema_json=COUNT.canonical,
        )
        for index in range(20)
    ]
    later = a_result(result_id="later", captured_start_us=NEW_YEAR_2024_US + DAY_US)
    others = [a_failure(), a_failure(stream_key="b"), a_gap(), a_gap(stream_key="b"), a_usage()]
    write(tmp_path, [*clips(0, 300), *typed, later, *others])
    assert places(tmp_path) == sorted(
        [
            "dead_letters/date=2024-01-01",
            "gaps/date=2024-01-01",
            "results/schema=text/date=2024-01-01",
            "results/schema=text/date=2024-01-02",
            f"results/schema={schema_key(COUNT.canonical)}/date=2024-01-01",
            "usage/date=2024-01-01",
        ]
    )
    assert ids(tmp_path) == sorted([*numbers(300), *(f"t{n}" for n in range(20)), "later"])


def by_duckdb(directory: Path) -> list[Row]:
    return list(duckdb.sql(f"from '{directory}/**/*.parquet'").to_arrow_table().to_pylist())


def by_polars(directory: Path) -> list[Row]:
    return pl.scan_parquet(directory).collect().to_dicts()


def by_pyarrow(directory: Path) -> list[Row]:
    rows = ds.dataset(directory, partitioning="hive").to_table().to_pylist()
    return [{**row, "date": date.fromisoformat(row["date"])} for row in rows]


@pytest.mark.parametrize("read", [by_duckdb, by_polars, by_pyarrow])
def test_a_reader_sees_the_day_and_whose_row_it_is(
    tmp_path: Path, read: Callable[[Path], list[Row]]
) -> None:
    for start in (0, 5):
        part = opened(tmp_path, BY_DATE)
        part.write_batch(RecordBuilder(None).batches(clips(start, 5)))
        part.snapshot()
        part.close()
    rows = read(tmp_path / "results")
    assert sorted((row["stream_key"], row["result_id"]) for row in rows) == [
        (f"clips-0-{index}", f"{index:03}") for index in range(10)
    ]
    assert {row["date"] for row in rows} == {date(2024, 1, 1)}
    assert "source" not in rows[0]


def go_on_and_finish(folder: Path, layout: Layout, state: Any) -> None:
    """Write one row more in the next part of the run, which ends well."""
    part = opened(folder, layout, state)
    part.write_batch(KEYED.batches(clips(3, 1)))
    part.snapshot()
    part.close()
    part.finish()
    RUN._at_success.clear()


@pytest.mark.parametrize(
    ("begun", "other"), [(BY_DATE, BY_DATE_AND_SOURCE), (BY_DATE_AND_SOURCE, BY_DATE)]
)
def test_a_run_is_gone_on_with_the_partitions_that_its_waiting_rows_have(
    tmp_path: Path, begun: Layout, other: Layout
) -> None:
    with RUN.begin(durable=True, heartbeat_keys=()):
        part = opened(tmp_path, begun)
        part.write_batch(KEYED.batches(clips(0, 3)))
        state = part.snapshot()
        part.close()
        with pytest.raises(ConfigurationError, match="partition_by=") as refused:
            opened(tmp_path, other, state)
        assert f"partition_by={begun}" in str(refused.value)
        go_on_and_finish(tmp_path, begun, state)
    assert ids(tmp_path) == numbers(4)


def test_staged_rows_become_visible_before_rows_of_other_partitions_are_refused(
    tmp_path: Path,
) -> None:
    with RUN.begin(durable=True, heartbeat_keys=()):
        part = opened(tmp_path, BY_DATE_AND_SOURCE, roll_rows=1)
        part.write_batch(KEYED.batches(clips(0, 3)))
        state = part.snapshot()
        part.close()
        assert ids(tmp_path) == []
        part = opened(tmp_path, BY_DATE, state)
        with pytest.raises(ConfigurationError, match="partitioned by date and source"):
            part.write_batch(KEYED.batches(clips(3, 1)))
        part.close()
        go_on_and_finish(tmp_path, BY_DATE_AND_SOURCE, state)
    assert ids(tmp_path) == numbers(4)
    assert len(places(tmp_path)) == 4


@pytest.mark.parametrize(
    ("present", "other"), [(BY_DATE, BY_DATE_AND_SOURCE), (BY_DATE_AND_SOURCE, BY_DATE)]
)
def test_a_directory_of_other_partitions_is_refused_before_the_first_row_of_any_dataset(
    tmp_path: Path, present: Layout, other: Layout
) -> None:
    write(tmp_path, [a_gap()], present)
    before = places(tmp_path)
    with pytest.raises(ConfigurationError, match="/gaps is partitioned by date"):
        write(tmp_path, clips(0, 1), other)
    assert places(tmp_path) == before
    write(tmp_path, clips(0, 1), present)
    assert ids(tmp_path) == ["000"]


@pytest.mark.parametrize("seed", range(3))
def test_random_crashes_lose_and_double_nothing(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    durable: tuple[int, Any] = (0, None)
    total = 60
    with RUN.begin(durable=True, heartbeat_keys=()):
        for life in range(100):
            part = opened(tmp_path, BY_DATE, durable[1], roll_rows=7)
            written, newest = durable[0], durable
            while written < total and (life > 20 or chance.random() > 0.2):
                count = min(chance.randrange(1, 5), total - written)
                part.write_batch(KEYED.batches(clips(written, count)))
                written += count
                durable, newest = newest, (written, part.snapshot())
            part.close()
            assert (there := ids(tmp_path)) == numbers(len(there))
            if written == total:
                part.finish()
                break
            durable = chance.choice([durable, newest])
        RUN._at_success.clear()
    assert ids(tmp_path) == numbers(total)
    assert set(places(tmp_path)) == {"results/schema=text/date=2024-01-01"}
    assert len(places(tmp_path)) <= total // 7 + 1


@pytest.mark.parametrize("layout", [BY_DATE, BY_DATE_AND_SOURCE])
@pytest.mark.parametrize("builder", [KEYED, RecordBuilder(COUNT)], ids=["keyed", "declared"])
def test_replayed_dead_letters_go_where_the_rows_of_the_run_are(
    tmp_path: Path, layout: Layout, builder: KeyedRecordBuilder | RecordBuilder
) -> None:
    letters = [
        a_failure(
            result_id=f"{index:03}",
            stream_key=f"clips-0-{index}",
            raw_text="{'n': 1}",
            reason=FailureReason.NOT_JSON,
            schema_json=COUNT.canonical,
        )
        for index in range(20)
    ]
    part = opened(tmp_path, layout)
    part.write_batch(builder.batches(letters))
    part.snapshot()
    part.close()
    assert replay(tmp_path, repair=Repair.SINGLE_QUOTES).moved == 20
    again = replay(tmp_path, repair=Repair.SINGLE_QUOTES)
    assert (again.moved, again.done_before) == (0, 20)
    assert ids(tmp_path) == ids(tmp_path, "replays") == numbers(20)
    files = [each for each in places(tmp_path) if each.startswith("results/")]
    assert len(files) == (1 if layout == BY_DATE else 20)
    assert all(("/source=" in each) is (layout != BY_DATE) for each in files)
    # The next run finds what it would have written itself.
    part = opened(tmp_path, layout)
    part.write_batch(builder.batches([a_usage()]))
    part.snapshot()
    part.close()


@pytest.mark.parametrize("wrong", ["date", ("source",), ("source", "date"), ()])
def test_other_partitions_are_refused_at_once(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"it must be \('date', 'source'\) or \('date',\)"):
        ParquetSink(tmp_path, partition_by=wrong)
