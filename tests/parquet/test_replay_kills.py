"""A replay that is killed before any change of the disk and done again: no row lost or doubled."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from disk_kills import CHANGES, KilledError, killed_before
from outcome_samples import a_failure, a_result

from overshoot_flow.repair_level import Repair
from overshoot_flow.results import FailureReason
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.keyed_records import KeyedRecordBuilder
from overshoot_flow_connectors.parquet import ParquetSink
from overshoot_flow_connectors.parquet_replay import replay

COUNT = OutputSchema({"type": "object", "properties": {"n": {"type": "integer"}}}).canonical


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """Three dead letters of two streams, two of which pass with a repair, and a result."""
    directory = tmp_path / "letters"
    part = ParquetSink(directory).build_part("out", "part-0000", None)
    shared: dict[str, Any] = {"reason": FailureReason.NOT_JSON, "schema_json": COUNT}
    outcomes = [
        a_failure(result_id="0", raw_text="{'n': 0}", **shared),
        a_failure(result_id="1", raw_text="{'n': 1}", stream_key="cam-2", **shared),
        a_failure(result_id="2", raw_text="?", **shared),
        a_result(result_id="9", output={"n": 9}, schema_json=COUNT),
    ]
    part.write_batch(KeyedRecordBuilder().batches(outcomes))
    part.snapshot()
    part.close()
    return directory


def ids(directory: Path, dataset: str) -> list[str]:
    # Whole files: one that is cut short cannot be read.
    files = (directory / dataset).rglob("*.parquet")
    found = [pq.ParquetFile(file).read(columns=["result_id"]).column(0) for file in files]
    return sorted(str(each) for column in found for each in column.to_pylist())


def test_wherever_it_is_killed_the_next_replay_completes_it(letters: Path, tmp_path: Path) -> None:
    for change in range(1000):
        directory = tmp_path / f"killed-{change}"
        shutil.copytree(letters, directory)
        with killed_before(change) as steps:
            try:
                replay(directory, repair=Repair.SINGLE_QUOTES)
                is_killed = False
            except KilledError:
                is_killed = True
        seen = ids(directory, "results")
        assert len(set(seen)) == len(seen), steps
        # Marked as done before it is a result, a dead letter would be lost.
        assert set(ids(directory, "replays")) <= set(seen), steps
        if change % 3 == 0:
            with killed_before(2), pytest.raises(KilledError):
                replay(directory, repair=Repair.SINGLE_QUOTES)
        replay(directory, repair=Repair.SINGLE_QUOTES)
        again = replay(directory, repair=Repair.SINGLE_QUOTES)
        assert (again.moved, again.done_before, again.failing) == (0, 2, {"not_json": 1}), steps
        assert ids(directory, "results") == ["0", "1", "9"], steps
        assert ids(directory, "replays") == ["0", "1"], steps
        assert not (directory / "_state").exists()
        shutil.rmtree(directory)
        if not is_killed:
            assert len(steps) > 20
            assert set(steps) == set(CHANGES)
            return
    pytest.fail("a replay never comes to its end")


def test_a_lost_state_folder_neither_loses_nor_doubles(letters: Path, tmp_path: Path) -> None:
    """Results that became visible are seen, although nothing marks them."""
    for change in range(0, 60, 7):
        directory = tmp_path / f"lost-{change}"
        shutil.copytree(letters, directory)
        with killed_before(change), suppress(KilledError):
            replay(directory, repair=Repair.SINGLE_QUOTES)
        shutil.rmtree(directory / "_state", ignore_errors=True)
        replay(directory, repair=Repair.SINGLE_QUOTES)
        assert ids(directory, "results") == ["0", "1", "9"]
        assert replay(directory, repair=Repair.SINGLE_QUOTES).moved == 0
