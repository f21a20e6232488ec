"""The archive command as a process, and the local server that it asks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from overshoot_flow.local.running import RunningServer

KEY = "ovs-cli-key-that-must-not-leak"
DEADLINE_S = 90.0


def started(*arguments: str) -> subprocess.Popen[str]:
    """Start the command; what it says on either stream is its stdout."""
    return subprocess.Popen(
        [sys.executable, "-m", "overshoot_flow_pipelines.cli", "archive", *arguments],
        env={**os.environ, "OVERSHOOT_API_KEY": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> str:
    """Wait until it has ended; return what it said."""
    try:
        said, _ = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
        process.wait()
    return said


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for `condition`, which must come true while the command runs."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


def call(url: str, body: dict[str, Any] | None = None) -> Any:
    """Ask the local server about itself, or tell it something."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(  # noqa: S310
        url, data, {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def slow_down(server: RunningServer, delay_s: float) -> None:
    """From now on every answer takes `delay_s`."""
    call(f"{server.root_url}/_local/faults", {"kind": "model_slow", "delay_s": delay_s})


def asked(server: RunningServer) -> int:
    """How many questions have come."""
    return len(call(f"{server.root_url}/_local/chats"))
