"""Groups of real processes: free ports, children, waiting for what shall happen."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

CHILD = Path(__file__).with_name("cluster_child.py")
PATIENCE_S = 40.0


def free_addresses(count: int) -> str:
    """Below the ports of outgoing connections, which could take them before their use."""
    with_listeners: list[socket.socket] = []
    try:
        for port in random.sample(range(12_000, 20_000), 8_000):
            listener = socket.socket()
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                listener.close()
                continue
            with_listeners.append(listener)
            if len(with_listeners) == count:
                return ";".join(f"127.0.0.1:{s.getsockname()[1]}" for s in with_listeners)
    finally:
        for listener in with_listeners:
            listener.close()
    msg = "no free ports"
    raise AssertionError(msg)


@contextmanager
def process(command: Sequence[str], **settings: object) -> Iterator[subprocess.Popen[str]]:
    """Start a process that does not outlive the test."""
    started = subprocess.Popen(  # type: ignore[call-overload]  # settings are Popen's own
        list(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def child(what: str, process_id: int, addresses: str, *more: str) -> list[str]:
    return [sys.executable, str(CHILD), what, str(process_id), addresses, *more]


def wait_until(happened: Callable[[], bool], what: str) -> float:
    """Return how long it took."""
    began_s = time.monotonic()
    while not happened():
        if time.monotonic() - began_s > PATIENCE_S:
            msg = f"did not happen within {PATIENCE_S:g} s: {what}"
            raise AssertionError(msg)
        time.sleep(0.02)
    return time.monotonic() - began_s


def children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(number) for number in tasks.read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
