"""The two-phase sink through crashes: whatever is lost is written again, and nothing twice."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from outcome_samples import a_gap, a_result

from overshoot_flow.errors import ConfigurationError, SinkError
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.keyed_records import KeyedRecordBuilder
from overshoot_flow.schema.records import RecordBatchOf, RecordBuilder
from overshoot_flow_connectors.parquet_partition import ParquetPartition
from overshoot_flow_connectors.parquet_rolling import Rolling
from overshoot_flow_connectors.parquet_state import ParquetState

ROLLING = Rolling(rows=7, log_bytes=1 << 30, interval_s=1000.0, buffer_bytes=1 << 20)
BUILDER = RecordBuilder(None)


COUNT = OutputSchema({"type": "object", "properties": {"n": {"type": "integer"}}})
NAME = OutputSchema({"type": "object", "properties": {"n": {"type": "string"}}})


def rows(first: int, count: int) -> list[RecordBatchOf]:
    outcomes = [a_result(result_id=f"{number:05}") for number in range(first, first + count)]
    return BUILDER.batches([*outcomes, a_gap()])


def rows_of_two_schemas(first: int, count: int) -> list[RecordBatchOf]:
    outcomes = [
        a_result(
            result_id=f"{number:05}",
            output={"n": number} if number % 2 else None,
            schema_json=COUNT.canonical if number % 2 else None,
        )
        for number in range(first, first + count)
    ]
    return KeyedRecordBuilder().batches([*outcomes, a_gap()])


def visible(directory: Path) -> list[str]:
    return sorted(
        id_
        for file in directory.glob("results/**/*.parquet")
        for id_ in pq.ParquetFile(file).read(columns=["result_id"]).column(0).to_pylist()
    )


def ids(count: int) -> list[str]:
    return [f"{number:05}" for number in range(count)]


def opened(directory: Path, state: dict[str, Any] | None = None) -> ParquetPartition:
    return ParquetPartition(directory, "flow.out.part-0000", state, ROLLING, lambda: 0.0)


def test_rows_become_visible_one_snapshot_after_their_files_are_staged(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write_batch(rows(0, 7))
    state = ParquetState.from_plain(sink.snapshot())
    assert (state.sequence, state.staged, state.log_rows) == (1, (0,), 0)
    assert visible(tmp_path) == []
    assert ParquetState.from_plain(sink.snapshot()).staged == ()
    assert visible(tmp_path) == ids(7)
    sink.close()


def test_the_end_of_a_failed_run_publishes_nothing_and_of_a_good_one_everything(
    tmp_path: Path,
) -> None:
    sink = opened(tmp_path)
    sink.write_batch(rows(0, 3))
    sink.snapshot()
    sink.close()
    assert visible(tmp_path) == []
    sink.finish()
    assert visible(tmp_path) == ids(3)


def test_a_file_that_waited_long_enough_is_rolled_without_new_rows(tmp_path: Path) -> None:
    now_s = 0.0
    sink = ParquetPartition(tmp_path, "w", None, ROLLING, lambda: now_s)
    sink.write_batch(rows(0, 1))
    sink.snapshot()
    now_s = 1000.0
    assert ParquetState.from_plain(sink.snapshot()).staged == (0,)
    sink.snapshot()
    assert visible(tmp_path) == ids(1)
    sink.close()


def test_files_have_a_bloom_filter_on_the_result_id(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write_batch(rows(0, 7))
    sink.snapshot()
    sink.close()
    sink.finish()
    (file,) = tmp_path.glob("results/**/*.parquet")
    columns = pq.ParquetFile(file).metadata.row_group(0).to_dict()["columns"]
    filtered = [c["path_in_schema"] for c in columns if c["bloom_filter_length"]]
    assert filtered == ["result_id"]


@dataclass
class Engine:
    """Bytewax's part: which states are durable, and what is written again after a crash."""

    directory: Path
    chance: random.Random
    total: int
    rows: Callable[[int, int], list[RecordBatchOf]]
    durable: tuple[int, dict[str, Any] | None] = (0, None)

    def live_once(self) -> bool:
        """Run until a crash or the good end; return whether it was the end."""
        written, state = self.durable
        states = [self.durable]
        sink = opened(self.directory, state)
        while written < self.total:
            if self.chance.random() < 0.2:
                sink.close()
                return False
            count = min(self.chance.randrange(1, 5), self.total - written)
            sink.write_batch(self.rows(written, count))
            written += count
            if self.chance.random() < 0.6:
                states.append((written, sink.snapshot()))
                # The one before is durable now; the newest may or may not be by the crash.
                self.durable = states[-self.chance.choice((1, 2))]
                assert visible(self.directory) == ids(len(visible(self.directory)))
        self.durable = (written, sink.snapshot())
        sink.close()
        if self.chance.random() < 0.4:
            return False
        sink.finish()
        return True


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("of_rows", [rows, rows_of_two_schemas])
def test_random_crashes_lose_and_double_nothing(
    of_rows: Callable[[int, int], list[RecordBatchOf]], seed: int, tmp_path: Path
) -> None:
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    engine = Engine(tmp_path, chance, total=40, rows=of_rows)
    lives = 0
    while not engine.live_once():
        lives += 1
        assert lives < 200
    # Starting a run that has ended changes nothing, and completes what a crash interrupted.
    for _ in range(2):
        sink = opened(tmp_path, engine.durable[1])
        engine.durable = (engine.total, sink.snapshot())
        sink.close()
        sink.finish()
    assert visible(tmp_path) == ids(40)


