"""Flows whose streams would wait for each other's slots are refused before they start."""

from __future__ import annotations

from pathlib import Path

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow, Stream
from bytewax.inputs import FixedPartitionedSource

from overshoot_flow.config import Inference, Secret, Service
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow import filter_frames, infer, map_frames, run
from overshoot_flow.flow.items import Item
from overshoot_flow.flow.partition import ReaderPartition, ReaderState
from overshoot_flow.flow.slots import check_slots

KEY = "key-of-the-flow"


class Cameras(FixedPartitionedSource[Item, ReaderState]):
    """So many partitions, of which `concurrent` are read at once."""

    def __init__(self, partitions: int, concurrent: int) -> None:
        self.partitions = partitions
        self.concurrent = concurrent
        self.streams_per_partition = 1

    def list_parts(self) -> list[str]:
        return [f"camera-{number}" for number in range(self.partitions)]

    def build_part(
        self, step_id: str, for_part: str, resume_state: ReaderState | None
    ) -> ReaderPartition:
        raise AssertionError("the flow must not start")


def ask(step_id: str, frames: Stream[Item], key: str = KEY, max_streams: int = 5) -> None:
    service = Service(key=Secret(key), max_streams=max_streams)
    infer(step_id, frames, Inference(prompt="?"), service)


def frames_of(flow: Dataflow, name: str, partitions: int, concurrent: int) -> Stream[Item]:
    frames = op.input(name, flow, Cameras(partitions, concurrent))
    # Operators in between do not hide where the frames come from.
    same = map_frames(f"{name}-map", frames, lambda frame: frame)
    return filter_frames(f"{name}-filter", op.merge(f"{name}-merge", same), lambda _: True)


def test_a_partition_with_several_streams_counts_as_many() -> None:
    flow = Dataflow("clips")
    source = Cameras(1, 5)
    frames = op.input("clips", flow, source)
    ask("one", frames)
    ask("two", frames)
    check_slots(flow)
    source.streams_per_partition = 5
    with pytest.raises(ConfigurationError, match="5 can be held by sources that wait"):
        check_slots(flow)


@pytest.mark.parametrize(
    ("partitions", "concurrent", "steps", "processes", "fits"),
    [
        (9, 4, 1, 1, True),
        (9, 4, 2, 1, True),
        (9, 5, 2, 1, False),
        (4, 9, 2, 1, True),
        (9, 2, 4, 1, False),
        (9, 2, 2, 2, True),
        (9, 3, 2, 2, False),
    ],
)
def test_one_source_with_several_steps(
    partitions: int, concurrent: int, steps: int, processes: int, *, fits: bool
) -> None:
    flow = Dataflow("flow")
    frames = frames_of(flow, "cameras", partitions, concurrent)
    for number in range(steps):
        ask(f"ask-{number}", frames)
    if fits:
        check_slots(flow, processes)
        return
    with pytest.raises(ConfigurationError, match="share an API key with 5 streams") as refused:
        check_slots(flow, processes)
    assert "`concurrent` of the source" in str(refused.value)
    assert KEY not in str(refused.value)


def test_keys_are_counted_apart_and_a_key_may_have_more() -> None:
    flow = Dataflow("flow")
    frames = frames_of(flow, "cameras", 9, 5)
    ask("one", frames, "first-key")
    ask("two", frames, "second-key")
    check_slots(flow)
    ask("three", frames, "third-key", max_streams=6)
    ask("four", frames, "third-key", max_streams=6)
    check_slots(flow)


def test_sources_with_steps_of_their_own_do_not_wait_for_each_other() -> None:
    flow = Dataflow("flow")
    ask("one", frames_of(flow, "north", 9, 9))
    ask("two", frames_of(flow, "south", 9, 9))
    check_slots(flow)


def test_a_run_is_refused_before_it_begins(tmp_path: Path) -> None:
    flow = Dataflow("flow")
    frames = frames_of(flow, "cameras", 9, 5)
    ask("one", frames)
    ask("two", frames)
    with pytest.raises(ConfigurationError, match="one, two share an API key"):
        run(flow, state=tmp_path / "state")
    assert not (tmp_path / "state").exists()
