"""A process that asks about windows is killed or stopped; each window is recorded once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from end_to_end_support import KEY
from window_flow_support import WindowServer, window_server

from overshoot_flow.local.testvideo import VideoSpec, generate
from overshoot_flow.protocol.windows import Windows

pytestmark = pytest.mark.xdist_group("real time")

CHILD = Path(__file__).with_name("window_resume_child.py")
SPEC = VideoSpec(width=320, height=180, fps=10, duration_s=5.0, gop=20)
EXPECTED = [(w.start_us, w.end_us) for w in Windows(1, 0.5).until(5_000_000)]


def one_life(
    server: WindowServer, command: list[str], end: Callable[[subprocess.Popen[bytes]], None] | None
) -> int:
    """Run one process; after two more answers it is ended so."""
    before = len(server.chats())
    process = subprocess.Popen(
        command, env={**os.environ, "OVERSHOOT_API_KEY": KEY}, stderr=subprocess.DEVNULL
    )
    try:
        while process.poll() is None:
            if end is not None and len(server.chats()) >= before + 2:
                end(process)
                return process.wait(30)
            time.sleep(0.02)
        return process.returncode
    finally:
        process.kill()
        process.wait()


def read_results(log: Path) -> list[dict[str, Any]]:
    said = [json.loads(line) for line in log.read_text().splitlines()]
    assert {row["kind"] for row in said} <= {"Result", "Usage"}
    return [row for row in said if row["kind"] == "Result"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_each_window_is_recorded_once(number: signal.Signals, tmp_path: Path) -> None:
    video = generate(tmp_path / "made.mp4", SPEC).path
    log = tmp_path / "log"
    with window_server(max_streams_per_key=20) as server:
        command = [sys.executable, str(CHILD), f"{server.root}/v1", str(tmp_path / "state")]
        command += [str(log), str(video)]
        code = one_life(server, command, lambda process: process.send_signal(number))
        assert code == (0 if number is signal.SIGTERM else -number)
        assert one_life(server, command, None) == 0
        asked = len(server.chats())
        streams = len(server.streams())
        # Once more, of what is finished: nothing is asked and nothing is said.
        length = log.stat().st_size
        assert one_life(server, command, None) == 0
        assert (len(server.chats()), len(server.streams())) == (asked, streams)
        assert log.stat().st_size == length
        if number is signal.SIGTERM:
            assert server.alive() == []
            assert asked == len(EXPECTED)
    results = read_results(log)
    assert [(row["media_start_us"], row["media_end_us"]) for row in results] == EXPECTED
    assert len({row["result_id"] for row in results}) == len(EXPECTED)
    assert sum(row["frames_covered"] + row["frames_between"] for row in results) == 50
