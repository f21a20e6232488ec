"""Real processes are killed at random moments; in the end every frame is settled exactly once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from end_to_end_support import KEY, Server

from overshoot_flow.local.running import running_server
from overshoot_flow.local.server_config import ServerConfig

pytestmark = pytest.mark.xdist_group("real time")

CHILD = Path(__file__).with_name("resume_child.py")
DURATION_S = 4.0
FRAMES = [number * 100_000 for number in range(40)]


def stream_ids(server: Server) -> set[str]:
    return {stream["stream_id"] for stream in server.streams()}


def answers(server: Server, before: set[str]) -> int:
    """Answers of the newer streams; those of killed processes live on for a while."""
    return sum(len(s["results"]) for s in server.streams() if s["stream_id"] not in before)


def one_life(
    server: Server,
    command: list[str],
    *,
    kill_after_answers: int | None = None,
    stop_after_answers: int | None = None,
) -> int | None:
    """Run one process; return its exit code, or None when it was killed."""
    before = stream_ids(server)
    process = subprocess.Popen(
        command, env={**os.environ, "OVERSHOOT_API_KEY": KEY}, stderr=subprocess.DEVNULL
    )
    try:
        while process.poll() is None:
            if kill_after_answers is not None and answers(server, before) >= kill_after_answers:
                return None
            if stop_after_answers is not None and answers(server, before) >= stop_after_answers:
                process.send_signal(signal.SIGTERM)
                return process.wait()
            time.sleep(0.02)
        return process.returncode
    finally:
        process.kill()
        process.wait()


def read_log(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def settled(rows: list[dict[str, Any]]) -> dict[str, Counter[int]]:
    """How many rows settle each frame, by stream."""
    counts: dict[str, Counter[int]] = {}
    for row in rows:
        start = row.get("settled_start_us", row.get("media_start_us"))
        end = row.get("settled_end_us", row.get("media_end_us"))
        if start is not None:
            counts.setdefault(row["stream_key"], Counter()).update(
                pts for pts in FRAMES if start <= pts < end
            )
    return counts


@pytest.mark.parametrize("workers", [1, 2])
def test_kills_lose_and_double_nothing(
    workers: int, video: Callable[[float], Path], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(video(DURATION_S).read_bytes())
    log = tmp_path / "log"
    chance = random.Random(workers)  # noqa: S311 - repeatable on purpose
    config = ServerConfig(keys={KEY: 1e6}, allow_faults=True, max_streams_per_key=100)
    with running_server(config) as running:
        server = Server(running.base_url)
        command = [sys.executable, str(CHILD), running.base_url, str(tmp_path / "state")]
        command += [str(log), str(workers), str(video(DURATION_S)), str(copy)]
        for _ in range(4):
            ended = one_life(server, command, kill_after_answers=chance.randrange(20))
            assert ended in (None, 0)
        assert one_life(server, command) == 0
        streams = stream_ids(server)
        # One more run of what is finished asks nothing and says nothing.
        length = log.stat().st_size
        assert one_life(server, command) == 0
        assert stream_ids(server) == streams
        assert log.stat().st_size == length

    counts = settled(read_log(log))
    assert len(counts) == 2
    for stream_key, of_stream in counts.items():
        assert dict(of_stream) == dict.fromkeys(FRAMES, 1), stream_key


def test_an_orderly_stop_is_gone_on_from_without_asking_twice(
    video: Callable[[float], Path], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with running_server(ServerConfig(keys={KEY: 1e6}, allow_faults=True)) as running:
        server = Server(running.base_url)
        command = [sys.executable, str(CHILD), running.base_url, str(tmp_path / "state")]
        command += [str(log), "1", str(video(DURATION_S))]
        assert one_life(server, command, stop_after_answers=5) == 0
        assert server.alive() == []
        stopped_at = len(read_log(log))
        assert one_life(server, command) == 0
        assert server.alive() == []
        assert len(server.streams()) == 2
        said = read_log(log)
        results = [row for row in said if row["kind"] == "Result"]
        assert stopped_at < len(said)
        # None is there twice; an answer that came while a stream was being left may be missing.
        given = sum(len(stream["results"]) for stream in server.streams())
        assert 0 <= given - len(results) <= 2 * len(server.streams())
        assert len({row["result_id"] for row in results}) == len(results)
    (counts,) = settled(said).values()
    assert dict(counts) == dict.fromkeys(FRAMES, 1)
