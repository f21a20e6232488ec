from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import pyarrow.parquet as pq
import pytest
from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.testing import TestingSource, cluster_main, run_main
from outcome_samples import DAY_US, NEW_YEAR_2024_US, a_failure, a_gap, a_result, a_usage

from overshoot_flow.errors import ConfigurationError, SinkError
from overshoot_flow.flow import run
from overshoot_flow.results import Outcome
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.records import Dataset, RecordBatchOf, RecordBuilder
from overshoot_flow_connectors.parquet import ParquetSink
from overshoot_flow_connectors.parquet_files import DirectoryLock
from overshoot_flow_connectors.parquet_partition import STATE_FOLDER

EVERY_BATCH = timedelta(0)
ONE_LONG_EPOCH = timedelta(hours=1)


def flow_of(
    groups: Iterable[Any], sink: ParquetSink, output_schema: OutputSchema | None = None
) -> Dataflow:
    """A flow that writes each group of outcomes in one source batch; an exception is raised.

    Groups are taken one by one as the flow gets on.
    """
    builder = RecordBuilder(output_schema)

    def records(group: list[Outcome] | Exception) -> list[tuple[str, RecordBatchOf]]:
        if isinstance(group, Exception):
            raise group
        return [(each.stream_key, each) for each in builder.batches(group)]

    flow = Dataflow("test")
    stream = op.input("in", flow, TestingSource(groups, batch_size=1))
    op.output("out", op.flat_map("records", stream, records), sink)
    return flow


def numbered(count: int, **changes: Any) -> list[list[Outcome]]:
    return [[a_result(result_id=f"{index:03}", **changes)] for index in range(count)]


def files(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*.parquet"))


def ids(directory: Path) -> list[str]:
    tables = [pq.ParquetFile(file).read(columns=["result_id"]) for file in files(directory)]
    return sorted(id_ for table in tables for id_ in table.column(0).to_pylist())


def sink_error(caught: pytest.ExceptionInfo[Exception]) -> BaseException:
    error: BaseException = caught.value
    while error.__cause__ is not None and isinstance(error, BytewaxRuntimeError):
        error = error.__cause__
    return error


def test_a_run_that_ends_leaves_every_row_in_its_place_and_nothing_else(tmp_path: Path) -> None:
    outcomes = [a_result(), a_failure(), a_gap(), a_usage(at_us=NEW_YEAR_2024_US + DAY_US)]
    outcomes.append(a_result(captured_start_us=NEW_YEAR_2024_US - 1))
    run_main(flow_of([outcomes], ParquetSink(tmp_path)))
    places = [file.parent.relative_to(tmp_path).as_posix() for file in files(tmp_path)]
    assert places == [
        "dead_letters/date=2024-01-01/source=cam-1",
        "gaps/date=2024-01-01/source=cam-1",
        "results/date=2023-12-31/source=cam-1",
        "results/date=2024-01-01/source=cam-1",
        "usage/date=2024-01-02/source=cam-1",
    ]
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "dead_letters",
        "gaps",
        "results",
        "usage",
    ]


def test_files_are_compressed_checksummed_indexed_and_say_what_they_hold(tmp_path: Path) -> None:
    run_main(flow_of(numbered(3), ParquetSink(tmp_path)))
    (file,) = files(tmp_path)
    schema = pq.read_schema(file)
    assert not {"date", "source"} & set(schema.names)
    declared = RecordBuilder(None).schema(Dataset.RESULTS)
    # Parquet has another name for the entries of a map, so the metadata are compared apart.
    assert schema.equals(declared)
    assert schema.metadata == declared.metadata
    parquet = pq.ParquetFile(file, page_checksum_verification=True)
    assert parquet.read().column("result_id").to_pylist() == ["000", "001", "002"]
    column = parquet.metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert column.has_column_index
    assert column.has_offset_index
    assert column.statistics.max == "002"


def test_many_epochs_make_one_file(tmp_path: Path) -> None:
    run_main(flow_of(numbered(30), ParquetSink(tmp_path)), epoch_interval=EVERY_BATCH)
    (file,) = files(tmp_path)
    rows = pq.ParquetFile(file).read(columns=["result_id"])
    assert rows.column(0).to_pylist() == [f"{index:03}" for index in range(30)]


def test_a_file_is_published_when_it_has_enough_rows(tmp_path: Path) -> None:
    sink = ParquetSink(tmp_path, roll_rows=10)
    run_main(flow_of(numbered(25), sink), epoch_interval=EVERY_BATCH)
    counts = sorted(pq.read_metadata(file).num_rows for file in files(tmp_path))
    assert counts == [5, 10, 10]
    assert len(ids(tmp_path)) == 25


