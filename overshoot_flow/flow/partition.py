"""The source side of the drain token: a partition around a reader."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias

from bytewax.inputs import StatefulSourcePartition

from overshoot_flow.errors import MediaError
from overshoot_flow.flow.items import EndOfMedia, Item, MediaGap
from overshoot_flow.flow.running import RUN
from overshoot_flow.flow.stopping import STOP
from overshoot_flow.flow.ticks import Ticks
from overshoot_flow.media.access_units import Picture
from overshoot_flow.media.reader import MediaProblem
from overshoot_flow.results import GapReason
from overshoot_flow.session.ledger import LEDGER, Account
from overshoot_flow.session.progress import Progress
from overshoot_flow.session.runtime import RUNTIME
from overshoot_flow.spending import Spending

_AWAKE_INTERVAL: Final = timedelta(milliseconds=15)
"""An epoch closes only when a source is activated, so pending work keeps it awake."""

_UNATTACHED_ACTIVATIONS: Final = 3
"""Activations after the end of media without any `infer` until there is surely none."""


class Reader(Protocol):
    """A thread that decodes; `overshoot_flow.media.reader.FrameReader` is one."""

    def poll(self, max_frames: int) -> Sequence[Picture | MediaProblem | MediaGap]:
        """Return what is ready, at most `max_frames` items, without ever blocking."""
        ...

    @property
    def exhausted(self) -> bool:
        """Whether everything was read and polled."""
        ...

    def close(self) -> None:
        """Stop the thread and wait for it."""
        ...


class Turnstile:
    """How many partitions of one process may read at once; the others wait for their turn.

    The engine starts all partitions together. A thousand files would open a thousand decoders
    for the few streams that an API key may have.
    """

    def __init__(self, places: int) -> None:
        self._lock = threading.Lock()
        self._free = places

    def try_enter(self) -> bool:
        """Take a place if one is free."""
        with self._lock:
            if self._free == 0:
                return False
            self._free -= 1
            return True

    def leave(self) -> None:
        """Give the place back."""
        with self._lock:
            self._free += 1


ReaderState: TypeAlias = dict[str, Any]
"""A partition's part of the recovery store: plain values."""


