"""Fixtures: cameras behind a real RTSP server, which tests may freeze, kill and start again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

SCRIPT: Final = Path(__file__).with_name("gstreamer_cameras.py")
SYSTEM_PYTHON: Final = "/usr/bin/python3"
_PROBE: Final = """
import gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
missing = [e for e in ("x264enc", "x265enc", "jpegenc", "rtph264pay", "h264parse")
           if Gst.ElementFactory.find(e) is None]
from gi.repository import Gio
if not Gio.TlsBackend.get_default().supports_tls():
    missing.append("glib-networking")
raise SystemExit(f"no {missing}" if missing else 0)
"""
_INSTALL: Final = "GStreamer's RTSP server is missing: run `make services` (apt, needs root)"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait for `condition`, polling; fail at the deadline."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            pytest.fail(f"not true within {timeout_s} s")
        time.sleep(0.02)


class CameraServer:
    """GStreamer's RTSP server in a process of its own, at 127.0.0.1 and always the same port.

    Args:
        cameras: Settings by mount name, see `gstreamer_cameras.py`.
        credentials: User name and password that it demands, or None.
        tls: File with the private key and the certificate that it speaks TLS with, or None.
    """

    def __init__(
        self,
        cameras: Mapping[str, Mapping[str, Any]],
        credentials: tuple[str, str] | None = None,
        tls: Path | None = None,
    ) -> None:
        self.port = free_port()
        self._cameras = json.dumps(cameras)
        self._options: list[str] = []
        if credentials is not None:
            self._options += ["--credentials", *credentials]
        if tls is not None:
            self._options += ["--tls", str(tls)]
        self._scheme = "rtsp" if tls is None else "rtsps"
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        command = [SYSTEM_PYTHON, str(SCRIPT), str(self.port), self._cameras, *self._options]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # The virtual environment's modules are not for the system's Python.
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        )
        assert "listening" in self._answer()

    def url(self, camera: str, credentials: str = "") -> str:
        return f"{self._scheme}://{credentials}127.0.0.1:{self.port}/{camera}"

    def command(self, command: str, **arguments: Any) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the RTSP server has died"
        answer: dict[str, Any] = json.loads(line)
        assert "error" not in answer, answer
        return answer

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self._process = None


@pytest.fixture(scope="session")
def rtsp_available() -> None:
    """Skip where the server cannot be run."""
    if shutil.which(SYSTEM_PYTHON) is None:
        pytest.skip(_INSTALL)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    probe = subprocess.run(
        [SYSTEM_PYTHON, "-c", _PROBE], capture_output=True, env=environment, check=False
    )
    if probe.returncode:
        pytest.skip(_INSTALL)


@pytest.fixture
def camera_servers(
    rtsp_available: None,  # noqa: ARG001 - a fixture asks for another one by name
    request: pytest.FixtureRequest,
) -> Iterator[Callable[..., CameraServer]]:
    """Makes servers; all are killed at the end."""
    request.node.user_properties.append(("service", "RTSP server"))
    made: list[CameraServer] = []

    def make(*arguments: Any, **settings: Any) -> CameraServer:
        made.append(CameraServer(*arguments, **settings))
        return made[-1]

    yield make
    for server in made:
        server.kill()
