"""The native library's log does not become Python's work, and can be seen by who wants it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def nobody() -> Iterator[str]:
    """A URL where nobody answers: the port is taken and does not listen."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"ws://127.0.0.1:{taken.getsockname()[1]}"


def join(url: str, is_kept_out: str, **environment: str) -> tuple[int, str]:
    """Return how many records reached Python, and what is in stderr."""
    rest = {name: value for name, value in os.environ.items() if name != "RUST_LOG"}
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("native_logs_child.py"), url, is_kept_out],
        env=rest | {"LIVEKIT_RTC_DEBUG": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return int(done.stdout), done.stderr


def test_nothing_reaches_python_and_nothing_is_written(nobody: str) -> None:
    assert join(nobody, "no")[0] > 0
    assert join(nobody, "yes") == (0, "")


def test_what_is_asked_for_is_written_to_stderr(nobody: str) -> None:
    records, stderr = join(nobody, "yes", RUST_LOG="livekit=debug")
    assert records == 0
    assert "livekit" in stderr
