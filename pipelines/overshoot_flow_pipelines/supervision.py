"""Decides what a supervisor does with its group of processes; pure: no processes, no clock.

When one process of the group is killed or crashes, the others cannot go on: they are stopped, and
all are started again from the last durable epoch. An ordinary error would come again, so it ends
the group. A group that dies again and again without getting on is given up.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from overshoot_flow.flow.membership import PEER_LOST_EXIT_CODE
from overshoot_flow_pipelines.summary import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK

_NO_CAUSE: Final = {EXIT_OK, EXIT_INTERRUPTED, PEER_LOST_EXIT_CODE}
_ASKED_SIGNALS: Final = {-signal.SIGTERM, -signal.SIGINT}
_OUR_SIGNALS: Final = {-signal.SIGTERM, -signal.SIGKILL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How patient a supervisor is.

    Attributes:
        second_signal_s: After a death, when the survivors are asked to stop at once.
        kill_s: After a death, when survivors are killed.
        stop_at_once_s: After a second signal of the user, when processes are killed.
        back_off_s: Pause before the second restart in a row without progress; it doubles.
        longest_back_off_s: Bound of the pause.
        barren_deaths: So many deaths in a row without progress end the run.
    """

    second_signal_s: float = 0.3
    kill_s: float = 4.0
    stop_at_once_s: float = 15.0
    back_off_s: float = 0.5
    longest_back_off_s: float = 8.0
    barren_deaths: int = 6


@dataclass(frozen=True, slots=True)
class Start:
    """Start all processes."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a signal to some of them."""

    number: signal.Signals
    processes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Examine:
    """All are gone: find out whether the run has got on, and call `examined`."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the user."""

    text: str


@dataclass(frozen=True, slots=True)
class End:
    """The group has ended with `code`; `cause` is the process whose error it was."""

    code: int
    cause: int | None = None


Action: TypeAlias = Start | Send | Examine | Tell | End


@dataclass(frozen=True, slots=True)
class _Exit:
    process: int
    code: int
    ours: bool


