"""What the camera benchmarks run beside the measured program, and faults for it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "services"))

from rtsp_support import CameraServer, free_port

__all__ = ["KEY", "CameraServer", "Overshoot", "running_overshoot"]

KEY = "ovs-cameras"
_STOP_TIMEOUT_S = 20.0
_HTTP_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Overshoot:
    """A local Overshoot server in a process of its own."""

    root_url: str
    pid: int

    @property
    def base_url(self) -> str:
        return f"{self.root_url}/v0.2"

    def streams(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(  # noqa: S310 - our own server's address
            f"{self.root_url}/_local/streams", timeout=_HTTP_TIMEOUT_S
        ) as answer:
            streams: list[dict[str, Any]] = json.load(answer)
        return streams

    def fault(self, kind: str, **settings: Any) -> None:  # noqa: ANN401 - JSON
        request = urllib.request.Request(  # noqa: S310 - our own server's address
            f"{self.root_url}/_local/faults",
            data=json.dumps({"kind": kind, **settings}).encode(),
            headers={"content-type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=_HTTP_TIMEOUT_S):  # noqa: S310 - as above
            pass


@contextmanager
def running_overshoot(streams: int) -> Iterator[Overshoot]:
    """Run the server of `cameras_overshoot.py` while the block runs."""
    port = free_port()
    script = Path(__file__).with_name("cameras_overshoot.py")
    process = subprocess.Popen(
        [sys.executable, str(script), str(port), KEY, str(streams)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if process.stdout is None or "Overshoot" not in process.stdout.readline():
            msg = "the local Overshoot server does not start"
            raise RuntimeError(msg)
        yield Overshoot(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        try:
            process.wait(timeout=_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
