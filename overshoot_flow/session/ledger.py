"""The process's ledger: where sessions put finished pieces and sources take them (drain token).

A source emits frames, `infer` hands them to a session, the session's answers come later and in
another thread. So that the read position and the answers end in the same epoch, a session puts
each finished piece of media here; the source takes it, and emits it back into the flow as part of
its own output. The same account brakes the source: it may emit only as many frames as the
slowest session has room for, because the engine's queues have no other bound.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from overshoot_flow.results import GapReason, Piece
from overshoot_flow.session.status import STATUSES
from overshoot_flow.spending import Spending

PIECES_CAPACITY: Final = 1024
"""Pieces that may wait for the source; beyond it sessions stop publishing (they never drop)."""

UNATTACHED_BATCH: Final = 8
"""Frames a source may emit at once before it is known whether an `infer` follows."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a session wants no frames for the time being."""

    reason: GapReason
    detail: str


@dataclass(slots=True)
class _SessionEntry:
    released: int = 0
    refusing: bool = False
    ended: bool = False
    left: int = 0
    left_because: set[GapReason] = field(default_factory=set)
    hold: Hold | None = None
    gave_up: bool = False


@dataclass(slots=True)
class Account:
    """One stream key's part of the ledger. Every method may be called from any thread.

    Args:
        stream_key: Key of the source partition.
        capacity: Frames that may be between the source and a session's publisher.
        finished_before: Says whether an earlier part of the run has finished the frame with the
            given pts for the given step.
        live: Whether the media is a camera's: frames come at their own pace, are published as
            they come, never again on a new stream, and the session never gives up.
        identity: What the media is, the same whenever the same media is read; None for the key.
        spending: What is spent on the stream, in earlier parts of the run too.
        begins_us: Media time at which the media begins: the first window begins there.
        labels: What the source knows of the user's own names and values of the stream.
        resumable: Whether another part of the run can read what this one leaves.
    """

    stream_key: str
    capacity: int = 16
    finished_before: Callable[[str, int], bool] = lambda _step_id, _pts_us: False
    live: bool = False
    identity: str | None = None
    spending: Spending = field(default_factory=Spending)
    begins_us: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    resumable: bool = False
    activated_at_s: float = field(default_factory=time.monotonic)
    """Monotonic time at which the engine last let the source work."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _sessions: dict[str, _SessionEntry] = field(default_factory=dict)
    _pieces: deque[Piece] = field(default_factory=deque)
    _emitted: int = 0
    _ending: bool = False

    def room(self) -> int:
        """How many frames the source may emit now."""
        with self._lock:
            if not self._sessions:
                return UNATTACHED_BATCH
            live = [entry.released for entry in self._sessions.values() if not entry.refusing]
            return max(0, self.capacity - self._emitted + min(live)) if live else 0

    def emitted(self, frames: int) -> None:
        """The source has emitted `frames` frames."""
        with self._lock:
            self._emitted += frames

    def end_soon(self) -> None:
        """The source is stopping before its media is over.

        A session that cannot reach the service need not go on trying.
        """
        with self._lock:
            self._ending = True

    @property
    def ending(self) -> bool:
        """Whether the source is stopping."""
        with self._lock:
            return self._ending

    @property
    def frames_emitted(self) -> int:
        """How many frames the source has emitted."""
        with self._lock:
            return self._emitted

    def take(self) -> tuple[Piece, ...]:
        """Take all finished pieces, in the order they were put; done whenever the source works."""
        self.activated_at_s = time.monotonic()
        with self._lock:
            pieces = tuple(self._pieces)
            self._pieces.clear()
            return pieces

    @property
    def attached(self) -> bool:
        """Whether an `infer` has seen this stream."""
        with self._lock:
            return bool(self._sessions)

    @property
    def step_ids(self) -> frozenset[str]:
        """The steps whose sessions have taken part."""
        with self._lock:
            return frozenset(self._sessions)

    def hold(self, step_id: str, hold: Hold | None) -> None:
        """The session of `step_id` wants no frames, and why; None when it wants them again."""
        with self._lock:
            self._sessions[step_id].hold = hold

    @property
    def held(self) -> Hold | None:
        """Why no session wants frames for the time being; None when one does."""
        with self._lock:
            wanting = [entry for entry in self._sessions.values() if not entry.refusing]
            if not wanting or any(entry.hold is None for entry in wanting):
                return None
            return wanting[0].hold

    @property
    def unwanted(self) -> bool:
        """Whether every session has failed: the source may as well stop reading."""
        with self._lock:
            return bool(self._sessions) and all(e.refusing for e in self._sessions.values())

    @property
    def drained(self) -> bool:
        """Whether every session has ended and every piece is taken."""
        with self._lock:
            return not self._pieces and all(entry.ended for entry in self._sessions.values())

    def attach(self, step_id: str) -> None:
        """A session of `step_id` takes part; it will release every frame emitted so far."""
        with self._lock:
            self._sessions[step_id] = _SessionEntry()

    def release(self, step_id: str, frames: int = 1) -> None:
        """`frames` frames have left the way between the source and the session's publisher."""
        with self._lock:
            self._sessions[step_id].released += frames

    def refuse(self, step_id: str, *, gave_up: bool = False) -> None:
        """The session of `step_id` wants no more frames; it records those under way as lost.

        With `gave_up` another part of the run may well want those that were not read.
        """
        with self._lock:
            entry = self._sessions[step_id]
            entry.refusing = True
            entry.gave_up = entry.gave_up or gave_up

    @property
    def given_up(self) -> bool:
        """Whether a session has given up what another part of the run may take up again."""
        with self._lock:
            return any(entry.gave_up for entry in self._sessions.values())

    def all_labels(self, assigned: Mapping[str, str]) -> dict[str, str]:
        """Return the stream's labels with those that came with the question."""
        return {**assigned, **self.labels}

    def leave(self, step_id: str, frames: int, because: GapReason = GapReason.STOPPED) -> None:
        """`frames` frames are settled in the next part of the run, which reads them again."""
        with self._lock:
            self._sessions[step_id].left += frames
            self._sessions[step_id].left_because.add(because)

    @property
    def left_because(self) -> frozenset[GapReason]:
        """Why sessions leave frames to the next part of the run."""
        with self._lock:
            return frozenset().union(*(each.left_because for each in self._sessions.values()))

    @property
    def frames_left(self) -> int:
        """How many frames every session leaves to the next part of the run."""
        with self._lock:
            return min((entry.left for entry in self._sessions.values()), default=0)

    def put(self, piece: Piece) -> None:
        """Add a finished piece."""
        STATUSES.of(piece.step_id, piece.stream_key).settled(piece.outcomes)
        with self._lock:
            self._pieces.append(piece)

    @property
    def congested(self) -> bool:
        """Whether so many pieces wait that no more video should be published."""
        with self._lock:
            return len(self._pieces) >= PIECES_CAPACITY

    def session_ended(self, step_id: str) -> None:
        """The session of `step_id` will put nothing more."""
        with self._lock:
            self._sessions[step_id].ended = True


