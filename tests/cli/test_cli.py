"""The command line, started as a user starts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.dataset as ds
import pytest

from overshoot_flow.local.running import RunningServer, running_server
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.local.testvideo import VideoSpec, generate

KEY = "ovs-cli-key-that-must-not-leak"
JWT_START = "eyJhbGciOi"
"""How every room token begins."""
COMMAND = [sys.executable, "-m", "overshoot_flow_pipelines.cli"]
SCHEMA = {
    "type": "object",
    "properties": {
        "first_stamp": {"type": "integer"},
        "stamps": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["first_stamp", "stamps"],
    "additionalProperties": False,
}


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with running_server(ServerConfig(keys={KEY: 100.0}, allow_faults=True)) as running:
        yield running


@pytest.mark.parametrize(
    "name", ["", "archive", "check", "run", "serve", "testvideo", "models", "schema", "deadletters"]
)
def test_every_help_shows_an_example(name: str) -> None:
    done = command(*name.split(), "--help")
    assert done.returncode == 0
    _, _, example = done.stdout.partition("example")
    assert f"overshoot-flow {name}".strip() in example


def test_without_a_key_it_says_what_to_do(tmp_path: Path) -> None:
    done = command("models", OVERSHOOT_API_KEY="")
    assert done.returncode == 2
    assert "set OVERSHOOT_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr
    missing = tmp_path / "no-such-file"
    assert command("models", "--api-key-file", str(missing)).returncode == 2


def test_a_key_is_never_an_argument() -> None:
    assert "--api-key " not in command("archive", "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.mp4"], "nowhere.mp4"),
        (["VIDEO", "--delay", "0"], "delay_seconds"),
        (["VIDEO", "--mode", "frame", "--interval", "0.01"], "interval_seconds"),
        (["VIDEO", "--max-output-tokens", "1000"], "at most 64"),
        (["VIDEO", "--schema", "SCHEMA"], "/properties/x"),
        (["VIDEO", "--base-url", "ftp://x"], "http://"),
    ],
)
def test_a_misconfigured_run_fails_before_it_begins(
    arguments: list[str], words: str, tmp_path: Path
) -> None:
    video, schema = tmp_path / "v.mp4", tmp_path / "schema.json"
    generate(video, VideoSpec(width=160, height=90, fps=10, duration_s=0.5))
    schema.write_text(json.dumps({"type": "object", "properties": {"x": {"oneOf": []}}}))
    named = {"VIDEO": str(video), "SCHEMA": str(schema)}
    done = command(
        "archive",
        *(named.get(argument, argument) for argument in arguments),
        "--prompt",
        "?",
        "--out",
        str(tmp_path / "out"),
        OVERSHOOT_API_KEY=KEY,
    )
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.xdist_group("real time")
def test_many_videos_may_share_their_files(server: RunningServer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    videos = [str(tmp_path / f"{number}.mp4") for number in range(3)]
    for video in videos:
        generate(Path(video), VideoSpec(width=320, height=180, fps=10, duration_s=2))
    arguments = ["archive", *videos, "--prompt", "?", "--window", "1", "--delivery", "inline"]
    arguments += ["--out", str(out), "--base-url", f"{server.root_url}/v1"]
    done = command(*arguments, "--partition-by", "date", OVERSHOOT_API_KEY=KEY)
    assert done.returncode == 0, done.stderr
    (day,) = (out / "results").iterdir()
    files = list(day.iterdir())
    assert all(file.is_file() for file in files)
    assert len(files) < len(videos)
    table = ds.dataset(out / "results", partitioning="hive").to_table()
    assert len(set(table["stream_key"].to_pylist())) == len(videos)


@pytest.mark.xdist_group("real time")
def test_an_archive_run_fills_datasets_that_three_readers_read(
    server: RunningServer, tmp_path: Path
) -> None:
    video, schema, out = tmp_path / "v.mp4", tmp_path / "schema.json", tmp_path / "out"
    generate(video, VideoSpec(width=640, height=360, fps=30, duration_s=4))
    schema.write_text(json.dumps(SCHEMA))
    arguments = ["-vv", "archive", str(video), "--prompt", "Which stamps?", "--schema", str(schema)]
    arguments += ["--out", str(out), "--base-url", server.base_url]
    done = command(*arguments, OVERSHOOT_API_KEY=KEY)
    assert done.returncode == 0, done.stderr
    assert "MISMATCH" not in done.stdout
    assert "frames read            48" in done.stdout
    assert KEY not in done.stdout + done.stderr
    assert JWT_START not in done.stdout + done.stderr

    rows = duckdb.sql(f"from '{out}/results/**/*.parquet' order by media_start_us").fetchall()
    assert len(rows) >= 6
    assert len(pl.scan_parquet(out / "results").collect()) == len(rows)
    table = ds.dataset(out / "results", partitioning="hive").to_table()
    assert table.num_rows == len(rows)
    for row in table.to_pylist():
        assert row["output"]["first_stamp"] == row["output"]["stamps"][0]
        assert json.loads(row["raw_text"]) == row["output"]
    usage = ds.dataset(out / "usage", partitioning="hive").to_table()
    assert sum(usage["seconds_charged"].to_pylist()) > 4

    # The same command again finds nothing left to ask.
    asked = len(streams(server))
    again = command(*arguments, OVERSHOOT_API_KEY=KEY)
    assert again.returncode == 0, again.stderr
    assert "frames read             0" in again.stdout
    assert len(streams(server)) == asked
    assert ds.dataset(out / "results", partitioning="hive").count_rows() == len(rows)
    written = [file.read_bytes() for file in out.rglob("*") if file.is_file()]
    assert not any(KEY.encode() in data or JWT_START.encode() in data for data in written)


def streams(server: RunningServer) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{server.root_url}/_local/streams", timeout=30) as answer:  # noqa: S310
        listed: list[dict[str, Any]] = json.load(answer)
    return listed


def wait_for_answers(server: RunningServer, process: subprocess.Popen[str]) -> None:
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s and process.poll() is None:
        if any(len(stream["results"]) >= 2 for stream in streams(server)):
            return
        time.sleep(0.1)
    pytest.fail("no answer within a minute, or the run ended before")


@pytest.fixture
def endless_run(server: RunningServer, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """An archive run about a minute of video, from which two answers have come."""
    video, out = tmp_path / "v.mp4", tmp_path / "out"
    generate(video, VideoSpec(width=320, height=180, fps=10, duration_s=60, text=False))
    arguments = ["archive", str(video), "--prompt", "?", "--out", str(out)]
    process = subprocess.Popen(
        [*COMMAND, *arguments, "--base-url", server.base_url],
        env={**os.environ, "OVERSHOOT_API_KEY": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    killer = threading.Timer(90, process.kill)
    killer.start()
    try:
        wait_for_answers(server, process)
        yield process
    finally:
        killer.cancel()
        process.kill()
        process.wait()


def alive(server: RunningServer) -> list[str]:
    return [s["stream_id"] for s in streams(server) if s["state"] == "active"]


@pytest.mark.xdist_group("real time")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_stops_in_order(
    number: signal.Signals,
    server: RunningServer,
    endless_run: subprocess.Popen[str],
    tmp_path: Path,
) -> None:
    endless_run.send_signal(number)
    output, _ = endless_run.communicate()
    assert endless_run.returncode == 0, output
    assert "stopped early" in output
    assert "MISMATCH" not in output
    assert duckdb.sql(f"from '{tmp_path}/out/results/**/*.parquet'").fetchall()
    assert alive(server) == []


@pytest.mark.xdist_group("real time")
def test_the_second_signal_stops_at_once(
    server: RunningServer, endless_run: subprocess.Popen[str]
) -> None:
    request = urllib.request.Request(  # noqa: S310
        f"{server.root_url}/_local/faults",
        data=json.dumps({"kind": "model_slow", "delay_s": 60}).encode(),
        headers={"content-type": "application/json"},
    )
    # No answer comes any more, so the orderly stop would last until the deadline.
    urllib.request.urlopen(request, timeout=30).close()  # noqa: S310
    endless_run.send_signal(signal.SIGTERM)
    assert endless_run.stdout is not None
    assert any("once more to stop at once" in line for line in endless_run.stdout)
    endless_run.send_signal(signal.SIGTERM)
    output, _ = endless_run.communicate()
    assert endless_run.returncode == 130, output
    assert alive(server) == []
