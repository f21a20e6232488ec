"""What the processes of a cluster tell each other beside the engine: one JSON object a line."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from overshoot_flow.flow.run_shape import RunShape

_LONGEST_LINE: Final = 4096
_SEND_TIMEOUT_S: Final = 2.0
# A host that loses its power says no goodbye: it is noticed after about 11 s.
_KEEPALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)

Message = Mapping[str, Any]
GO: Final[Message] = {"say": "go"}
"""From process 0: all are there, start the engine."""
LEAVE: Final[Message] = {"say": "leave"}
"""To process 0: this process is being stopped and wants not to be waited for."""
DONE: Final[Message] = {"say": "done"}
"""The engine has ended well here, and everything is published."""


def refused(reason: str) -> Message:
    """From process 0: the peer does not fit."""
    return {"say": "refused", "reason": reason}


def lost(process_id: int) -> Message:
    """A process failed or died."""
    return {"say": "lost", "process": process_id}


@dataclass(frozen=True, slots=True)
class Greeting:
    """What must be the same in all processes, and who says it.

    Attributes:
        process: Number of the process.
        addresses: Of all processes.
        workers: Worker threads of each process.
        flow: Digest of the flow's shape.
    """

    process: int
    addresses: tuple[str, ...]
    workers: int
    flow: str

    def message(self) -> Message:
        """Return what is sent."""
        return {"say": "hello", **asdict(self)}

    def difference(self, theirs: Message) -> str | None:
        """Say why a process that greets so cannot take part, or None."""
        process = theirs.get("process")
        if not isinstance(process, int) or not 0 < process < len(self.addresses):
            return f"there is no process {process!r} among {len(self.addresses)} addresses"
        for name, words in (
            ("addresses", "the same addresses in the same order"),
            ("workers", "the same number of workers"),
            ("flow", "the same flow: the same steps, files and cameras under the same names"),
        ):
            own = getattr(self, name)
            if theirs.get(name) != (list(own) if isinstance(own, tuple) else own):
                return f"process {process} and process 0 differ: give all of them {words}"
        return None


def digest_of(shape: RunShape) -> str:
    """Return hex digits that differ whenever the flows of two processes do."""
    document = json.dumps(shape.to_document(), sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()[:16]


class Line:
    """One end of a connection between two processes.

    Args:
        connection: A connected socket; the line owns it.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""
        self.open = True
        connection.settimeout(_SEND_TIMEOUT_S)
        for level, option, value in _KEEPALIVE:
            connection.setsockopt(level, option, value)

    def fileno(self) -> int:
        """The socket's number, for selectors."""
        return self._connection.fileno()

    def send(self, message: Message) -> None:
        """Send a message; an end that is gone is noticed by `receive`."""
        try:
            self._connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self.open = False

    def receive(self) -> list[dict[str, Any]]:
        """Return the messages that have come; afterwards `open` tells whether more can.

        To be called when a selector says so. Whoever sends anything else is a stranger, such as a
        port scanner: the line ends.
        """
        try:
            chunk = self._connection.recv(_LONGEST_LINE)
        except OSError:
            chunk = b""
        *lines, self._received = (self._received + chunk).split(b"\n")
        self.open = bool(chunk) and len(self._received) <= _LONGEST_LINE
        messages: list[dict[str, Any]] = []
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:
                message = None
            if not isinstance(message, dict):
                self.open = False
                break
            messages.append(message)
        return messages

    def close(self) -> None:
        """End the connection."""
        self._connection.close()