def test_a_file_is_published_when_it_is_large_enough(tmp_path: Path) -> None:
    sink = ParquetSink(tmp_path, roll_bytes=20_000)
    run_main(flow_of(numbered(60, raw_text="x" * 1_000), sink), epoch_interval=EVERY_BATCH)
    assert 2 < len(files(tmp_path)) < 30
    assert ids(tmp_path) == [f"{index:03}" for index in range(60)]


def test_a_file_is_published_when_it_is_old_enough(tmp_path: Path) -> None:
    seconds = itertools.count()
    sink = ParquetSink(
        tmp_path, roll_interval=timedelta(seconds=8), clock=lambda: float(next(seconds))
    )
    run_main(flow_of(numbered(30), sink), epoch_interval=EVERY_BATCH)
    assert 2 < len(files(tmp_path)) < 15
    assert ids(tmp_path) == [f"{index:03}" for index in range(30)]


def test_an_exception_leaves_the_rows_of_finished_epochs_and_no_others(tmp_path: Path) -> None:
    groups = [*numbered(5), [a_result(result_id="a"), a_gap()], ValueError("in the middle")]
    with pytest.raises(BytewaxRuntimeError):
        run_main(flow_of(groups, ParquetSink(tmp_path)), epoch_interval=EVERY_BATCH)
    # "a" and the gap are in a finished epoch of their own.
    assert ids(tmp_path / "results") == ["000", "001", "002", "003", "004", "a"]
    assert len(files(tmp_path / "gaps")) == 1
    assert not (tmp_path / STATE_FOLDER).exists()


@pytest.mark.parametrize("buffer_bytes", [1, 1 << 20], ids=["spilled", "in memory"])
def test_an_exception_in_the_first_epoch_leaves_nothing(tmp_path: Path, buffer_bytes: int) -> None:
    groups = [*numbered(5), ValueError("in the middle")]
    sink = ParquetSink(tmp_path, buffer_bytes=buffer_bytes)
    with pytest.raises(BytewaxRuntimeError):
        run_main(flow_of(groups, sink), epoch_interval=ONE_LONG_EPOCH)
    assert files(tmp_path) == []
    assert not (tmp_path / STATE_FOLDER).exists()


@pytest.mark.parametrize("fails_before", [False, True])
def test_what_closing_meets_fails_the_run_unless_it_has_failed_already(
    tmp_path: Path, *, fails_before: bool
) -> None:
    def groups() -> Iterator[list[Outcome] | Exception]:
        yield [a_result(result_id="a")]
        (own,) = (tmp_path / STATE_FOLDER).iterdir()
        (own / "run.json").write_text('{"run_id": "another", "durable": false}')
        if fails_before:
            yield ValueError("in the middle")

    flow = flow_of(groups(), ParquetSink(tmp_path))
    # The engine closes parts while it gives up: a second exception there would abort the process.
    with pytest.raises(BytewaxRuntimeError if fails_before else ConfigurationError) as caught:
        run(flow, epoch_interval=EVERY_BATCH)
    assert ("another run has begun" in str(sink_error(caught))) != fails_before
    assert ids(tmp_path) == []


def test_rows_beyond_the_memory_bound_are_written_once_each(tmp_path: Path) -> None:
    keys = [f"cam-{index % 3}" for index in range(60)]
    groups = [[a_result(result_id=f"{n:03}", stream_key=key)] for n, key in enumerate(keys)]
    for name, interval in (("one", ONE_LONG_EPOCH), ("many", EVERY_BATCH)):
        sink = ParquetSink(tmp_path / name, buffer_bytes=4000)
        run_main(flow_of(groups, sink), epoch_interval=interval)
        assert ids(tmp_path / name) == [f"{index:03}" for index in range(60)]
        assert len(files(tmp_path / name)) == 3


def test_nothing_is_visible_before_its_epoch_ends(tmp_path: Path) -> None:
    part = ParquetSink(tmp_path, roll_rows=1, buffer_bytes=1).build_part("out", "part-0", None)
    batches = RecordBuilder(None).batches([a_result(result_id="a")])
    part.write_batch(batches)
    part.snapshot()
    part.snapshot()
    assert ids(tmp_path) == ["a"]
    part.write_batch(RecordBuilder(None).batches([a_result(result_id="b")]))
    part.close()
    assert ids(tmp_path) == ["a"]


