"""Where the processes of a cluster meet before any of them starts the engine.

The engine connects its processes in native code that waits for ever, names nobody, takes no signal
and gives up when a stranger connects. So they meet first: process 0 listens on its own address,
the others come, and only when all are there it lets them go; it frees the address for the engine.
The connections stay open: whose connection ends without a goodbye is lost.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Callable
from typing import Final

from overshoot_flow.errors import ConfigurationError, PeerMissingError
from overshoot_flow.flow.peer_line import GO, LEAVE, Greeting, Line, refused
from overshoot_flow.flow.peers import Peer

_POLL_S: Final = 0.1
_RETRY_S: Final = 0.2
_MOST_CONNECTIONS: Final = 256
"""Strangers beyond that are turned away at once."""

Stopped = Callable[[], bool]


def meet(
    peer: Peer, greeting: Greeting, *, timeout_s: float, stopped: Stopped
) -> dict[int, Line] | None:
    """Wait for the other processes; return the lines to them, or None when stopped before.

    Process 0 has a line to each of the others, each of the others one to process 0. A process
    that is stopped in the very moment in which all are there takes part.

    Raises:
        PeerMissingError: Not all came within `timeout_s`.
        ConfigurationError: This process does not fit to process 0, or cannot use its address.
    """
    deadline_s = time.monotonic() + timeout_s
    if peer.process_id == 0:
        with contextlib.closing(_listener(peer)) as listener:
            return _Gathering(peer, greeting, listener).wait(deadline_s, timeout_s, stopped)
    line = _join(peer, greeting, deadline_s, timeout_s, stopped)
    return None if line is None else {0: line}


def _listener(peer: Peer) -> socket.socket:
    host, port = peer.place(0)
    try:
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # With the address reusable, the engine can listen there while the lines are still open.
        return socket.create_server(address[:2], family=family, reuse_port=False)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {peer.addresses[0]}, the address of process 0: "
            f"{error.strerror or error}. Give it an address of this machine and a free port"
        ) from None


class _Gathering:
    """Process 0 waits for the others."""

    def __init__(self, peer: Peer, greeting: Greeting, listener: socket.socket) -> None:
        self._peer = peer
        self._greeting = greeting
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._arrived: dict[int, Line] = {}
        self._refusal: str | None = None

    def wait(self, deadline_s: float, timeout_s: float, stopped: Stopped) -> dict[int, Line] | None:
        self._selector.register(self._listener, selectors.EVENT_READ)
        try:
            while len(self._arrived) < len(self._peer.others):
                if stopped():
                    return None
                if time.monotonic() >= deadline_s:
                    raise self._missing(timeout_s)
                for key, _ in self._selector.select(_POLL_S):
                    if isinstance(key.fileobj, Line):
                        self._listen_to(key.fileobj)
                    else:
                        self._accept()
            gathered, self._arrived = self._arrived, {}
            for line in gathered.values():
                self._selector.unregister(line)
                line.send(GO)
            return gathered
        finally:
            for key in list(self._selector.get_map().values()):
                if isinstance(key.fileobj, Line):
                    key.fileobj.close()
            self._selector.close()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        if len(self._selector.get_map()) > _MOST_CONNECTIONS:
            connection.close()
            return
        self._selector.register(Line(connection), selectors.EVENT_READ)

    def _listen_to(self, line: Line) -> None:
        for message in line.receive():
            if message.get("say") == "hello":
                self._greet(line, message)
            else:
                # It wants to leave, or speaks another language.
                line.open = False
        if not line.open:
            self._selector.unregister(line)
            self._arrived = {n: other for n, other in self._arrived.items() if other is not line}
            line.close()

    def _greet(self, line: Line, message: dict[str, object]) -> None:
        reason = self._greeting.difference(message)
        number = message.get("process")
        if reason is None and number in self._arrived:
            reason = f"another process {number} is there already: number them from 0 on"
        if reason is not None or not isinstance(number, int):
            self._refusal = reason or "it has no number"
            line.send(refused(self._refusal))
            line.open = False
            return
        self._arrived[number] = line

    def _missing(self, timeout_s: float) -> PeerMissingError:
        missing = [self._peer.named(n) for n in self._peer.others if n not in self._arrived]
        refusal = "" if self._refusal is None else f" One was refused: {self._refusal}."
        return PeerMissingError(
            f"{', '.join(missing)} of the cluster did not come within {timeout_s:g} s: start all "
            f"processes with the same addresses, reachable from each other.{refusal}"
        )


def _join(
    peer: Peer, greeting: Greeting, deadline_s: float, timeout_s: float, stopped: Stopped
) -> Line | None:
    connected = False
    while not stopped():
        if time.monotonic() >= deadline_s:
            what = (
                f"{peer.named(0)} is there, but others did not come"
                if connected
                else f"{peer.named(0)} did not come"
            )
            raise PeerMissingError(
                f"{what} within {timeout_s:g} s: start all processes of the cluster with the same "
                "addresses, reachable from each other"
            )
        try:
            connection = socket.create_connection(peer.place(0), timeout=_RETRY_S)
        except OSError:
            time.sleep(_RETRY_S)
            continue
        line = Line(connection)
        connected = True
        line.send(greeting.message())
        if _released(line, deadline_s, stopped):
            return line
        line.close()
        time.sleep(_RETRY_S)
    return None


def _released(line: Line, deadline_s: float, stopped: Stopped) -> bool:
    """Wait for process 0's word; False when the line ends before."""
    leaving = False
    with selectors.DefaultSelector() as selector:
        selector.register(line, selectors.EVENT_READ)
        while line.open and time.monotonic() < deadline_s:
            if stopped() and not leaving:
                # Process 0 may have said "go" in this moment: its answer decides.
                line.send(LEAVE)
                leaving = True
            if not selector.select(_POLL_S):
                continue
            for message in line.receive():
                if message.get("say") == "refused":
                    raise ConfigurationError(str(message.get("reason")))
                if message.get("say") == "go":
                    return True
    return False
