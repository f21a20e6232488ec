"""Asking again, killed at any moment and done again: each row once, and no answer lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ask_again_support import REFUSED, Archive, rows, said
from disk_kills import KilledError, killed_before
from end_to_end_support import KEY
from window_flow_support import WindowServer

from overshoot_flow.protocol.windows import Windows
from overshoot_flow_connectors import parquet_asking


def ids(out: Path, dataset: str) -> list[str]:
    found = rows(out, dataset)
    return [] if found.is_empty() else sorted(found["result_id"])


def test_wherever_it_is_killed_each_row_is_there_once(
    v1_server: WindowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Decided as soon as something is answered: several times.
    monkeypatch.setattr(parquet_asking, "DECIDE_INTERVAL_S", 0.01)
    archive = Archive.of(v1_server, tmp_path, Windows(2), settings={"max_in_flight": 1})
    ideal = said(archive.run(tmp_path / "ideal"))
    out = archive.run(tmp_path / "out", {**REFUSED, "count": len(ideal)})
    for change in range(0, 1000, 11):
        directory = tmp_path / f"killed-{change}"
        shutil.copytree(out, directory)
        with killed_before(change) as steps:
            try:
                archive.ask(directory)
                is_killed = False
            except KilledError:
                is_killed = True
        decided = set(ids(directory, "results"))
        staged = directory / "_state" / "replays" / "staged"
        decided |= set(ids(staged, "replays")) if staged.exists() else set()
        asked = len(v1_server.chats())
        archive.ask(directory)
        # What was decided is not asked again.
        assert len(v1_server.chats()) - asked == len(ideal) - len(decided), steps
        assert said(directory) == ideal, steps
        assert ids(directory, "replays") == sorted(row["result_id"] for row in ideal)
        # One charge for each result: those of answers that were not decided are not recorded.
        assert rows(directory, "usage")["result_id"].drop_nulls().n_unique() == len(ideal)
        assert len(rows(directory, "usage")["result_id"].drop_nulls()) == len(ideal)
        again = archive.ask(directory)
        assert (again.moved, again.asked, again.done_before) == (0, 0, len(ideal)), steps
        shutil.rmtree(directory)
        if not is_killed:
            assert len(steps) > 40
            return
    pytest.fail("a replay never comes to its end")


@pytest.mark.xdist_group("real time")
def test_the_command_killed_and_repeated(v1_server: WindowServer, tmp_path: Path) -> None:
    archive = Archive.of(v1_server, tmp_path, Windows(0.1))
    ideal = said(archive.run(tmp_path / "ideal"))
    out = archive.run(tmp_path / "out", {**REFUSED, "count": len(ideal)})
    v1_server.fault("model_slow", delay_s=0.2)
    arguments = [
        *(sys.executable, "-m", "overshoot_flow_pipelines.cli", "deadletters", str(out)),
        *("--replay", "--ask", "--prompt", "stamps?", "--window", "0.1", "--max-in-flight", "1"),
        *("--schema", str(archive.schema_file(tmp_path)), "--base-url", archive.service.base_url),
    ]
    environment = {**os.environ, "OVERSHOOT_API_KEY": KEY}
    moved: list[int] = []
    for _ in range(2):
        before = len(ids(out, "replays"))
        child = subprocess.Popen(
            arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        while len(ids(out, "replays")) == before and child.poll() is None:
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
        complaint = child.communicate()[1]
        assert child.returncode == -signal.SIGKILL, complaint
        moved.append(len(ids(out, "results")))
    assert 0 < moved[0] < moved[1] < len(ideal)
    done = subprocess.run(arguments, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"moved to results{len(ideal) - moved[1]:>10}" in done.stdout.decode()
    assert said(out) == ideal
    assert ids(out, "replays") == sorted(row["result_id"] for row in ideal)
