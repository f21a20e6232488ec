"""The source side of the drain token: a partition around a reader."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, TypeAlias

from bytewax.inputs import StatefulSourcePartition

from overshoot_flow.errors import MediaError
from overshoot_flow.flow.items import EndOfMedia, Item, MediaGap, Tick
from overshoot_flow.flow.stopping import STOP
from overshoot_flow.media.access_units import AccessUnit, Picture
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.reader import MediaProblem
from overshoot_flow.results import GapReason
from overshoot_flow.session.ledger import LEDGER, Account
from overshoot_flow.session.progress import Progress
from overshoot_flow.session.runtime import RUNTIME

_AWAKE_INTERVAL: Final = timedelta(milliseconds=15)
"""An epoch closes only when a source is activated, so pending work keeps it awake."""

_UNATTACHED_ACTIVATIONS: Final = 3
"""Activations after the end of media without any `infer` until there is surely none."""


class Reader(Protocol):
    """A thread that decodes; `overshoot_flow.media.reader.FrameReader` is one."""

    def poll(self, max_frames: int) -> Sequence[Picture | MediaProblem]:
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
        changed: Says in words what is different from the media of the part before, or None;
            when it is set, nothing is read.
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
        changed: str | None = None,
    ) -> None:
        self._identity = dict(identity or {})
        self._changed = changed
        self._progress = Progress() if state is None else Progress.from_state(state["steps"])
        self._source = source
        self._open_reader = open_reader
        self._turnstile = turnstile
        self._entered = False
        self._reader: Reader | None = None
        self._account = Account(stream_key, finished_before=self._progress.finished_before)
        self._newest_us = -1
        self._end_emitted = False
        self._idle_activations = 0
        self._epoch_has_tick = False
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
        pieces = account.take()
        if pieces or not self._epoch_has_tick:
            self._epoch_has_tick = True
            self._progress.take(pieces, account.step_ids)
            items.append(
                Tick(
                    stream_key=account.stream_key,
                    frames_emitted=account.frames_emitted,
                    pieces=pieces,
                )
            )
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
            if self._changed is not None:
                return [self._unreadable(self._changed, GapReason.SOURCE_CHANGED)]
            try:
                self._reader = self._open_reader(self._progress.start_us)
            except MediaError as error:
                return [self._unreadable(str(error), GapReason.DECODE)]
        items: list[Item] = []
        for read in self._reader.poll(self._account.room()):
            item = read if isinstance(read, Frame | AccessUnit) else self._gap(read)
            start_us = item.start_us if isinstance(item, MediaGap) else item.pts_us
            self._newest_us = max(self._newest_us, start_us)
            if not self._progress.is_finished(start_us):
                self._progress.emitted(start_us)
                items.append(item)
        self._account.emitted(sum(not isinstance(item, MediaGap) for item in items))
        return items

    def _nothing_more_to_read(self) -> bool:
        if STOP.is_set() or self._account.unwanted:
            return True
        if self._reader is None:
            return self._entered
        return self._reader.exhausted

    def _unreadable(self, detail: str, reason: GapReason) -> MediaGap:
        start_us = self._progress.start_us
        return MediaGap(
            stream_key=self._account.stream_key,
            source=self._source,
            start_us=start_us,
            end_us=start_us,
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

    def next_awake(self) -> datetime:
        """Ask to be activated again shortly: answers come at any time."""
        return datetime.now(UTC) + _AWAKE_INTERVAL

    def snapshot(self) -> ReaderState:
        """Return the positions: what is finished in them was emitted in this epoch or before."""
        self._epoch_has_tick = False
        return {"identity": self._identity, "steps": self._progress.to_state()}

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
