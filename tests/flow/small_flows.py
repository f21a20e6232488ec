"""Flows of numbers, for the guards of a run's state."""

from __future__ import annotations

from collections.abc import Mapping

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition


class Numbers(FixedPartitionedSource[int, int]):
    """Counts from the saved number up to five."""

    def __init__(self, *keys: str) -> None:
        self.keys = list(keys)

    def list_parts(self) -> list[str]:
        return self.keys

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> _Counter:
        return _Counter(resume_state or 0)


class IdentifiedNumbers(Numbers):
    """Tells what is behind its keys."""

    def __init__(self, identities: Mapping[str, str]) -> None:
        super().__init__(*identities)
        self._identities = identities

    def identities(self) -> Mapping[str, str]:
        return self._identities


class _Counter(StatefulSourcePartition[int, int]):
    def __init__(self, number: int) -> None:
        self.number = number

    def next_batch(self) -> list[int]:
        if self.number == 5:
            raise StopIteration
        self.number += 1
        return [self.number]

    def snapshot(self) -> int:
        return self.number


class Kept(FixedPartitionedSink[int, int]):
    """Keeps the numbers; a partition's state is how many it has seen, and `resumed` notes it."""

    def __init__(self, kept: list[int], resumed: list[int], *partitions: str) -> None:
        self.kept = kept
        self.resumed = resumed
        self.partitions = list(partitions)

    def list_parts(self) -> list[str]:
        return self.partitions

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> _KeptPart:
        self.resumed.append(resume_state or 0)
        return _KeptPart(self.kept, resume_state or 0)


class _KeptPart(StatefulSinkPartition[int, int]):
    def __init__(self, kept: list[int], seen: int) -> None:
        self.kept = kept
        self.seen = seen

    def write_batch(self, values: list[int]) -> None:
        self.kept += values
        self.seen += len(values)

    def snapshot(self) -> int:
        return self.seen


def numbers_flow(
    *keys: str,
    kept: list[int] | None = None,
    resumed: list[int] | None = None,
    name: str = "numbers",
    step: str = "in",
    inserted: str | None = None,
    partitions: tuple[str, ...] = ("0",),
    identities: Mapping[str, str] | None = None,
) -> Dataflow:
    """Numbers of every key go into `kept`."""
    flow = Dataflow(name)
    source = Numbers(*(keys or ("a", "b"))) if identities is None else IdentifiedNumbers(identities)
    numbers = op.input(step, flow, source)
    if inserted is not None:
        numbers = op.map(inserted, numbers, lambda number: number)
    keyed = op.key_on("key", numbers, str)
    sink = Kept([] if kept is None else kept, [] if resumed is None else resumed, *partitions)
    op.output("out", keyed, sink)
    return flow