@dataclass(frozen=True, slots=True)
class _Closed:
    """What an account had counted; frames that are left to the next part are not."""

    emitted: int
    left_because: frozenset[GapReason]

    @classmethod
    def of(cls, account: Account) -> _Closed:
        return cls(account.frames_emitted - account.frames_left, account.left_because)


class Ledger:
    """All accounts of the process, by stream key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accounts: dict[str, Account] = {}
        self._closed: dict[str, _Closed] = {}

    def open(self, account: Account) -> None:
        """Make `account` the one of its key; an older one is history."""
        with self._lock:
            self._accounts[account.stream_key] = account

    def account(self, stream_key: str) -> Account | None:
        """The open account of `stream_key`, or None when no source of this process has it."""
        with self._lock:
            return self._accounts.get(stream_key)

    def accounts(self) -> Mapping[str, Account]:
        """The open accounts by stream key."""
        with self._lock:
            return dict(self._accounts)

    def close(self, account: Account) -> None:
        """Forget `account`, unless another one of its key has taken its place."""
        with self._lock:
            if self._accounts.get(account.stream_key) is account:
                del self._accounts[account.stream_key]
                self._closed[account.stream_key] = _Closed.of(account)

    def forget(self, stream_key: str) -> None:
        """Forget what a closed account had counted: nobody will ask for it."""
        with self._lock:
            self._closed.pop(stream_key, None)

    def frames_emitted(self, stream_key: str) -> int:
        """How many frames the newest source of `stream_key` has emitted.

        Those that are left to the next part of the run are not counted: it emits them again.
        """
        return self._counted(stream_key).emitted

    def left_because(self, stream_key: str) -> frozenset[GapReason]:
        """Why the newest source of `stream_key` has frames that are left to the next part."""
        return self._counted(stream_key).left_because

    def _counted(self, stream_key: str) -> _Closed:
        with self._lock:
            account = self._accounts.get(stream_key)
            if account is None:
                return self._closed.get(stream_key, _Closed(0, frozenset()))
        return _Closed.of(account)


LEDGER: Final = Ledger()
"""The process's ledger: sources and `infer` meet nowhere else, by the engine's design."""
