"""Cameras that are none: a port where nobody is, a mute server; and the text of a fleet file."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping

USER, PASSWORD = "viewer", "right:p@ss-hunter2"
"""What the locked cameras want."""


@contextlib.contextmanager
def nobody() -> Iterator[str]:
    """A port that refuses connections while the block runs."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@contextlib.contextmanager
def mute_server() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as open_:
        stopping = threading.Event()
        listening.settimeout(0.05)

        def take() -> None:
            while not stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    open_.enter_context(listening.accept()[0])

        taking = threading.Thread(target=take)
        taking.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            stopping.set()
            taking.join()


@contextlib.contextmanager
def meeting_server(count: int) -> Iterator[str]:
    """A server that is mute until `count` clients are there at once; then it sends all away."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(30)

        def meet() -> None:
            with contextlib.ExitStack() as open_, contextlib.suppress(TimeoutError):
                for _ in range(count):
                    open_.enter_context(listening.accept()[0])

        meeting = threading.Thread(target=meet)
        meeting.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            meeting.join()


def fleet_text(cameras: Mapping[str, str], base_url: str, more: str = "") -> str:
    """Write a fleet of cameras by name, each with its url and further lines."""
    lines = ["[defaults]", 'prompt = "What is there?"', "[[service]]", 'name = "main"']
    lines += [f'base_url = "{base_url}"', 'key = { env = "CHECK_KEY" }', more]
    for name, camera in cameras.items():
        lines += ["[[camera]]", f'name = "{name}"', f"url = {camera}"]
    return "\n".join(lines)
