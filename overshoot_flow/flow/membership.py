"""A process's part in a cluster, from the meeting until all are done."""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from overshoot_flow.errors import PeerLostError
from overshoot_flow.flow.peer_line import DONE, Greeting, Line, lost
from overshoot_flow.flow.peers import Peer
from overshoot_flow.flow.rendezvous import Stopped, meet

PEER_LOST_EXIT_CODE: Final = os.EX_TEMPFAIL
"""What a process ends with that has lost a peer and cannot leave the engine otherwise: 75."""

_LISTENERS_FIRST_S: Final = 0.2
"""How long the others let process 0 go ahead: an engine that finds nobody waits for a second."""

_ENGINE_TIMEOUT_S: Final = 3.0
"""How long after a loss the engine may take to let go; it does at once when it has to send."""


class Membership:
    """Meets the other processes, notices when one is lost; a context manager.

    Leaving it without an exception says that this process is done; process 0 then waits for the
    others, so that what it holds for all of them (the lock of the state folder) is held until then.

    Args:
        peer: Which process this is.
        greeting: What the others must agree with.
        timeout_s: How long they are waited for.
        stopped: Whether this process was asked to stop; the meeting ends then.
        at_hang: Called before this process is ended because the engine does not let go of it.

    Attributes:
        together: Whether all are there; False when the process was stopped before.

    Raises:
        PeerMissingError: On entering: not all came in time.
        PeerLostError: On leaving: another one failed or died before it was done.
        ConfigurationError: On entering: the processes do not fit together.
    """

    def __init__(
        self,
        peer: Peer,
        greeting: Greeting,
        *,
        timeout_s: float,
        stopped: Stopped,
        at_hang: Callable[[], None],
    ) -> None:
        self._peer = peer
        self._greeting = greeting
        self._timeout_s = timeout_s
        self._stopped = stopped
        self._at_hang = at_hang
        self._lines: dict[int, Line] = {}
        self._changed = threading.Condition()
        self._done: set[int] = set()
        self._lost: int | None = None
        self._left = threading.Event()
        self._left_engine = threading.Event()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._thread = threading.Thread(target=self._watch, name="peer-watch", daemon=True)
        self.together = False

    def __enter__(self) -> Self:
        """Meet the others."""
        lines = meet(self._peer, self._greeting, timeout_s=self._timeout_s, stopped=self._stopped)
        if lines is not None:
            self._lines = lines
            self.together = True
            self._thread.start()
            if self._peer.process_id != 0:
                time.sleep(_LISTENERS_FIRST_S)
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Say goodbye, or leave without it when this process has failed."""
        try:
            if self.together and exception is None:
                self._finish()
        finally:
            self._left.set()
            if self.together:
                self._wake_writer.send(b"x")
                self._thread.join()
            for line in self._lines.values():
                line.close()
            self._wake_reader.close()
            self._wake_writer.close()

    @property
    def is_lost(self) -> bool:
        """Whether another process is known to be lost."""
        return self._lost is not None

    def loss(self, wait_s: float) -> PeerLostError | None:
        """Return which process is lost, after waiting for the news if need be."""
        with self._changed:
            self._changed.wait_for(lambda: self._lost is not None, wait_s)
            return None if self._lost is None else self._loss_of(self._lost)

    def left_engine(self, *, failed: bool) -> None:
        """Note that the engine has let go; a failure is told to the others at once."""
        self._left_engine.set()
        if failed:
            for line in self._lines.values():
                line.send(lost(self._peer.process_id))

    def _finish(self) -> None:
        if self._peer.process_id == 0:
            others = set(self._peer.others)
            with self._changed:
                self._changed.wait_for(lambda: self._done >= others or self._lost is not None)
                if self._lost is not None:
                    raise self._loss_of(self._lost)
        for line in self._lines.values():
            line.send(DONE)

    def _loss_of(self, process_id: int) -> PeerLostError:
        return PeerLostError(
            f"{self._peer.named(process_id)} of the cluster failed or died: start all processes "
            "again; with their state folder they go on from the last durable epoch"
        )

    # The thread.

    def _watch(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_reader, selectors.EVENT_READ)
            for number, line in self._lines.items():
                selector.register(line, selectors.EVENT_READ, number)
            while not self._left.is_set() and self._lost is None:
                for key, _ in selector.select():
                    if isinstance(key.fileobj, Line):
                        self._hear(key.data, key.fileobj)
                        if not key.fileobj.open:
                            selector.unregister(key.fileobj)
        if self._lost is not None:
            self._leave_engine(self._loss_of(self._lost))

    def _hear(self, number: int, line: Line) -> None:
        for message in line.receive():
            self._take(number, message)
        if not line.open and number not in self._done:
            self._note_loss(number)

    def _take(self, number: int, message: dict[str, Any]) -> None:
        if message.get("say") == "done":
            with self._changed:
                self._done.add(number)
                self._changed.notify_all()
        elif message.get("say") == "lost" and message.get("process") in self._peer.others:
            self._note_loss(message["process"])

    def _note_loss(self, number: int) -> None:
        with self._changed:
            if self._lost is None:
                self._lost = number
                self._changed.notify_all()
        for line in self._lines.values():
            line.send(lost(number))

    def _leave_engine(self, loss: PeerLostError) -> None:
        """See that this process leaves the engine, which panics by itself or hangs.

        It is not called out of it by an exception: the engine then aborts the whole process
        ("thread caused non-unwinding panic") in most cases, before its streams are deleted.
        """
        if self._left_engine.wait(_ENGINE_TIMEOUT_S):
            return
        self._at_hang()
        os.write(2, f"overshoot-flow: {loss}\n".encode())
        os._exit(PEER_LOST_EXIT_CODE)
