"""The source side of the drain token for a live camera: newest frames win, none is read again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final, Protocol

from bytewax.inputs import StatefulSourcePartition

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.items import EndOfMedia, Item, MediaGap, Tick
from overshoot_flow.flow.partition import ReaderState
from overshoot_flow.flow.stopping import STOP
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.live_queue import LiveGap
from overshoot_flow.results import GapReason
from overshoot_flow.session.clock import SteadyUtc, SystemClock
from overshoot_flow.session.ledger import LEDGER, Account
from overshoot_flow.session.position import Position
from overshoot_flow.session.progress import Progress
from overshoot_flow.session.runtime import RUNTIME

STATE_VERSION: Final = 1
FRAMES_UNDER_WAY: Final = 4
"""Frames between the source and the publisher. The fewer, the newer is what gets published."""

_GAPS_UNDER_WAY: Final = 8
"""Gaps that the sessions have not recorded yet; later ones wait and grow together."""

_AWAKE_INTERVAL: Final = timedelta(milliseconds=15)
_UNATTACHED_ACTIVATIONS: Final = 3


class LiveReader(Protocol):
    """A thread that reads a camera; `overshoot_flow_connectors.rtsp_reader.RtspReader` is one."""

    def poll(self, max_frames: int, max_gaps: int, now_us: int) -> Sequence[Frame | LiveGap]:
        """Return what is ready without ever blocking; `now_us` is the present in media time."""
        ...

    def stop(self, now_us: int, reason: GapReason, detail: str) -> None:
        """End the record at `now_us`, without waiting for the thread."""
        ...

    @property
    def exhausted(self) -> bool:
        """Whether the record has ended and was polled."""
        ...

    def close(self) -> None:
        """Stop the thread and wait for it."""
        ...


class LivePartition(StatefulSourcePartition[Item, ReaderState]):
    """Emits a camera's newest frames, a gap for every stretch without, and finished pieces.

    Media time is µs since the partition's first start in the run, its *anchor* in UTC; the anchor
    is part of the state, so that media time goes on over restarts. What is unfinished when a part
    of the run ends without an orderly stop becomes a gap with the reason `crash`, which reaches
    to the next start; after an orderly stop it is `stopped`.

    Args:
        stream_key: Key of this partition.
        source: The camera as people read it, without credentials.
        open_reader: Starts the reader at a media time in µs, given the anchor in µs of UTC; called
            in the first activation. It must not wait for the camera.
        clock: UTC that never steps, the reader's own.
        state: What `snapshot` returned in the part of the run before, or None.

    Raises:
        ConfigurationError: The state is another version's, or no camera's.
    """

    def __init__(
        self,
        stream_key: str,
        source: str,
        open_reader: Callable[[int, int], LiveReader],
        *,
        clock: SteadyUtc | None = None,
        state: ReaderState | None = None,
    ) -> None:
        self._clock = clock or SteadyUtc(SystemClock())
        self._source = source
        self._open_reader = open_reader
        self._reader: LiveReader | None = None
        self._waiting: deque[MediaGap] = deque()
        self._gaps_under_way: deque[int] = deque()
        self._ended_us: int | None = None
        self._idle_activations = 0
        self._epoch_has_tick = False
        if state is None:
            self._anchor_us = self._clock.now_us()
            self._progress = Progress()
            self._start_us = 0
        else:
            if state.get("camera") != STATE_VERSION:
                raise ConfigurationError(
                    f"the recovery state of {stream_key!r} is not of a camera, or of another "
                    "version of this library: finish the run with what began it, or begin anew "
                    "with an empty state folder and an empty output"
                )
            self._anchor_us = state["anchor_us"]
            self._progress = Progress.from_state(state["steps"])
            self._resume(state["steps"], state["ended_us"], stream_key)
        self._account = Account(
            stream_key,
            capacity=FRAMES_UNDER_WAY,
            finished_before=self._progress.finished_before,
            live=True,
        )
        LEDGER.open(self._account)

    def _resume(self, steps: dict[str, Any], ended_us: int | None, stream_key: str) -> None:
        positions = [Position.from_state(step) for step in steps.values()]
        known_us = max((_end_of(position) for position in positions), default=0)
        # A wall clock that was set back must not put new pictures into the past.
        self._start_us = max(self._now_us(), known_us + 1, (ended_us or 0) + 1)
        for start_us, end_us in unfinished(positions, self._start_us, ended_us):
            stopped = ended_us is not None and start_us >= ended_us
            self._waiting.append(
                MediaGap(
                    stream_key=stream_key,
                    source=self._source,
                    start_us=start_us,
                    end_us=end_us,
                    reason=GapReason.STOPPED if stopped else GapReason.CRASH,
                    detail="the run was stopped" if stopped else "the run ended before its answers",
                )
            )

    def _now_us(self) -> int:
        """The present in media time."""
        return self._clock.now_us() - self._anchor_us

    def next_batch(self) -> list[Item]:
        """Return the frames there is room for, gaps, and the pieces that are finished."""
        account = self._account
        if self._ended_us is not None and self._finished():
            raise StopIteration
        items: list[Item] = []
        if self._ended_us is None:
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
        if self._ended_us is None and self._nothing_more_to_read():
            self._ended_us = self._now_us()
            items.append(
                EndOfMedia(stream_key=account.stream_key, frames_emitted=account.frames_emitted)
            )
        return items

    def _read(self) -> list[Item]:
        if self._reader is None:
            self._reader = self._open_reader(self._start_us, self._anchor_us)
        if STOP.is_set():
            self._account.end_soon()
            self._reader.stop(self._now_us(), GapReason.STOPPED, "the run was stopped")
        elif self._account.unwanted:
            self._reader.stop(self._now_us(), GapReason.STOPPED, "the session failed")
        items: list[Item] = [self._emit_gap(gap) for gap in self._take_waiting()]
        if not self._waiting:
            ready = self._reader.poll(self._account.room(), self._room_for_gaps(), self._now_us())
            items.extend(map(self._emit, ready))
        return items

    def _take_waiting(self) -> Iterator[MediaGap]:
        while self._waiting and self._room_for_gaps() > 0:
            yield self._waiting.popleft()

    def _room_for_gaps(self) -> int:
        if not self._account.attached:
            # The first item makes `infer` take part; without an `infer` nothing is recorded.
            return 1
        while self._gaps_under_way and self._progress.is_finished(self._gaps_under_way[0]):
            self._gaps_under_way.popleft()
        return _GAPS_UNDER_WAY - len(self._gaps_under_way)

    def _emit(self, read: Frame | LiveGap) -> Item:
        if isinstance(read, Frame):
            self._progress.emitted(read.pts_us)
            self._account.emitted(1)
            return read
        return self._emit_gap(
            MediaGap(
                stream_key=self._account.stream_key,
                source=self._source,
                start_us=read.start_us,
                end_us=read.end_us,
                reason=read.reason,
                detail=read.detail,
                frames_lost=read.frames_lost,
            )
        )

    def _emit_gap(self, gap: MediaGap) -> MediaGap:
        self._progress.emitted(gap.start_us)
        self._account.emitted(gap.frames_lost)
        if self._account.attached:
            self._gaps_under_way.append(gap.start_us)
        return gap

    def _nothing_more_to_read(self) -> bool:
        return self._reader is not None and not self._waiting and self._reader.exhausted

    def _finished(self) -> bool:
        if self._account.attached:
            return self._account.drained
        self._idle_activations += 1
        return self._idle_activations > _UNATTACHED_ACTIVATIONS

    def next_awake(self) -> datetime:
        """Ask to be activated again shortly: frames and answers come at any time."""
        return datetime.now(UTC) + _AWAKE_INTERVAL

    def snapshot(self) -> ReaderState:
        """Return the anchor and the positions."""
        self._epoch_has_tick = False
        return {
            "camera": STATE_VERSION,
            "anchor_us": self._anchor_us,
            "ended_us": self._ended_us,
            "steps": self._progress.to_state(),
        }

    def close(self) -> None:
        """Stop reading; sessions that still run are cancelled and their streams deleted."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if not self._account.drained:
            RUNTIME.cancel(self._account.stream_key)
        LEDGER.close(self._account)


def unfinished(
    positions: Sequence[Position], until_us: int, cut_us: int | None
) -> list[tuple[int, int]]:
    """Return the stretches before `until_us` that some position has not finished, in order.

    They are cut wherever a position changes, so that each stretch is finished as a whole, or not
    at all, for every position; and at `cut_us`.
    """
    if not positions:
        positions = [Position()]
    cuts = {until_us, *(bound for position in positions for bound in _bounds_of(position))}
    if cut_us is not None:
        cuts.add(cut_us)
    begin_us = min(position.prefix_us for position in positions)
    inside = sorted(cut for cut in cuts if begin_us <= cut <= until_us)
    stretches = pairwise([begin_us, *inside])
    return [
        (start_us, end_us)
        for start_us, end_us in stretches
        if start_us < end_us and not all(each.is_finished(start_us) for each in positions)
    ]


def _bounds_of(position: Position) -> Iterable[int]:
    yield position.prefix_us
    for start_us, end_us in position.stretches:
        yield start_us
        yield end_us


def _end_of(position: Position) -> int:
    return max(_bounds_of(position))
