"""Heartbeats reach every partition of the sinks, and make rows visible although none follow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from outcome_samples import a_result

from overshoot_flow.config import Inference
from overshoot_flow.flow import run, to_arrow
from overshoot_flow.flow.heartbeats import heartbeat_keys
from overshoot_flow.results import Heartbeat, Outcome
from overshoot_flow_connectors.parquet import ParquetSink

PARTITIONS = 5
MOST_ACTIVATIONS = 1_000


class Once(FixedPartitionedSource[Outcome | Heartbeat, int]):
    """Gives `rows` at the beginning, then heartbeats alone until `is_over`."""

    def __init__(self, rows: list[Outcome], is_over: Callable[[], bool]) -> None:
        self.rows = rows
        self.is_over = is_over
        self.activations = 0

    def list_parts(self) -> list[str]:
        return ["once"]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> _OncePart:
        return _OncePart(self)


class _OncePart(StatefulSourcePartition[Outcome | Heartbeat, int]):
    def __init__(self, source: Once) -> None:
        self.source = source

    def next_batch(self) -> list[Outcome | Heartbeat]:
        self.source.activations += 1
        if self.source.activations == 1:
            return list(self.source.rows)
        if self.source.is_over() or self.source.activations == MOST_ACTIVATIONS:
            raise StopIteration
        return [Heartbeat(stream_key="cam-1")]

    def next_awake(self) -> datetime:
        return datetime.now(UTC) + timedelta(milliseconds=10)

    def snapshot(self) -> int:
        return self.source.activations


def flow_of(source: Once, sink: ParquetSink, inference: Inference | None = None) -> Dataflow:
    flow = Dataflow("heartbeats")
    outcomes = op.input("once", flow, source)
    op.output("parquet", to_arrow("arrow", outcomes, inference), sink)
    return flow


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("inference", [Inference(prompt="?"), None])
def test_all_rows_become_visible_while_the_run_goes_on(
    inference: Inference | None, tmp_path: Path, *, durable: bool
) -> None:
    cameras = [f"cam-{number}" for number in range(30)]
    rows: list[Outcome] = [a_result(stream_key=camera) for camera in cameras]

    def files() -> int:
        return len(list((tmp_path / "out").glob("results/**/*.parquet")))

    source = Once(rows, lambda: files() == len(cameras))
    sink = ParquetSink(tmp_path / "out", partitions=PARTITIONS, roll_interval=timedelta(0))
    state = tmp_path / "state" if durable else None
    run(flow_of(source, sink, inference), state=state, epoch_interval=timedelta(milliseconds=20))
    assert source.activations < MOST_ACTIVATIONS


def test_the_keys_cover_every_partition_and_are_few(tmp_path: Path) -> None:
    sink = ParquetSink(tmp_path, partitions=PARTITIONS)
    keys = heartbeat_keys(flow_of(Once([], lambda: True), sink))
    assert len(keys) == PARTITIONS
    assert {sink.part_fn(key) % PARTITIONS for key in keys} == set(range(PARTITIONS))


def test_a_flow_without_sinks_needs_no_keys() -> None:
    assert heartbeat_keys(Dataflow("empty")) == ()
