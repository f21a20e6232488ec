"""`--processes N`: groups of real processes under a supervisor."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from cluster_support import children_of, free_addresses, is_alive, process, wait_until

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.local.running import RunningServer, running_server
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.local.testvideo import VideoSpec, generate
from overshoot_flow_pipelines.cli import parser
from overshoot_flow_pipelines.commands.cluster import peer_of

pytestmark = pytest.mark.xdist_group("real time")

KEY = "ovs-group-key-that-must-not-leak"
COMMAND = [sys.executable, "-m", "overshoot_flow_pipelines.cli"]
FPS = 10
FILES = 4
ENVIRONMENT = {**os.environ, "OVERSHOOT_API_KEY": KEY}


@pytest.fixture
def server() -> Iterator[RunningServer]:
    config = ServerConfig(keys={KEY: 1e6}, allow_faults=True, max_streams_per_key=100)
    with running_server(config) as running:
        yield running


@pytest.fixture
def archive(server: RunningServer, tmp_path: Path) -> Callable[[float], list[str]]:
    """Makes videos; returns the command that asks about them with two processes."""

    def command(duration_s: float) -> list[str]:
        videos = tmp_path / "videos"
        videos.mkdir()
        spec = VideoSpec(width=160, height=90, fps=FPS, duration_s=duration_s, text=False)
        generate(videos / "0.mp4", spec)
        for number in range(1, FILES):
            shutil.copy(videos / "0.mp4", videos / f"{number}.mp4")
        asked = ["--prompt", "?", "--mode", "frame", "--interval", "0.25", "--fps", str(FPS)]
        kept = ["--out", str(tmp_path / "out"), "--epoch", "0.25", "--roll", "0.5"]
        where = ["--base-url", server.base_url, "--processes", "2"]
        return [*COMMAND, "archive", str(videos), *asked, *kept, *where]

    return command


def streams(server: RunningServer) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{server.root_url}/_local/streams", timeout=30) as answer:  # noqa: S310
        listed: list[dict[str, Any]] = json.load(answer)
    return listed


def active(server: RunningServer) -> int:
    return sum(stream["state"] == "active" for stream in streams(server))


def answers(server: RunningServer) -> int:
    return sum(len(stream["results"]) for stream in streams(server))


def rows_per_frame(out: Path, duration_s: float) -> dict[str, Counter[int]]:
    """How many rows settle each frame, by stream."""
    frames = [number * 1_000_000 // FPS for number in range(round(duration_s * FPS))]
    counts: dict[str, Counter[int]] = {}
    for dataset, start, end in (
        ("results", "settled_start_us", "settled_end_us"),
        ("dead_letters", "settled_start_us", "settled_end_us"),
        ("gaps", "media_start_us", "media_end_us"),
    ):
        if not (out / dataset).exists():
            continue
        table = ds.dataset(out / dataset, partitioning="hive").to_table()
        for row in table.select(["stream_key", start, end]).to_pylist():
            if row[start] is not None:
                counts.setdefault(row["stream_key"], Counter()).update(
                    pts for pts in frames if row[start] <= pts < row[end]
                )
    return counts


def assert_complete(out: Path, duration_s: float) -> None:
    frames = [number * 1_000_000 // FPS for number in range(round(duration_s * FPS))]
    counts = rows_per_frame(out, duration_s)
    assert len(counts) == FILES
    for stream_key, of_stream in counts.items():
        assert dict(of_stream) == dict.fromkeys(frames, 1), stream_key


def test_two_processes_share_the_files_and_report_together(
    server: RunningServer, archive: Callable[[float], list[str]], tmp_path: Path
) -> None:
    with process(archive(2.0), env=ENVIRONMENT) as group:
        wait_until(lambda: answers(server) >= 2, "answers come")
        assert len(children_of(group.pid)) == 2
        said, complaints = group.communicate(timeout=90)
    assert group.returncode == 0, complaints
    # One summary of all frames, not one for each process.
    assert said.count("frames read") == 1
    assert f"frames read      {FILES * 2 * FPS:>8}" in said
    assert "MISMATCH" not in said
    assert f"{answers(server)} results" in said
    assert "Traceback" not in complaints
    assert "start again" not in complaints
    assert KEY not in said + complaints
    assert active(server) == 0
    assert_complete(tmp_path / "out", 2.0)


def test_a_killed_process_leads_to_a_new_start_of_all_and_no_row_is_lost_or_doubled(
    server: RunningServer, archive: Callable[[float], list[str]], tmp_path: Path
) -> None:
    with process(archive(4.0), env=ENVIRONMENT) as group:
        wait_until(lambda: answers(server) >= 16, "answers come")
        before = children_of(group.pid)
        os.kill(before[1], signal.SIGKILL)
        wait_until(
            lambda: len(now := children_of(group.pid)) == 2 and not set(now) & set(before),
            "two new processes",
        )
        said, complaints = group.communicate(timeout=90)
    assert group.returncode == 0, complaints
    # The process that lost its peer may have told so before it was ended.
    assert complaints.count("was ended by SIGKILL; all 2 processes start again") == 1, complaints
    assert complaints.count("start again") == 1, complaints
    assert "Traceback" not in complaints
    assert "MISMATCH" not in said
    assert "restarts                1" in said
    assert_complete(tmp_path / "out", 4.0)


def test_the_first_signal_stops_the_group_in_order(
    server: RunningServer, archive: Callable[[float], list[str]], tmp_path: Path
) -> None:
    command = archive(20.0)
    with process(command, env=ENVIRONMENT) as group:
        wait_until(lambda: answers(server) >= 8, "answers come")
        peers = children_of(group.pid)
        group.send_signal(signal.SIGTERM)
        said, complaints = group.communicate(timeout=60)
    assert group.returncode == 0, complaints
    assert "stopped early" in said
    assert "MISMATCH" not in said
    assert complaints.count("once more to stop at once") == 1
    assert active(server) == 0
    assert not any(map(is_alive, peers))
    counts = rows_per_frame(tmp_path / "out", 20.0)
    assert {number for of_stream in counts.values() for number in of_stream.values()} == {1}


def test_the_second_signal_stops_the_group_at_once(
    server: RunningServer, archive: Callable[[float], list[str]]
) -> None:
    with process(archive(20.0), env=ENVIRONMENT) as group:
        wait_until(lambda: answers(server) >= 8, "answers come")
        peers = children_of(group.pid)
        group.send_signal(signal.SIGINT)
        assert group.stderr is not None
        assert "once more to stop at once" in group.stderr.readline()
        group.send_signal(signal.SIGINT)
        group.communicate(timeout=60)
    assert group.returncode == 130
    assert active(server) == 0
    assert not any(map(is_alive, peers))


def test_no_process_and_no_stream_outlives_a_killed_supervisor(
    server: RunningServer, archive: Callable[[float], list[str]]
) -> None:
    with process(archive(20.0), env=ENVIRONMENT) as group:
        wait_until(lambda: answers(server) >= 4, "answers come")
        peers = children_of(group.pid)
        assert len(peers) == 2
        group.kill()
        wait_until(lambda: not any(map(is_alive, peers)), "the processes end")
    assert active(server) == 0


def test_an_error_of_one_process_ends_all_and_is_said_once(
    archive: Callable[[float], list[str]], tmp_path: Path
) -> None:
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "thesis.txt").touch()
    done = subprocess.run(
        [*archive(1.0), "--state", str(strange)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "thesis.txt" in line
    assert done.stdout == ""


FLOW = '''
import os, pathlib, signal, time
import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSource
from bytewax.connectors.files import FileSink

HERE = pathlib.Path(__file__).parent

def die_once(item):
    """After some epochs; the source's testing source is read by one process alone."""
    time.sleep(0.02)
    mark = HERE / "died"
    if item == 60 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item

