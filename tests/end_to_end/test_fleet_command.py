"""`overshoot-flow fleet` as users run it: stopped, killed, gone on with, misconfigured."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from end_to_end_support import KEY, Server
from fleet_support import ENVIRONMENT, PASSWORD, FleetFile
from rtsp_support import CameraServer, until
from test_cameras import Row, end_of, holes, read

pytestmark = pytest.mark.xdist_group("real time")

Servers = Callable[..., CameraServer]
COMMAND = [sys.executable, "-m", "overshoot_flow_pipelines.cli", "fleet"]


@pytest.fixture
def file(server: Server, camera_servers: Servers, tmp_path: Path) -> FleetFile:
    cameras = camera_servers({"a": {}, "b": {}}, ("user", PASSWORD))
    written = FleetFile(tmp_path, server, cameras)
    written.tail = '[[sink]]\ntype = "parquet"\ndirectory = "answers"\nroll_interval_s = 0.2\n'
    written.camera("a")
    written.write()
    return written


@contextmanager
def fleet_process(file: FleetFile, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, str(file.path), "--epoch", "0.3", *arguments],
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def rows(folder: Path) -> list[Row]:
    """What stands in the gaps and dead letters, and in the results of every schema."""
    found = [*read(folder, "gaps"), *read(folder, "dead_letters")]
    for schema in sorted((folder / "results").glob("schema=*")):
        found += ds.dataset(schema, partitioning="hive").to_table().to_pylist()
    return found


def results(folder: Path, camera: str) -> int:
    """Count results in files that are whole, while others may appear."""
    counted = 0
    for path in folder.glob(f"results/schema=*/date=*/source={camera}/*.parquet"):
        counted += ds.dataset(path).count_rows()
    return counted


def test_it_runs_follows_the_file_and_goes_on_after_a_stop_and_a_kill(
    server: Server, file: FleetFile, tmp_path: Path
) -> None:
    answers = tmp_path / "answers"
    number = {"type": "object", "properties": {"mean_luma": {"type": "number"}}}
    closed = {**number, "required": ["mean_luma"], "additionalProperties": False}
    (tmp_path / "luma.json").write_text(json.dumps(closed))
    said = ""

    with fleet_process(file) as process:
        until(lambda: results(answers, "a") >= 2)
        file.camera("b", 'schema = "luma.json"')
        file.write()
        process.send_signal(signal.SIGHUP)
        until(lambda: results(answers, "b") >= 2)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "MISMATCH" not in out
    assert "a " in out
    assert "new cameras: b" in err
    assert server.alive() == []
    said += out + err

    with fleet_process(file, "--no-restart") as process:
        known = results(answers, "b")
        until(lambda: results(answers, "b") >= known + 2)
        process.kill()
        said += "".join(process.communicate(timeout=60))

    # What the killed run had not recorded of a camera that is gone meanwhile is recorded too.
    file.remove("a")
    file.write()
    with fleet_process(file) as process:
        known = results(answers, "b")
        until(lambda: results(answers, "b") >= known + 2)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    said += out + err

    found = rows(answers)
    for camera in ("a", "b"):
        own = [row for row in found if row["stream_key"] == camera]
        assert holes(own) == [], camera
        assert {"crash", "stopped"} <= {row.get("reason") for row in own}
        ids = [row["result_id"] for row in own if "result_id" in row]
        assert len(set(ids)) == len(ids)
    assert end_of(found) > 0
    assert len(list((answers / "results").glob("schema=*"))) == 2
    for secret in (PASSWORD, KEY):
        assert secret not in said
        for path in answers.rglob("*"):
            assert path.is_dir() or secret.encode() not in path.read_bytes()


def children_of(process: subprocess.Popen[str]) -> list[int]:
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in text.split()]


# LiveKit's SDK ends its process with either of them when it fails.
@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGTERM])
def test_it_begins_again_by_itself_when_it_dies(
    server: Server, file: FleetFile, tmp_path: Path, number: signal.Signals
) -> None:
    answers = tmp_path / "answers"
    with fleet_process(file) as process:
        until(lambda: results(answers, "a") >= 2)
        (first,) = children_of(process)
        left_behind = server.alive()
        os.kill(first, number)
        until(lambda: children_of(process) not in ([], [first]))
        known = results(answers, "a")
        until(lambda: results(answers, "a") >= known + 2)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert ("SIGABRT" if number == signal.SIGABRT else "ended from within") in err
    assert "a " in out
    own = rows(answers)
    assert holes(own) == []
    expected = "crash" if number == signal.SIGABRT else "stopped"
    assert expected in {row.get("reason") for row in own}
    # Those of the process that died end with their leases.
    assert set(server.alive()) <= set(left_behind)


def test_hangups_before_it_takes_them_end_nothing(file: FleetFile, tmp_path: Path) -> None:
    answers = tmp_path / "answers"
    with fleet_process(file) as process:
        until(lambda: children_of(process) != [])
        (first,) = children_of(process)

        def has_answers() -> bool:
            process.send_signal(signal.SIGHUP)
            return results(answers, "a") >= 2

        until(has_answers)
        assert children_of(process) == [first]
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "SIGHUP" not in err


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: text.replace("[[camera]]", "[[camra]]"), 'unknown key "camra"'),
        (lambda text: text.partition("[[sink]]")[0], "has no sink"),
    ],
)
def test_a_file_that_cannot_be_run_is_refused(
    file: FleetFile, change: Callable[[str], str], expected: str
) -> None:
    file.write(change(file.text()))
    with fleet_process(file) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert expected in err
    assert "Traceback" not in err