class ReaderPartition(StatefulSourcePartition[Item, ReaderState]):
    """Emits a reader's frames as fast as `infer` takes them, and finished pieces as ticks.

    Its state is the position of every `infer` step: a run that resumes reads from the first
    unfinished sample on and leaves out what is finished.

    Args:
        stream_key: Key of this partition.
        source: The source as people read it, without credentials.
        open_reader: Opens the reader at a media time in µs when it is this partition's turn; it
            owns and closes it. A `MediaError` from it becomes a gap record.
        turnstile: Bounds how many partitions read at once.
        identity: What the media is; part of the state, and given back on resume.
        state: What `snapshot` returned in the part of the run before, or None.
        refused: Why nothing is to be read, and the same in words; None to read.
        start_us: Media time at which what is to be read begins.
        end_us: Where it ends, as far as that is known; a gap for all of it reaches to there.
        labels: What the source knows of the user's own names and values of the media.
    """

    def __init__(
        self,
        stream_key: str,
        source: str,
        open_reader: Callable[[int], Reader],
        turnstile: Turnstile,
        *,
        identity: Mapping[str, Any] | None = None,
        state: ReaderState | None = None,
        refused: tuple[GapReason, str] | None = None,
        start_us: int = 0,
        end_us: int | None = None,
        labels: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._identity = dict(identity or {})
        self._refused = refused
        self._begin_us = start_us
        self._until_us = end_us
        self._progress = Progress() if state is None else Progress.from_state(state["steps"])
        self._source = source
        self._open_reader = open_reader
        self._turnstile = turnstile
        self._entered = False
        self._reader: Reader | None = None
        spent_cents = 0.0 if state is None else float(state.get("spent_cents", 0.0))
        self._account = Account(
            stream_key,
            finished_before=self._progress.finished_before,
            spending=Spending(spent_cents),
            identity=media_name(self._identity),
            begins_us=start_us,
            labels=labels,
            resumable=RUN.durable,
        )
        self._ticks = Ticks(self._account, self._progress, spent_cents)
        self._newest_us = -1
        self._is_unreadable = False
        self._end_emitted = False
        self._is_left = False
        self._idle_activations = 0
        LEDGER.open(self._account)

    def next_batch(self) -> list[Item]:
        """Return frames there is room for and the pieces that are finished."""
        account = self._account
        if self._end_emitted and self._finished():
            self._leave()
            raise StopIteration
        items: list[Item] = []
        if not self._end_emitted:
            items.extend(self._read())
        items.extend(self._ticks.take())
        if not self._end_emitted and self._nothing_more_to_read():
            self._end_emitted = True
            items.append(
                EndOfMedia(stream_key=account.stream_key, frames_emitted=account.frames_emitted)
            )
        return items

    def _read(self) -> list[Item]:
        if STOP.is_set():
            return []
        if self._reader is None:
            self._entered = self._entered or self._turnstile.try_enter()
            if not self._entered:
                return []
            if self._refused is not None:
                return [self._unreadable(*self._refused)]
            try:
                self._reader = self._open_reader(self._start_us)
            except MediaError as error:
                return [self._unreadable(GapReason.DECODE, str(error))]
        items: list[Item] = []
        for read in self._reader.poll(self._account.room()):
            item = self._gap(read) if isinstance(read, MediaProblem) else read
            start_us = item.start_us if isinstance(item, MediaGap) else item.pts_us
            self._newest_us = max(self._newest_us, start_us)
            if not self._progress.is_finished(start_us):
                self._progress.emitted(start_us)
                items.append(item)
        self._account.emitted(sum(not isinstance(item, MediaGap) for item in items))
        return items

    def _nothing_more_to_read(self) -> bool:
        if self._is_unreadable or (self._reader is not None and self._reader.exhausted):
            self._is_left = False
            return True
        if STOP.is_set():
            self._account.end_soon()
            self._is_left = True
            return True
        return self._account.unwanted

    @property
    def _start_us(self) -> int:
        return max(self._begin_us, self._progress.start_us)

    def _unreadable(self, reason: GapReason, detail: str) -> MediaGap:
        self._is_unreadable = True
        start_us = self._start_us
        return MediaGap(
            stream_key=self._account.stream_key,
            source=self._source,
            start_us=start_us,
            end_us=max(start_us, self._until_us or 0),
            detail=detail,
            reason=reason,
        )

    def _gap(self, problem: MediaProblem) -> MediaGap:
        # A gap is finished like a frame: it needs a moment that no frame has, and a length.
        start_us = max(problem.start_us, self._newest_us + 1)
        return MediaGap(
            stream_key=self._account.stream_key,
            source=self._source,
            start_us=start_us,
            end_us=max(problem.end_us, start_us + 1),
            detail=problem.detail,
        )

    def _finished(self) -> bool:
        if self._account.attached:
            return self._account.drained
        self._idle_activations += 1
        return self._idle_activations > _UNATTACHED_ACTIVATIONS

    @property
    def waits_for_its_turn(self) -> bool:
        """Whether it has not begun to read."""
        return not self._entered and not self._end_emitted

    @property
    def is_left(self) -> bool:
        """Whether another part of the run reads the rest, or what a session has given up."""
        return self._is_left or self._account.given_up

    @property
    def is_complete(self) -> bool:
        """Whether everything is read and every outcome of it was emitted."""
        is_read = self._end_emitted and not self.is_left
        return is_read and self._account.attached and self._account.drained

    @property
    def given_up(self) -> bool:
        """Whether a session has given up what another part of the run may take up again."""
        return self._account.given_up

    @property
    def spent_cents(self) -> float:
        """What the usage records of the stream say was charged, in earlier parts too."""
        return self._ticks.spent_cents

    def next_awake(self) -> datetime:
        """Ask to be activated again shortly: answers come at any time."""
        return datetime.now(UTC) + _AWAKE_INTERVAL

    def snapshot(self) -> ReaderState:
        """Return the positions: what is finished in them was emitted in this epoch or before."""
        self._ticks.epoch_ended()
        return {
            "identity": self._identity,
            "steps": self._progress.to_state(),
            "spent_cents": self._ticks.spent_cents,
        }

    def close(self) -> None:
        """Stop reading; sessions that still run are cancelled and their streams deleted."""
        self._leave()
        if not self._account.drained:
            RUNTIME.cancel(self._account.stream_key)
        LEDGER.close(self._account)

    def _leave(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._entered:
            self._entered = False
            self._turnstile.leave()


def media_name(identity: Mapping[str, Any]) -> str | None:
    """Return a name of the media that a copy of it has too, or None if nothing is known of it.

    It is what `window_result_id` takes for the source's identity.
    """
    lasting = {name: value for name, value in identity.items() if name != "mtime_ns"}
    if not lasting:
        return None
    return hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()
