"""One process at a time works on a state folder, and a dead one does not keep it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_flows import numbers_flow

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow import run
from overshoot_flow.flow.run_lock import RunLock
from overshoot_flow.flow.run_shape import shape_of
from overshoot_flow.flow.run_state import RunState

HOLD = """
import sys
from pathlib import Path
from overshoot_flow.flow.run_lock import RunLock
with RunLock(Path(sys.argv[1]) / "lock"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that waits for the end of its input."""
    with subprocess.Popen(
        [sys.executable, "-c", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        close_fds=False,
    ) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline() == "held\n"
            yield started
        finally:
            started.kill()


def test_a_second_process_is_refused_with_pid_and_host_until_the_first_is_killed(
    tmp_path: Path,
) -> None:
    with process(HOLD, str(tmp_path)) as holder:
        with pytest.raises(ConfigurationError) as refused:
            run(numbers_flow(), state=tmp_path)
        named = f"{tmp_path} is in use by pid {holder.pid} on {socket.gethostname()}: wait until"
        assert str(refused.value).startswith(named)
        # The refusal has left the holder's name alone.
        assert f"pid {holder.pid}" in (tmp_path / "lock").read_text()
    assert holder.returncode == -9
    kept: list[int] = []
    run(numbers_flow("a", kept=kept), state=tmp_path)
    assert kept == [1, 2, 3, 4, 5]


def test_a_second_run_in_the_same_process_is_refused(tmp_path: Path) -> None:
    shape = shape_of(numbers_flow())
    with RunState(tmp_path, shape):
        with pytest.raises(ConfigurationError, match=f"in use by pid {os.getpid()} "):
            run(numbers_flow(), state=tmp_path)
        # The refused one must not have freed it.
        with pytest.raises(ConfigurationError, match="in use"), RunLock(tmp_path / "lock"):
            pass
    with RunState(tmp_path, shape):
        pass


def test_the_lock_is_free_after_a_refusal(tmp_path: Path) -> None:
    run(numbers_flow("a", "b"), state=tmp_path)
    with pytest.raises(ConfigurationError, match="not there any more"):
        run(numbers_flow("a"), state=tmp_path)
    with RunLock(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text() == f"pid {os.getpid()} on {socket.gethostname()}\n"


def test_a_longer_name_of_the_holder_before_is_not_left_behind(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(f"pid {10**12} on a-host-with-a-long-name\n" * 2)
    with RunLock(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text() == f"pid {os.getpid()} on {socket.gethostname()}\n"


def test_a_program_that_the_run_starts_does_not_keep_the_lock(tmp_path: Path) -> None:
    lock = RunLock(tmp_path / "lock")
    with lock:
        outlives = process("print('held', flush=True); import sys; sys.stdin.read()")
        outlives.__enter__()
    try:
        with RunLock(tmp_path / "lock"):
            pass
    finally:
        outlives.__exit__(None, None, None)