def test_an_output_without_its_state_is_refused(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write_batch(rows(0, 2))
    sink.snapshot()
    sink.snapshot()
    sink.close()
    with pytest.raises(ConfigurationError, match="whose recovery state is not here"):
        opened(tmp_path)


def test_a_run_that_died_before_its_first_durable_state_begins_anew(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write_batch(rows(0, 2))
    sink.snapshot()
    sink.close()
    again = opened(tmp_path)
    again.write_batch(rows(0, 2))
    again.snapshot()
    again.close()
    again.finish()
    assert visible(tmp_path) == ids(2)


def test_a_run_of_one_epoch_is_not_begun_anew_without_its_state(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write_batch(rows(0, 2))
    sink.snapshot()
    sink.close()
    sink.finish()
    with pytest.raises(ConfigurationError, match="whose recovery state is not here"):
        opened(tmp_path)
    assert visible(tmp_path) == ids(2)


def test_staged_files_that_are_gone_are_an_error_that_names_them(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write_batch(rows(0, 7))
    state = sink.snapshot()
    sink.close()
    shutil.rmtree(next(tmp_path.glob("_state/*/staged-0")))
    with pytest.raises(SinkError, match=r"staged-0 of .* is gone"):
        opened(tmp_path, state)


@pytest.mark.parametrize("lost", ["*.parquet", "files.json"])
def test_one_staged_file_that_is_gone_is_an_error_that_names_it(lost: str, tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write_batch(rows(0, 7))
    state = sink.snapshot()
    sink.close()
    file = next((tmp_path / "_state").rglob(f"staged-0/**/{lost}"))
    file.unlink()
    with pytest.raises(SinkError, match="was never published: rows are missing") as refused:
        opened(tmp_path, state)
    assert str(file) in str(refused.value)
    assert visible(tmp_path) == []


def test_a_partition_without_rows_may_begin_anew(tmp_path: Path) -> None:
    # The engine takes no snapshot of it, so that the next part of the run has no state for it.
    for _ in range(2):
        sink = opened(tmp_path)
        sink.close()
        sink.finish()


def test_an_output_copied_back_from_before_the_state_is_refused(tmp_path: Path) -> None:
    sink = opened(tmp_path / "out")
    sink.write_batch(rows(0, 6))
    sink.snapshot()
    shutil.copytree(tmp_path / "out", tmp_path / "copy")
    sink.write_batch(rows(6, 1))
    sink.snapshot()
    state = sink.snapshot()
    sink.close()
    with pytest.raises(SinkError, match="rows are missing"):
        opened(tmp_path / "copy", state)


def test_rows_of_another_schema_never_follow_those_that_wait_in_the_log(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write_batch(RecordBuilder(COUNT).batches([a_result(output={"n": 1})]))
    state = sink.snapshot()
    sink.close()
    sink = opened(tmp_path, state)
    with pytest.raises(ConfigurationError, match=r"column output\.n"):
        sink.write_batch(RecordBuilder(NAME).batches([a_result(output={"n": "1"})]))
    sink.close()


def test_a_run_whose_output_was_taken_over_says_so_and_publishes_nothing(tmp_path: Path) -> None:
    one = opened(tmp_path)
    one.write_batch(rows(0, 2))
    one.snapshot()
    one.close()
    other = opened(tmp_path)
    with pytest.raises(ConfigurationError, match="another run has begun"):
        one.finish()
    other.close()
    assert visible(tmp_path) == []


def test_a_state_of_another_output_is_refused(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    sink = opened(one)
    state = sink.snapshot()
    sink.close()
    opened(other).close()
    with pytest.raises(ConfigurationError, match="not the output that this recovery state"):
        opened(other, state)
    shutil.rmtree(one)
    with pytest.raises(ConfigurationError, match="not the output that this recovery state"):
        opened(one, state)


@pytest.mark.parametrize("finished", [False, True])
def test_a_state_older_than_the_output_is_refused(tmp_path: Path, *, finished: bool) -> None:
    sink = opened(tmp_path)
    old = sink.snapshot()
    sink.write_batch(rows(0, 3 if finished else 7))
    sink.snapshot()
    sink.snapshot()
    sink.close()
    if finished:
        sink.finish()
    assert visible(tmp_path)
    with pytest.raises(ConfigurationError, match="older than the output"):
        opened(tmp_path, old)


def test_a_log_that_is_gone_is_an_error_that_names_it(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write_batch(rows(0, 3))
    state = sink.snapshot()
    sink.close()
    (log,) = tmp_path.glob("_state/*/log-0")
    log.write_bytes(log.read_bytes()[:-1])
    with pytest.raises(SinkError, match=f"log-0 has {log.stat().st_size} bytes"):
        opened(tmp_path, state)


def test_a_state_of_another_version_is_refused(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    state = json.loads(json.dumps(sink.snapshot()))
    sink.close()
    with pytest.raises(ConfigurationError, match="version 9, this library reads 1"):
        opened(tmp_path, {**state, "version": 9})


def test_a_full_disk_stops_with_the_path_and_is_resumed_when_there_is_space(
    tmp_path: Path,
) -> None:
    child = Path(__file__).with_name("full_disk_child.py")
    done = subprocess.run(
        [sys.executable, str(child), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    stopped = json.loads(done.stdout)
    assert str(tmp_path) in stopped["error"]
    assert "too large" in stopped["error"]
    written = stopped["rows"]
    assert written > 3
    assert visible(tmp_path) == []
    sink = ParquetPartition(tmp_path, "w", stopped["state"], ROLLING, lambda: 0.0)
    sink.write_batch(rows(written, 2))
    sink.snapshot()
    sink.close()
    sink.finish()
    assert visible(tmp_path) == ids(written + 2)


def test_a_whole_run_stops_at_a_full_disk_and_goes_on_when_there_is_space(tmp_path: Path) -> None:
    def run(file_bytes: int) -> subprocess.CompletedProcess[str]:
        child = Path(__file__).with_name("full_disk_run_child.py")
        command = [sys.executable, str(child), str(tmp_path), str(file_bytes)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    full = run(6_000_000)
    assert full.returncode == 1
    assert str(tmp_path / "out") in full.stderr
    assert "too large" in full.stderr
    assert visible(tmp_path / "out") == []
    assert run(0).returncode == 0
    assert visible(tmp_path / "out") == [f"{number:05}" for number in range(1, 101)]
