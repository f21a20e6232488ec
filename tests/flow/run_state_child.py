"""A run that can be killed: numbers from two sources into one file that is cut on resume."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from overshoot_flow.flow import run

SOURCES = ("a", "b")
ACTIVATIONS_PER_NUMBER = 5
"""With an epoch at every activation most epochs have nothing for the sink, and it no snapshot."""


class SlowNumbers(FixedPartitionedSource[str, int]):
    """Says each number that it gives, so that the parent knows where it kills."""

    def __init__(self, end: int) -> None:
        self.end = end

    def list_parts(self) -> list[str]:
        return list(SOURCES)

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> _Part:
        sys.stdout.write(f"from {resume_state or 0}\n")
        sys.stdout.flush()
        return _Part(for_part, resume_state or 0, self.end)


class _Part(StatefulSourcePartition[str, int]):
    def __init__(self, key: str, number: int, end: int) -> None:
        self.key = key
        self.number = number
        self.end = end
        self.activations = 0

    def next_batch(self) -> list[str]:
        if self.number == self.end:
            raise StopIteration
        self.activations += 1
        if self.activations % ACTIVATIONS_PER_NUMBER:
            return []
        self.number += 1
        sys.stdout.write("number\n")
        sys.stdout.flush()
        return [f"{self.key}{self.number}"]

    def next_awake(self) -> datetime:
        return datetime.now(UTC) + timedelta(milliseconds=1)

    def snapshot(self) -> int:
        return self.number


class CutFile(FixedPartitionedSink[str, int]):
    def __init__(self, file: Path) -> None:
        self.file = file

    def list_parts(self) -> list[str]:
        return ["file"]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> _CutFilePart:
        return _CutFilePart(self.file, resume_state or 0)


class _CutFilePart(StatefulSinkPartition[str, int]):
    def __init__(self, file: Path, length: int) -> None:
        self.file = file.open("ab")
        self.file.truncate(length)

    def write_batch(self, values: list[str]) -> None:
        self.file.write("".join(f"{value}\n" for value in values).encode())
        self.file.flush()

    def snapshot(self) -> int:
        return self.file.seek(0, 2)


def main(folder: Path, end: int) -> None:
    flow = Dataflow("killed")
    keyed = op.key_on("key", op.input("numbers", flow, SlowNumbers(end)), lambda _: "all")
    op.output("file", keyed, CutFile(folder / "numbers.txt"))
    run(flow, state=folder / "state", epoch_interval=timedelta(0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
