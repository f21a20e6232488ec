"""Starts the processes of a group, watches them, and does what `supervision` decides."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.peers import Peer
from overshoot_flow.flow.run_progress import positions_digest
from overshoot_flow_pipelines.supervised import Supervised, read_handover
from overshoot_flow_pipelines.supervision import (
    Action,
    End,
    Examine,
    Send,
    Start,
    Supervision,
    Tell,
)

_POLL_S: Final = 0.02
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_HOST: Final = "127.0.0.1"
# Below the ports that systems give to outgoing connections, one of which could take an address
# between its choice and its use.
_PORTS: Final = range(20_000, 32_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupEnd:
    """How a group ended.

    Attributes:
        code: Exit code.
        handovers: What the processes of the last start have left, in their order.
        restarts: How often all were started again.
    """

    code: int
    handovers: list[dict[str, Any]]
    restarts: int


def supervise(
    arguments: Sequence[str], processes: int, state: Path | None, *, is_endless: bool = False
) -> GroupEnd:
    """Run `overshoot-flow` with `arguments` as a group of processes on this machine.

    SIGTERM, SIGINT and SIGHUP are passed on to all of them. None of them outlives this process.

    Args:
        arguments: The command line without the program's name.
        processes: How many.
        state: The run's state folder; without one the group is not started again.
        is_endless: Whether the run ends only when it is told to: any other end is a death.

    Raises:
        ConfigurationError: No ports are free.
    """
    with tempfile.TemporaryDirectory(prefix="overshoot-flow-") as folder:
        decisions = Supervision(processes, restartable=state is not None, is_endless=is_endless)
        group = _Group(arguments, decisions, state, Path(folder))
        with group, _forwarded() as received:
            return group.run(received)


class _Group:
    def __init__(
        self, arguments: Sequence[str], decisions: Supervision, state: Path | None, folder: Path
    ) -> None:
        self._arguments = list(arguments)
        self._count = decisions.processes
        self._state = state
        self._folder = folder
        self._decisions = decisions
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._positions: str | None = None
        self._lifeline, self._our_end = os.pipe()
        self._end: End | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
        os.close(self._our_end)
        os.close(self._lifeline)

    def run(self, received: list[int]) -> GroupEnd:
        self._positions = self._progress()
        self._do(self._decisions.start())
        while self._end is None:
            time.sleep(_POLL_S)
            while received and self._end is None:
                if received.pop(0) == signal.SIGHUP:
                    self._pass_on_hangup()
                else:
                    self._do(self._decisions.signalled(time.monotonic()))
            for number, code in self._exits():
                self._do(self._decisions.exited(number, code, time.monotonic()))
            if self._end is None:
                self._do(self._decisions.tick(time.monotonic()))
        handovers = [read_handover(self._handover(number)) for number in range(self._count)]
        if self._end.cause is not None and "error" in handovers[self._end.cause]:
            _tell(handovers[self._end.cause]["error"])
        return GroupEnd(code=self._end.code, handovers=handovers, restarts=self._decisions.restarts)

    def _pass_on_hangup(self) -> None:
        """It asks for no end: whoever follows a file looks at it."""
        for process in self._processes.values():
            process.send_signal(signal.SIGHUP)

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Start():
                    self._start()
                case Send(number, processes):
                    for process in set(processes) & self._processes.keys():
                        self._processes[process].send_signal(number)
                case Examine():
                    self._examine()
                case Tell(text):
                    _tell(text)
                case End():
                    self._end = action

    def _start(self) -> None:
        addresses = tuple(f"{_HOST}:{port}" for port in _free_ports(self._count))
        for number in range(self._count):
            self._handover(number).unlink(missing_ok=True)
            told = Supervised(
                peer=Peer(number, addresses),
                handover=self._handover(number),
                lifeline=self._lifeline,
            )
            with _hangup_ignored():
                self._processes[number] = subprocess.Popen(  # noqa: S603 - this program itself
                    [sys.executable, "-m", "overshoot_flow_pipelines.cli", *self._arguments],
                    env={**os.environ, **told.environment()},
                    stdin=subprocess.DEVNULL,
                    pass_fds=(self._lifeline,),
                    # Ctrl-C reaches the supervisor alone, which passes it on once.
                    process_group=0,
                )

    def _exits(self) -> list[tuple[int, int]]:
        """Those by signals first: of two ends at once, they are the cause."""
        ended = [
            (number, process.returncode)
            for number, process in self._processes.items()
            if process.poll() is not None
        ]
        for number, _ in ended:
            del self._processes[number]
        return sorted(ended, key=lambda end: end[1])

    def _examine(self) -> None:
        positions = self._progress()
        progressed = positions is not None and positions != self._positions
        self._positions = positions
        self._do(self._decisions.examined(progressed=progressed, now_s=time.monotonic()))

    def _progress(self) -> str | None:
        return None if self._state is None else positions_digest(self._state)

    def _handover(self, number: int) -> Path:
        return self._folder / f"process-{number}.json"


@contextmanager
def _hangup_ignored() -> Iterator[None]:
    """A process that is started meanwhile survives the hangups that come before it takes them.

    What comes here in that moment is lost, and not missed: files are looked at anyway.
    """
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def _forwarded() -> Iterator[list[int]]:
    """Collect the signals."""
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_ports(count: int) -> list[int]:
    free: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if len(free) == count:
            return free
        with socket.socket() as probe:
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
        free.append(port)
    raise ConfigurationError(f"{count} free ports of {_HOST} are needed for the processes")


def _tell(text: str) -> None:
    sys.stderr.write(f"overshoot-flow: {text}\n")
    sys.stderr.flush()
