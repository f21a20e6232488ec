"""The guards around a run's state, each with what it says to do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow import run
from overshoot_flow.flow.run_shape import shape_of
from overshoot_flow.flow.run_state import RunState


class Numbers(FixedPartitionedSource[int, int]):
    """Counts from the saved number up to five."""

    def __init__(self, *keys: str) -> None:
        self.keys = list(keys)

    def list_parts(self) -> list[str]:
        return self.keys

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> _Counter:
        return _Counter(resume_state or 0)


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


class Kept(FixedPartitionedSink[int, None]):
    def __init__(self, kept: list[int], partitions: int = 1) -> None:
        self.kept = kept
        self.partitions = partitions

    def list_parts(self) -> list[str]:
        return [str(number) for number in range(self.partitions)]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _KeptPart:
        return _KeptPart(self.kept)


class _KeptPart(StatefulSinkPartition[int, None]):
    def __init__(self, kept: list[int]) -> None:
        self.kept = kept

    def write_batch(self, values: list[int]) -> None:
        self.kept += values

    def snapshot(self) -> None:
        return None


def flow(
    *keys: str, name: str = "numbers", step: str = "in", partitions: int = 1, kept: list[int]
) -> Dataflow:
    built = Dataflow(name)
    keyed = op.key_on("key", op.input(step, built, Numbers(*keys)), str)
    op.output("out", keyed, Kept(kept, partitions))
    return built


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state of a run that has ended well."""
    folder = tmp_path / "state"
    kept: list[int] = []
    run(flow("a", "b", kept=kept), state=folder)
    assert sorted(kept) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    return folder


def test_the_same_run_again_repeats_nothing(state: Path) -> None:
    kept: list[int] = []
    run(flow("a", "b", kept=kept), state=state)
    assert kept == []


def test_an_added_source_begins_at_its_beginning(state: Path) -> None:
    kept: list[int] = []
    run(flow("a", "b", "c", kept=kept), state=state)
    assert kept == [1, 2, 3, 4, 5]


def _lose_store(state: Path) -> None:
    for file in (state / "bytewax").iterdir():
        file.unlink()


def _edit_manifest(state: Path, **changes: object) -> None:
    manifest = state / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **changes}))


@pytest.mark.parametrize(
    ("spoil", "changed_flow", "words"),
    [
        (None, {"keys": ["a"]}, "not there any more: b"),
        (None, {"name": "other"}, "is called 'other', it was 'numbers'"),
        (None, {"step": "renamed"}, r"gone: \['numbers.in'\], steps are new: \['numbers.renamed'"),
        (None, {"partitions": 2}, "has 2 partitions, it had 1"),
        (_lose_store, {}, "recovery store .* is lost"),
        (lambda s: _edit_manifest(s, format=99), {}, "in the format 99, this version reads 1"),
        (lambda s: (s / "manifest.json").write_text("{"), {}, "cannot read"),
    ],
)
def test_what_does_not_fit_is_refused_with_advice(
    state: Path,
    spoil: Callable[[Path], object] | None,
    changed_flow: dict[str, object],
    words: str,
) -> None:
    if spoil is not None:
        spoil(state)
    kept: list[int] = []
    arguments = dict(changed_flow)
    keys = arguments.pop("keys", ["a", "b"])
    with pytest.raises(ConfigurationError, match=words):
        run(flow(*keys, kept=kept, **arguments), state=state)  # type: ignore[arg-type, misc]
    assert kept == []


def test_a_folder_that_holds_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(ConfigurationError, match=r"holiday\.jpg"):
        run(flow("a", kept=[]), state=tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="is a file"):
        run(flow("a", kept=[]), state=tmp_path / "file")


HOLD = """
import sys
from pathlib import Path
from overshoot_flow.flow.run_lock import RunLock
with RunLock(Path(sys.argv[1]) / "lock"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_with_the_pid_until_the_first_dies(state: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigurationError, match=f"in use by pid {holder.pid} on "):
            run(flow("a", "b", kept=[]), state=state)
        holder.send_signal(signal.SIGKILL)
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
    run(flow("a", "b", kept=[]), state=state)


def test_the_lock_is_free_after_a_refusal(state: Path) -> None:
    with pytest.raises(ConfigurationError):
        run(flow("a", kept=[]), state=state)
    with RunState(state, shape_of(flow("a", "b", kept=[]))) as again:
        assert again.run_id
        assert f"pid {os.getpid()}" in (state / "lock").read_text()
