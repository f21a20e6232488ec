"""Iceberg and Delta sinks: real tables, also through lost epochs and lost notes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from bytewax.testing import cluster_main, run_main
from outcome_samples import DAY_US, NEW_YEAR_2024_US, a_failure, a_gap, a_result, a_usage
from table_support import EVERY_EPOCH, Tables, batches, flow_of, ids, present, rows_of

from overshoot_flow.errors import ConfigurationError, SinkError
from overshoot_flow.flow.running import RUN
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.keyed_records import KeyedRecordBuilder, schema_key
from overshoot_flow.schema.records import RecordBatchOf, RecordBuilder
from overshoot_flow_connectors import attempts
from overshoot_flow_connectors.parquet_partition import ParquetPartition
from overshoot_flow_connectors.two_phase_sink import TwoPhaseSink

WRITER = "flow.out.part-0000"


@pytest.fixture
def durable() -> Iterator[None]:
    """Build sinks as in a run with a state folder."""
    with RUN.begin(durable=True, heartbeat_keys=()):
        yield
        RUN._at_success.clear()


def opened(sink: TwoPhaseSink, state: dict[str, Any] | None = None) -> ParquetPartition:
    return sink.build_part("flow.out", "part-0000", state)


def write(kind: Tables, folder: Path, records: list[RecordBatchOf]) -> None:
    """A whole run, without a recovery state."""
    part = opened(kind.sink(folder))
    try:
        part.write_batch(records)
        part.snapshot()
    finally:
        part.close()


def test_every_dataset_has_a_table_with_its_rows_by_day(kind: Tables, tmp_path: Path) -> None:
    outcomes = [
        a_result(labels={"site": "north"}),
        a_result(captured_start_us=NEW_YEAR_2024_US - 1),
        a_failure(),
        a_gap(),
        a_usage(at_us=NEW_YEAR_2024_US + DAY_US),
    ]
    run_main(flow_of([RecordBuilder(None).batches(outcomes)], kind.sink(tmp_path)))
    days = {
        name: [day for (day,) in rows_of(kind, tmp_path, name, "date")]
        for name in ("results", "dead_letters", "gaps", "usage")
    }
    assert days == {
        "results": [date(2023, 12, 31), date(2024, 1, 1)],
        "dead_letters": [date(2024, 1, 1)],
        "gaps": [date(2024, 1, 1)],
        "usage": [date(2024, 1, 2)],
    }
    labels = rows_of(kind, tmp_path, "results", "date, labels['site']")
    assert labels[1] == (date(2024, 1, 1), "north")


def test_epochs_are_rolled_into_few_commits(kind: Tables, tmp_path: Path) -> None:
    sink = kind.sink(tmp_path, roll_rows=10)
    run_main(flow_of([batches(n, 1) for n in range(24)], sink), epoch_interval=EVERY_EPOCH)
    assert present(kind, tmp_path) == ids(24)
    # A gap comes with every result, and counts as a row.
    assert kind.commits(tmp_path, "results") == 5
    assert not (tmp_path / "staging" / "_state").exists()


def test_partitions_that_commit_at_once_lose_nothing(kind: Tables, tmp_path: Path) -> None:
    sink = kind.sink(tmp_path, partitions=3, roll_rows=4)
    flow = flow_of([batches(n, 3) for n in range(0, 30, 3)], sink)
    cluster_main(flow, [], 0, epoch_interval=EVERY_EPOCH, worker_count_per_proc=3)
    assert present(kind, tmp_path) == ids(30)
    assert kind.commits(tmp_path, "results") > 3


COUNT = OutputSchema({"type": "object", "properties": {"n": {"type": "integer"}}})
MORE = OutputSchema(
    {"type": "object", "properties": {"n": {"type": "integer"}, "why": {"type": "string"}}}
)
NAME = OutputSchema({"type": "object", "properties": {"n": {"type": "string"}}})
DEMANDING = OutputSchema(
    {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "m": {"type": "integer"}},
        "required": ["m"],
    }
)


def answer(number: int, schema: OutputSchema, output: dict[str, Any]) -> list[RecordBatchOf]:
    outcome = a_result(result_id=f"{number:05}", output=output)
    return RecordBuilder(schema).batches([outcome])


def test_nullable_columns_are_added_and_may_be_left_out_again(kind: Tables, tmp_path: Path) -> None:
    write(kind, tmp_path, answer(0, COUNT, {"n": 7}))
    write(kind, tmp_path, answer(1, MORE, {"n": 8, "why": "dark"}))
    write(kind, tmp_path, answer(2, COUNT, {"n": 9}))
    found = rows_of(kind, tmp_path, "results", "result_id, output.n, output.why")
    assert found == [("00000", 7, None), ("00001", 8, "dark"), ("00002", 9, None)]


@pytest.mark.parametrize(
    ("schema", "output", "column"),
    [(NAME, {"n": "x"}, "output.n"), (DEMANDING, {"n": 1, "m": 1}, "output.m")],
    ids=["another type", "new and not null"],
)
def test_rows_that_do_not_fit_are_refused_before_the_first(
    kind: Tables, tmp_path: Path, schema: OutputSchema, output: dict[str, Any], column: str
) -> None:
    write(kind, tmp_path, answer(0, COUNT, {"n": 7}))
    with pytest.raises(ConfigurationError, match=f"column {column} ") as refused:
        write(kind, tmp_path, answer(1, schema, output))
    assert "table results" in str(refused.value)
    assert present(kind, tmp_path) == ids(1)


@pytest.mark.usefixtures("durable")
def test_schemas_that_fit_wait_together_and_others_are_refused(
    kind: Tables, tmp_path: Path
) -> None:
    part = opened(kind.sink(tmp_path))
    part.write_batch(answer(0, COUNT, {"n": 7}))
    state = part.snapshot()
    part.close()
    part = opened(kind.sink(tmp_path), state)
    part.write_batch(answer(1, MORE, {"n": 8, "why": "dark"}))
    with pytest.raises(ConfigurationError, match=r"column output\.n "):
        part.write_batch(answer(2, NAME, {"n": "x"}))
    part.snapshot()
    part.close()
    part.finish()
    found = rows_of(kind, tmp_path, "results", "result_id, output.n, output.why")
    assert found == [("00000", 7, None), ("00001", 8, "dark")]


def test_each_output_schema_has_a_table_of_its_own(kind: Tables, tmp_path: Path) -> None:
    outcomes = [
        a_result(result_id="1", output={"n": 1}, schema_json=COUNT.canonical),
        a_result(result_id="2", output={"n": "x"}, schema_json=NAME.canonical),
        a_result(result_id="3"),
        a_gap(),
    ]
    write(kind, tmp_path, KeyedRecordBuilder().batches(outcomes))
    for schema, value in ((COUNT, 1), (NAME, "x")):
        table = f"results_{schema_key(schema.canonical)}"
        assert rows_of(kind, tmp_path, table, "output.n") == [(value,)]
    assert rows_of(kind, tmp_path, "results_text", "result_id") == [("3",)]
    assert len(rows_of(kind, tmp_path, "gaps", "date")) == 1


def test_a_schema_key_that_is_no_name_is_refused(kind: Tables, tmp_path: Path) -> None:
    (records,) = answer(0, COUNT, {"n": 1})
    with pytest.raises(ConfigurationError, match="cannot be a part of a table's name"):
        write(kind, tmp_path, [replace(records, schema_key="../x")])


@pytest.mark.usefixtures("durable")
def test_a_commit_whose_note_was_lost_is_not_repeated(kind: Tables, tmp_path: Path) -> None:
    part = opened(kind.sink(tmp_path, roll_rows=1))
    part.write_batch(batches(0, 4))
    state = part.snapshot()
    # What is staged now is committed, by the next snapshot; then everything since is lost.
    staged = tmp_path / "copy"
    folder = tmp_path / "staging" / "_state" / WRITER
    _copy(folder, staged)
    part.snapshot()
    part.close()
    assert present(kind, tmp_path) == ids(4)
    commits = kind.commits(tmp_path, "results")
    _copy(staged, folder)
    part = opened(kind.sink(tmp_path, roll_rows=1), state)
    part.close()
    assert present(kind, tmp_path) == ids(4)
    assert kind.commits(tmp_path, "results") == commits
    assert json.loads((folder / "published.json").read_text()) == {"sequence": 0}


@pytest.mark.usefixtures("durable")
def test_a_state_and_staging_older_than_the_table_are_refused(kind: Tables, tmp_path: Path) -> None:
    part = opened(kind.sink(tmp_path, roll_rows=1))
    part.write_batch(batches(0, 1))
    state = part.snapshot()
    folder = tmp_path / "staging" / "_state" / WRITER
    _copy(folder, tmp_path / "copy")
    part.write_batch(batches(1, 1))
    part.snapshot()
    part.snapshot()
    part.close()
    _copy(tmp_path / "copy", folder)
    with pytest.raises(ConfigurationError, match="older than table results"):
        opened(kind.sink(tmp_path, roll_rows=1), state)
    assert present(kind, tmp_path) == ids(2)


@pytest.mark.usefixtures("durable")
def test_staged_files_that_are_gone_are_an_error_that_names_them(
    kind: Tables, tmp_path: Path
) -> None:
    part = opened(kind.sink(tmp_path, roll_rows=1))
    part.write_batch(batches(0, 1))
    part.snapshot()
    for file in (tmp_path / "staging").rglob("*.parquet"):
        file.unlink()
    with pytest.raises(SinkError, match=r"part-.*\.parquet is gone"):
        part.snapshot()
    part.close()


def test_a_place_that_cannot_be_written_is_an_error_of_ours(
    kind: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind.obstruct(tmp_path)
    monkeypatch.setattr(attempts, "FIRST_PAUSE_S", 0.0)
    with pytest.raises(SinkError, match=r"table results|Delta tables|Iceberg namespace"):
        write(kind, tmp_path, batches(0, 1))


def test_arrow_schema_of_the_tables_is_exact(kind: Tables, tmp_path: Path) -> None:
    write(kind, tmp_path, answer(0, COUNT, {"n": 7}))
    rows = kind.read(tmp_path, "results")
    assert rows is not None
    assert rows.schema.field("received_at").type == pa.timestamp("us", "UTC")
    assert not rows.schema.field("result_id").nullable
    assert rows.schema.field("labels").type == pa.map_(pa.string(), pa.string())


def _copy(source: Path, target: Path) -> None:
    """Put files where others were; the folder itself, which is locked, stays."""
    target.mkdir(exist_ok=True)
    for path in target.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(source, target, dirs_exist_ok=True)
