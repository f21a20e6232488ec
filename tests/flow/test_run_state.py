"""The guards around a run's state folder, each with what it says to do."""

from __future__ import annotations

import json
import pickle
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from bytewax.recovery import init_db_dir
from small_flows import numbers_flow

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow import run
from overshoot_flow.flow.run_shape import shape_of
from overshoot_flow.flow.run_state import RunState
from overshoot_flow.flow.stopping import STOP


class StopAtOnce(list[int]):
    """Asks the run to stop when the sink is built."""

    def append(self, _resumed: int) -> None:
        STOP.set()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state of a run that has ended well."""
    folder = tmp_path / "state"
    kept: list[int] = []
    run(numbers_flow("a", "b", kept=kept), state=folder)
    assert sorted(kept) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    return folder


def store_of(state: Path) -> Path:
    return state / "bytewax" / "part-0.sqlite3"


def empty_store(state: Path) -> None:
    for file in (state / "bytewax").iterdir():
        file.unlink()


def fresh_store(state: Path) -> None:
    empty_store(state)
    init_db_dir(state / "bytewax", 1)  # type: ignore[no-untyped-call]


def spoil_store(state: Path) -> None:
    empty_store(state)
    store_of(state).write_bytes(b"no database" * 1000)


def cut_store(state: Path) -> None:
    content = store_of(state).read_bytes()
    empty_store(state)
    store_of(state).write_bytes(content[:5000])


def edit_manifest(state: Path, **changes: object) -> None:
    manifest = state / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **changes}))


def test_the_same_run_again_repeats_nothing(state: Path) -> None:
    kept: list[int] = []
    run(numbers_flow("a", "b", kept=kept), state=state)
    assert kept == []


def test_a_wish_to_stop_ends_with_its_run(state: Path) -> None:
    flow = numbers_flow("a", "b", resumed=StopAtOnce())
    assert run(flow, state=state)
    assert not STOP.is_set()
    assert not run(numbers_flow("a", "b"), state=state)


def test_every_start_is_a_part_of_one_run(state: Path) -> None:
    shape = shape_of(numbers_flow("a", "b"))
    with RunState(state, shape) as first:
        pass
    with RunState(state, shape) as second:
        pass
    assert first.run_id == second.run_id != ""
    assert not (state / "manifest.json.new").exists()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (empty_store, "part-0.sqlite3 is lost. Bring the whole state folder back"),
        (lambda s: shutil.rmtree(s / "bytewax"), "part-0.sqlite3 is lost. Bring the whole"),
        (lambda s: store_of(s).write_bytes(b""), "part-0.sqlite3 is lost. Bring the whole"),
        (fresh_store, "part-0.sqlite3 is not the one of this run. Bring the whole"),
        (spoil_store, "cannot be read (file is not a database). Bring the whole"),
        (cut_store, "cannot be read (database disk image is malformed). Bring the whole"),
        (
            lambda s: edit_manifest(s, format=99, library="9.1.0"),
            "which knows format 1: install overshoot-flow 9.1.0 or newer, or begin anew",
        ),
        (
            lambda s: edit_manifest(s, format=0, library="0.0.9"),
            "and cannot convert: install overshoot-flow 0.0.9 to end this run, or begin anew",
        ),
        (lambda s: edit_manifest(s, format="x"), "cannot read"),
        (lambda s: edit_manifest(s, shape={"flow_id": 1}), "it lacks what a manifest has"),
        (lambda s: edit_manifest(s, progress={"unknown": 1}), "it lacks what a manifest has"),
        (lambda s: (s / "manifest.json").write_text("{"), "cannot read"),
        (lambda s: (s / "manifest.json").write_bytes(b"\xff"), "cannot read"),
        (lambda s: (s / "manifest.json").unlink(), "recovery store of a run but no manifest.json"),
    ],
)
def test_a_state_that_cannot_be_gone_on_with_is_refused_with_advice(
    state: Path, spoil: Callable[[Path], object], words: str
) -> None:
    spoil(state)
    kept: list[int] = []
    with pytest.raises(ConfigurationError) as refused:
        run(numbers_flow("a", "b", kept=kept), state=state)
    assert words in str(refused.value)
    assert "begin anew with an empty state folder and an empty output" in " ".join(
        str(refused.value).split()
    )
    assert kept == []


def test_a_store_from_before_the_last_start_is_refused(state: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(state / "bytewax", copy)
    run(numbers_flow("a", "b", "c"), state=state)
    with RunState(state, shape_of(numbers_flow("a", "b", "c"))):
        pass
    shutil.rmtree(state / "bytewax")
    copy.rename(state / "bytewax")
    with pytest.raises(ConfigurationError, match=r"is older than the run: .* after 1 starts"):
        run(numbers_flow("a", "b", "c"), state=state)


def test_a_snapshot_of_an_epoch_that_was_lost_never_comes_back(state: Path) -> None:
    with closing(sqlite3.connect(store_of(state))) as database, database:
        (resume_epoch,) = database.execute("SELECT max(worker_frontier) FROM fronts").fetchone()
        database.execute(
            "INSERT INTO snaps (step_id, state_key, snap_epoch, ser_change) VALUES (?, ?, ?, ?)",
            ("numbers.out", "0", resume_epoch, pickle.dumps(99)),
        )
    resumed: list[int] = []
    for _ in range(3):
        # Nothing comes to the sink: it has no snapshot that could replace the lost one.
        run(numbers_flow("a", "b", resumed=resumed), state=state)
    assert resumed == [10, 10, 10]


def test_the_store_of_another_run_is_refused(state: Path, tmp_path: Path) -> None:
    run(numbers_flow("a", "b"), state=tmp_path / "other")
    empty_store(state)
    shutil.copy(store_of(tmp_path / "other"), store_of(state))
    with pytest.raises(ConfigurationError, match="is not the one of this run"):
        run(numbers_flow("a", "b"), state=state)


def test_a_folder_that_holds_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(ConfigurationError, match=r"holiday\.jpg"):
        run(numbers_flow(), state=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="is a file"):
        run(numbers_flow(), state=tmp_path / "file")


def test_the_root_of_a_fresh_volume_is_taken(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    kept: list[int] = []
    run(numbers_flow("a", kept=kept), state=tmp_path)
    assert kept == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("left_over", ["nothing", "an empty file", "an unused store"])
def test_a_start_that_was_killed_before_the_manifest_is_made_again(
    tmp_path: Path, left_over: str
) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / "manifest.json.new").write_text('{"half')
    (tmp_path / "bytewax").mkdir()
    if left_over == "an empty file":
        store_of(tmp_path).touch()
    if left_over == "an unused store":
        fresh_store(tmp_path)
    kept: list[int] = []
    run(numbers_flow("a", kept=kept), state=tmp_path)
    assert kept == [1, 2, 3, 4, 5]


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    inside = tmp_path / "file" / "state"
    with pytest.raises(ConfigurationError, match="cannot use the state folder") as refused:
        run(numbers_flow(), state=inside)
    assert str(inside) in str(refused.value)


def test_the_store_keeps_no_snapshots_that_newer_ones_have_replaced(tmp_path: Path) -> None:
    for number in range(20):
        run(numbers_flow(*(f"source {n}" for n in range(number + 1))), state=tmp_path)
    with closing(sqlite3.connect(store_of(tmp_path))) as database:
        sources = "SELECT count(*) FROM snaps WHERE step_id = 'numbers.in'"
        (kept,) = database.execute(sources).fetchone()
    # One for each source, and those of the epoch that was not yet collected.
    assert 20 <= kept <= 40