@dataclass(slots=True)
class Supervision:
    """Takes what happens to a group, says what to do.

    Args:
        processes: How many there are.
        restartable: Whether the run has a state from which it can go on.
        limits: How patient it is.
        is_endless: Whether the run has no end of its own: then a good end that the user has not
            asked for is a death. (LiveKit's SDK stops its process with SIGTERM when it fails.)

    Attributes:
        restarts: How often the group was started again.
    """

    processes: int
    restartable: bool
    limits: Limits = field(default_factory=Limits)
    is_endless: bool = False
    restarts: int = 0
    _alive: set[int] = field(default_factory=set)
    _exits: list[_Exit] = field(default_factory=list)
    _signals_asked: int = 0
    _stopping: bool = False
    _timers: list[tuple[float, signal.Signals]] = field(default_factory=list)
    _restart_at_s: float | None = None
    _barren_deaths: int = 0

    def start(self) -> list[Action]:
        """Begin."""
        self._alive = set(range(self.processes))
        self._exits.clear()
        self._timers.clear()
        self._stopping = False
        self._restart_at_s = None
        return [Start()]

    def exited(self, process: int, code: int, now_s: float) -> list[Action]:
        """Take a process's end; `code` is negative for a signal, as `subprocess` has it.

        Of ends that are noticed together, those by signals are to be told first.
        """
        self._alive.discard(process)
        ours = self._stopping and code in _OUR_SIGNALS
        asked = self._signals_asked > 0 and code in _ASKED_SIGNALS
        self._exits.append(_Exit(process, code, ours or asked))
        if not self._alive:
            return self._all_gone()
        if code == EXIT_OK or asked or self._stopping:
            return []
        self._stopping = True
        self._timers += [
            (now_s + self.limits.second_signal_s, signal.SIGTERM),
            (now_s + self.limits.kill_s, signal.SIGKILL),
        ]
        return [self._send(signal.SIGTERM)]

    def signalled(self, now_s: float) -> list[Action]:
        """Take a SIGTERM or SIGINT of the user: the first stops in order, the second at once."""
        self._signals_asked += 1
        if not self._alive:
            return [Tell("stopped before the processes were started again"), End(EXIT_INTERRUPTED)]
        if self._signals_asked == 2:  # noqa: PLR2004 - the second one
            self._timers.append((now_s + self.limits.stop_at_once_s, signal.SIGKILL))
        return [self._send(signal.SIGTERM)]

    def examined(self, *, progressed: bool, now_s: float) -> list[Action]:
        """Take the answer to `Examine`."""
        self._barren_deaths = 1 if progressed else self._barren_deaths + 1
        if self._barren_deaths >= self.limits.barren_deaths:
            return [
                Tell(
                    f"{self._what_happened()}; that was the death number {self._barren_deaths} in "
                    "a row in which no source got on: given up. The same command goes on from the "
                    "last durable epoch"
                ),
                End(EXIT_FAILED),
            ]
        pause_s = 0.0
        if self._barren_deaths > 1:
            doubled_s = self.limits.back_off_s * 2.0 ** (self._barren_deaths - 2)
            pause_s = min(doubled_s, self.limits.longest_back_off_s)
        self._restart_at_s = now_s + pause_s
        when = f" in {pause_s:g} s" if pause_s else ""
        return [
            Tell(
                f"{self._what_happened()}; all {self.processes} processes start again from the "
                f"last durable epoch{when}"
            )
        ]

    def tick(self, now_s: float) -> list[Action]:
        """Do what is due; to be called often."""
        if self._restart_at_s is not None:
            if now_s < self._restart_at_s:
                return []
            self.restarts += 1
            return self.start()
        due = [number for at_s, number in self._timers if at_s <= now_s]
        self._timers = [timer for timer in self._timers if timer[0] > now_s]
        return [self._send(number) for number in due]

    def _send(self, number: signal.Signals) -> Send:
        return Send(number, tuple(sorted(self._alive)))

    def _all_gone(self) -> list[Action]:
        self._timers.clear()
        codes = {end.code for end in self._exits}
        cause = self._cause()
        if cause is not None and cause.code > 0:
            return [End(cause.code, cause.process)]
        crashed = cause is not None or PEER_LOST_EXIT_CODE in codes
        if self._signals_asked:
            return self._stopped(codes, crashed=crashed)
        first = next((end.code for end in self._exits if end.code != EXIT_OK), EXIT_OK)
        if cause is None and first == EXIT_INTERRUPTED:
            # Somebody has stopped a process at once, and the others have lost it.
            return [End(EXIT_INTERRUPTED)]
        crashed = crashed or self.is_endless
        if crashed and self.restartable:
            return [Examine()]
        if crashed:
            advice = "without a state folder the run cannot go on; name one with --state"
            return [Tell(f"{self._what_happened()}; {advice}"), End(EXIT_FAILED)]
        return [End(EXIT_OK)]

    def _stopped(self, codes: Iterable[int], *, crashed: bool) -> list[Action]:
        if self._signals_asked > 1 or EXIT_INTERRUPTED in codes:
            return [End(EXIT_INTERRUPTED)]
        if crashed:
            return [Tell(f"{self._what_happened()} while the run was stopping"), End(EXIT_FAILED)]
        return [End(EXIT_OK)]

    @property
    def _ended_well(self) -> bool:
        return all(end.code == EXIT_OK for end in self._exits)

    def _cause(self) -> _Exit | None:
        """The first end that no other one explains."""
        return next((e for e in self._exits if e.code not in _NO_CAUSE and not e.ours), None)

    def _what_happened(self) -> str:
        cause = self._cause()
        if cause is None and self._ended_well:
            return "the run was ended from within"
        if cause is None:
            return "the processes have lost each other"
        return f"process {cause.process} was ended by {_signal_name(-cause.code)}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
