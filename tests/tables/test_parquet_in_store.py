"""ParquetSink on an S3 server: whole objects, each row once, through crashes and outages."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from bytewax.testing import run_main
from outcome_samples import a_result, a_usage
from pyarrow.fs import FileSelector, FileSystem, FileType
from rtsp_support import free_port
from s3_support import SECRET, text_files
from table_support import batches, flow_of, ids

from overshoot_flow.errors import ConfigurationError, StorageError
from overshoot_flow.flow.running import RUN
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.keyed_records import KeyedRecordBuilder
from overshoot_flow.schema.records import RecordBuilder
from overshoot_flow_connectors import attempts
from overshoot_flow_connectors.parquet import ParquetSink
from overshoot_flow_connectors.parquet_partition import ParquetPartition

pytestmark = pytest.mark.xdist_group("s3")


def store_of(bucket: str) -> FileSystem:
    store, _ = FileSystem.from_uri(f"s3://{bucket}")
    return store


def objects(bucket: str) -> list[str]:
    found = store_of(bucket).get_file_info(FileSelector(f"{bucket}/out", recursive=True))
    return sorted(each.path for each in found if each.type is FileType.File)


def visible(bucket: str) -> list[str]:
    """Every object must be a whole Parquet file."""
    found: list[str] = []
    store = store_of(bucket)
    selector = FileSelector(f"{bucket}/out/results", recursive=True, allow_not_found=True)
    for info in store.get_file_info(selector):
        if info.type is FileType.File:
            with store.open_input_file(info.path) as file:
                found += pq.ParquetFile(file).read(columns=["result_id"]).column(0).to_pylist()
    return sorted(found)


def sink_of(bucket: str, staging: Path, **options: Any) -> ParquetSink:
    return ParquetSink(f"s3://{bucket}/out", staging=staging, **options)


def opened(sink: ParquetSink, state: dict[str, Any] | None = None) -> ParquetPartition:
    return sink.build_part("flow.out", "part-0000", state)


def test_a_run_leaves_the_same_files_as_on_a_disk(bucket: str, tmp_path: Path) -> None:
    odd = [a_result(result_id="odd", stream_key="dock/é 1=2")]
    groups = [batches(0, 4), RecordBuilder(None).batches(odd)]
    run_main(flow_of(groups, sink_of(bucket, tmp_path / "staging")))
    run_main(flow_of(groups, ParquetSink(tmp_path / "out")))
    there = {Path(path).relative_to(f"{bucket}/out").parent for path in objects(bucket)}
    on_disk = {
        path.relative_to(tmp_path / "out").parent for path in (tmp_path / "out").rglob("*.parquet")
    }
    assert there == on_disk
    rows = ds.dataset(
        f"{bucket}/out/results", filesystem=store_of(bucket), partitioning="hive"
    ).to_table()
    assert sorted(rows.column("result_id").to_pylist()) == [*ids(4), "odd"]
    assert not (tmp_path / "staging" / "_state").exists()


def test_rows_of_many_streams_share_an_object_and_other_partitions_are_refused(
    bucket: str, tmp_path: Path
) -> None:
    clips = [a_result(result_id=f"{n}", stream_key=f"clips-0-{n}") for n in range(9)]
    group = RecordBuilder(None).batches(clips)
    run_main(flow_of([group], sink_of(bucket, tmp_path, partition_by=("date",))))
    (path,) = objects(bucket)
    assert path.startswith(f"{bucket}/out/results/date=2024-01-01/part-")
    rows = ds.dataset(
        f"{bucket}/out/results", filesystem=store_of(bucket), partitioning="hive"
    ).to_table()
    assert set(rows.column("stream_key").to_pylist()) == {each.stream_key for each in clips}
    part = opened(sink_of(bucket, tmp_path))
    with pytest.raises(ConfigurationError, match=f"s3://{bucket}/out/results is partitioned by"):
        part.write_batch(RecordBuilder(None).batches([a_usage()]))
    part.close()
    run_main(flow_of([batches(0, 2)], sink_of(bucket, tmp_path, partition_by=("date",))))
    assert len(objects(bucket)) == 3


@pytest.mark.parametrize("seed", range(2))
def test_random_crashes_lose_and_double_nothing(bucket: str, seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    durable: tuple[int, Any] = (0, None)
    total = 20
    with RUN.begin(durable=True, heartbeat_keys=()):
        for life in range(100):
            part = opened(sink_of(bucket, tmp_path, roll_rows=4), durable[1])
            written = durable[0]
            newest = durable
            while written < total and (life > 20 or chance.random() > 0.2):
                count = min(chance.randrange(1, 5), total - written)
                part.write_batch(batches(written, count))
                written += count
                durable, newest = newest, (written, part.snapshot())
            part.close()
            assert (there := visible(bucket)) == ids(len(there))
            if written == total:
                durable = newest
                part.finish()
                break
            durable = chance.choice([durable, newest])
        RUN._at_success.clear()
    assert visible(bucket) == ids(total)


def test_a_file_that_was_put_before_a_crash_is_not_put_again(bucket: str, tmp_path: Path) -> None:
    with RUN.begin(durable=True, heartbeat_keys=()):
        part = opened(sink_of(bucket, tmp_path, roll_rows=1))
        part.write_batch(batches(0, 1)[:1])
        part.snapshot()
        publish = part._destination.publish
        part._destination.publish = lambda publication: [publish(publication), 1 / 0]  # type: ignore[method-assign, assignment]  # a crash before the note
        with pytest.raises(ZeroDivisionError):
            part.snapshot()
        part._destination.publish = publish  # type: ignore[method-assign]  # as above
        (path,) = objects(bucket)
        before = store_of(bucket).get_file_info(path).mtime_ns
        # Another answer in the place of the file would show that it was put again.
        with store_of(bucket).open_output_stream(path) as stream:
            stream.write(b"mine")
        part.snapshot()
        part.close()
        RUN._at_success.clear()
    assert before
    assert store_of(bucket).get_file_info(path).size == len(b"mine")


def test_a_store_that_is_away_ends_the_run_and_loses_nothing(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "MAX_ATTEMPTS", 1)
    with RUN.begin(durable=True, heartbeat_keys=()):
        part = opened(sink_of(bucket, tmp_path, roll_rows=1))
        part.write_batch(batches(0, 3))
        state = part.snapshot()
        part.close()
        with monkeypatch.context() as away:
            away.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
            with pytest.raises(StorageError, match=f"s3://{bucket}/out/") as caught:
                opened(sink_of(bucket, tmp_path, roll_rows=1), state)
        assert SECRET not in str(caught.value)
        assert visible(bucket) == []
        part = opened(sink_of(bucket, tmp_path, roll_rows=1), state)
        part.close()
        RUN._at_success.clear()
    assert visible(bucket) == ids(3)
    assert SECRET not in text_files(tmp_path)


COUNT = OutputSchema({"type": "object", "properties": {"n": {"type": "integer"}}})
NAME = OutputSchema({"type": "object", "properties": {"n": {"type": "string"}}})


def test_rows_that_do_not_go_with_the_files_in_the_store_are_refused(
    bucket: str, tmp_path: Path
) -> None:
    first = RecordBuilder(COUNT).batches([a_result(result_id="1", output={"n": 1})])
    run_main(flow_of([first], sink_of(bucket, tmp_path)))
    part = opened(sink_of(bucket, tmp_path))
    with pytest.raises(ConfigurationError, match=r"column output\.n ") as refused:
        part.write_batch(RecordBuilder(NAME).batches([a_result(output={"n": "x"})]))
    assert f"s3://{bucket}/out/results " in str(refused.value)
    with pytest.raises(ConfigurationError, match="for all rows or for none"):
        part.write_batch(KeyedRecordBuilder().batches([a_result()]))
    part.close()
    assert visible(bucket) == ["1"]


def test_a_bucket_that_does_not_exist_is_an_error_that_names_it(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "MAX_ATTEMPTS", 1)
    sink = sink_of(f"{bucket}-not", tmp_path)
    part = opened(sink)
    part.write_batch(batches(0, 1))
    part.snapshot()
    with pytest.raises(StorageError, match=f"s3://{bucket}-not/out"):
        part.close()


@pytest.mark.parametrize(
    ("directory", "staging", "said"),
    [
        ("s3://bucket/out", None, "name a folder for them as staging"),
        ("out", "staging", "leave staging out"),
        ("s3://", "staging", "names no bucket"),
        ("s3://key:hidden@bucket/out", "staging", "leave them to the environment"),
        ("s3://key:hid/hidden@bucket/out", "staging", "leave them to the environment"),
    ],
)
def test_impossible_arguments_are_refused_at_once(
    directory: str, staging: str | None, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        ParquetSink(directory, staging=staging)
    assert "hidden" not in str(refused.value)