def test_a_fresh_run_clears_what_a_dead_one_left_and_adds_its_rows(tmp_path: Path) -> None:
    leftover = tmp_path / STATE_FOLDER / "test.out.part-0000" / "log-0"
    foreign = tmp_path / STATE_FOLDER / "other.out.part-0000" / "log-0"
    for file in (leftover, foreign):
        file.parent.mkdir(parents=True)
        file.write_bytes(b"torn")
    for _ in range(2):
        run_main(flow_of(numbered(2), ParquetSink(tmp_path)))
    assert not leftover.exists()
    assert foreign.exists()
    assert ids(tmp_path / "results") == ["000", "000", "001", "001"]


def test_a_second_run_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path / STATE_FOLDER / "test.out.part-0000")
    with pytest.raises(BytewaxRuntimeError) as caught:
        run_main(flow_of(numbered(1), ParquetSink(tmp_path)))
    error = sink_error(caught)
    assert isinstance(error, ConfigurationError)
    assert "another run writes into" in str(error)
    lock.release()
    run_main(flow_of(numbered(1), ParquetSink(tmp_path)))
    assert ids(tmp_path) == ["000"]


def test_partitions_on_several_workers_write_each_row_once(tmp_path: Path) -> None:
    groups = [
        [a_result(result_id=f"{index:03}", stream_key=f"cam-{index % 7}")] for index in range(40)
    ]
    flow = flow_of(groups, ParquetSink(tmp_path, partitions=3))
    cluster_main(flow, [], 0, epoch_interval=EVERY_BATCH, worker_count_per_proc=2)
    assert ids(tmp_path) == [f"{index:03}" for index in range(40)]
    assert len(files(tmp_path)) == 7
    assert not (tmp_path / STATE_FOLDER).exists()


COUNT = OutputSchema({"type": "object", "properties": {"n": {"type": "integer"}}})
SAME_TYPE = OutputSchema({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}})
NAME = OutputSchema({"type": "object", "properties": {"n": {"type": "string"}}})


def test_rows_of_another_schema_are_refused_before_the_first_is_written(tmp_path: Path) -> None:
    run_main(flow_of(numbered(1, output={"n": 1}), ParquetSink(tmp_path), COUNT))
    run_main(flow_of(numbered(1, output={"n": 2}), ParquetSink(tmp_path), SAME_TYPE))
    assert ids(tmp_path) == ["000", "000"]
    groups = numbered(2, output={"n": "x"})
    with pytest.raises((BytewaxRuntimeError, ConfigurationError)) as caught:
        run_main(flow_of(groups, ParquetSink(tmp_path), NAME), epoch_interval=EVERY_BATCH)
    error = sink_error(caught)
    assert isinstance(error, ConfigurationError)
    assert "column output.n" in str(error)
    assert ids(tmp_path) == ["000", "000"]


def test_rows_of_two_schemas_in_one_sink_are_refused(tmp_path: Path) -> None:
    part = ParquetSink(tmp_path).build_part("out", "part-0", None)
    part.write_batch(RecordBuilder(COUNT).batches([a_result(output={"n": 1})]))
    with pytest.raises(ConfigurationError, match="column output"):
        part.write_batch(RecordBuilder(NAME).batches([a_result(output={"n": "x"})]))
    part.close()


def test_a_disk_error_names_the_path_and_is_never_half_a_file(tmp_path: Path) -> None:
    # A file in the place of the directory stops root as well, which permissions would not.
    blocker = tmp_path / "results" / "date=2024-01-01"
    blocker.parent.mkdir()
    blocker.write_text("in the way")
    with pytest.raises(BytewaxRuntimeError) as caught:
        run_main(flow_of([[a_result(), a_gap()]], ParquetSink(tmp_path, roll_rows=1)))
    error = sink_error(caught)
    assert isinstance(error, SinkError)
    assert str(blocker) in str(error)
    for file in files(tmp_path):
        pq.ParquetFile(file).read()


@pytest.mark.parametrize(
    "arguments",
    [
        {"partitions": 0},
        {"roll_rows": 0},
        {"roll_bytes": 0},
        {"buffer_bytes": 0},
        {"roll_interval": timedelta(seconds=-1)},
    ],
)
def test_impossible_arguments_are_refused_at_once(tmp_path: Path, arguments: Any) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(arguments))):
        ParquetSink(tmp_path, **arguments)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="is a file"):
        ParquetSink(tmp_path / "file")