def make_flow():
    flow = Dataflow("numbers")
    numbers = op.input("in", flow, TestingSource(range(100)))
    keyed = op.key_on("key", op.map("die", numbers, die_once), lambda _: "all")
    op.output("out", op.map_value("text", keyed, str), FileSink(HERE / "numbers.txt"))
    return flow
'''


def test_a_flow_of_the_users_own_goes_on_after_a_death(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FLOW)
    (tmp_path / "numbers.txt").touch()
    target = f"{tmp_path}/mine.py:make_flow"
    options = ["--epoch", "0.1", "--processes", "2"]
    done = subprocess.run(
        [*COMMAND, "run", target, "--state", tmp_path / "state", *options],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("start again") == 1
    written = (tmp_path / "numbers.txt").read_text().split()
    assert Counter(written) == Counter(map(str, range(100)))


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("no_such_module_here:flow", "cannot import 'no_such_module_here'"),
        ("nowhere.py:flow", "there is no file"),
        ("json:nothing", "json has no 'nothing'"),
        ("json:__doc__", "json:__doc__ is a str; name a bytewax Dataflow"),
    ],
)
def test_a_target_that_is_no_dataflow_is_refused(target: str, words: str) -> None:
    done = subprocess.run(
        [*COMMAND, "run", target], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-i", "0"], "needs its number and all addresses"),
        (["-i", "2", "-a", "h:1;h:2"], "process 2 has no address among 2"),
        (["-i", "0", "-a", "h:1;h"], "'h' is no address"),
        (["-i", "0", "-a", "h:1;h:99999"], "'h:99999' is no address"),
        (["-i", "0", "-a", "h:1;h:1"], "h:1 is there twice"),
        (["-i", "0", "-a", "h:1;h:2", "--processes", "2"], "leave it out"),
        (["--processes", "0"], "at least 1"),
        (["--peer-timeout", "nan"], "--peer-timeout"),
    ],
)
def test_contradicting_options_are_refused(options: list[str], words: str) -> None:
    parsed = parser().parse_args(["run", "json:x", *options])
    parsed.supervised = None
    with pytest.raises(ConfigurationError) as caught:
        peer_of(parsed)
    assert words in str(caught.value)


def test_a_process_whose_peer_never_comes_ends_with_code_1(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FLOW)
    addresses = free_addresses(2)
    options = ["-i", "0", "-a", addresses, "--peer-timeout", "0.5"]
    done = subprocess.run(
        [*COMMAND, "run", f"{tmp_path}/mine.py:make_flow", *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"process 1 ({addresses.split(';')[1]}) of the cluster did not come" in line
