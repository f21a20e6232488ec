"""The source side of the drain token for a live camera: newest frames win, none is read again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, TypeAlias

from bytewax.inputs import StatefulSourcePartition

from overshoot_flow.assignment import Assignment
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.items import Assigned, EndOfMedia, Item, MediaGap
from overshoot_flow.flow.partition import ReaderState
from overshoot_flow.flow.stopping import STOP
from overshoot_flow.flow.ticks import Ticks
from overshoot_flow.flow.unfinished import end_of, unfinished
from overshoot_flow.media.access_units import AccessUnit, Picture
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.live_queue import LiveGap
from overshoot_flow.results import GapReason
from overshoot_flow.session.clock import SteadyUtc, SystemClock
from overshoot_flow.session.ledger import LEDGER, Account, Hold
from overshoot_flow.session.position import Position
from overshoot_flow.session.progress import Progress
from overshoot_flow.session.runtime import RUNTIME
from overshoot_flow.spending import Spending
from overshoot_flow.timer_slack import set_timer_slack

STATE_VERSION: Final = 2
FRAMES_UNDER_WAY: Final = 4
"""Frames between the source and the publisher. The fewer, the newer is what gets published."""

_GAPS_UNDER_WAY: Final = 8
"""Gaps that the sessions have not recorded yet; later ones wait and grow together."""

_AWAKE_INTERVAL: Final = timedelta(milliseconds=15)
"""Not longer: pictures would reach the sender in pairs, and a busy one loses some of these."""

_ENGINE_SLACK_US: Final = 10_000
"""The engine's thread looks 1000 times a second whether there is work; with this, 120 times."""

_UNATTACHED_ACTIVATIONS: Final = 3


class LiveReader(Protocol):
    """A thread that reads a camera; `overshoot_flow_connectors.rtsp_reader.RtspReader` is one.

    One that is replaced by another is stopped and polled to its end, and not closed: closing the
    one that is opened after it must close it too.
    """

    def poll(self, max_frames: int, max_gaps: int, now_us: int) -> Sequence[Picture | LiveGap]:
        """Return what is ready without ever blocking; `now_us` is the present in media time."""
        ...

    def pause(self, now_us: int, reason: GapReason, detail: str) -> None:
        """Nobody wants frames from now on; the time without is a gap. Another reason may follow."""
        ...

    def go_on(self) -> None:
        """Frames are wanted again."""
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


OpenReader: TypeAlias = Callable[[int, int], LiveReader]


class LivePartition(StatefulSourcePartition[Item, ReaderState]):
    """Emits a camera's newest frames, a gap for every stretch without, and finished pieces.

    Media time is µs since the partition's first start in the run, its *anchor* in UTC; the anchor
    is part of the state, so that media time goes on over restarts. What is unfinished when a part
    of the run ends without an orderly stop becomes a gap with the reason `crash`, which reaches
    to the next start; after an orderly stop it is `stopped`.

    What is spent on the stream is counted from the usage records that it emits, and part of the
    state too.

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
        open_reader: OpenReader,
        *,
        clock: SteadyUtc | None = None,
        state: ReaderState | None = None,
    ) -> None:
        self._clock = clock or SteadyUtc(SystemClock())
        self._source = source
        self._open_reader = open_reader
        self._reader: LiveReader | None = None
        self._covered_us = 0
        self._held: Hold | None = None
        self._next_reader: tuple[str, OpenReader] | None = None
        self._assignment: Assignment | None = None
        self._removal: str | None = None
        self._end: tuple[int, str, str] | None = None
        self._waiting: deque[MediaGap] = deque()
        self._gaps_under_way: deque[int] = deque()
        self._idle_activations = 0
        if state is None:
            self._anchor_us = self._clock.now_us()
            self._progress = Progress()
            self._start_us = 0
            spent_cents = 0.0
        else:
            if state.get("camera") != STATE_VERSION:
                raise ConfigurationError(
                    f"the recovery state of {stream_key!r} is not of a camera, or of another "
                    "version of this library: finish the run with what began it, or begin anew "
                    "with an empty state folder and an empty output"
                )
            self._anchor_us = state["anchor_us"]
            self._progress = Progress.from_state(state["steps"])
            spent_cents = state["spent_cents"]
            self._resume(state["steps"], state["end"], stream_key)
        self._account = Account(
            stream_key,
            capacity=FRAMES_UNDER_WAY,
            finished_before=self._progress.finished_before,
            live=True,
            identity=f"{stream_key} since {self._anchor_us}",
            spending=Spending(spent_cents),
        )
        self._ticks = Ticks(self._account, self._progress, spent_cents)
        LEDGER.open(self._account)

    def _resume(
        self, steps: dict[str, Any], end: tuple[int, str, str] | None, stream_key: str
    ) -> None:
        positions = [Position.from_state(step) for step in steps.values()]
        known_us = max((end_of(position) for position in positions), default=0)
        ended_us = None if end is None else end[0]
        # A wall clock that was set back must not put new pictures into the past.
        self._start_us = max(self._now_us(), known_us + 1, (ended_us or 0) + 1)
        for start_us, end_us in unfinished(positions, self._start_us, ended_us):
            reason, detail = GapReason.CRASH, "the run ended before its answers"
            if end is not None and start_us >= end[0]:
                reason, detail = GapReason(end[1]), end[2]
            self._waiting.append(
                MediaGap(
                    stream_key=stream_key,
                    source=self._source,
                    start_us=start_us,
                    end_us=end_us,
                    reason=reason,
                    detail=detail,
                )
            )

    def assign(self, assignment: Assignment) -> None:
        """From the next activation on this is asked about the stream."""
        self._assignment = assignment

    def replace_reader(self, source: str, open_reader: OpenReader) -> None:
        """Read with another reader, from the moment on at which the present one has ended.

        Args:
            source: The camera as people read it, without credentials.
            open_reader: As at construction.
        """
        self._next_reader = (source, open_reader)

    def remove(self, detail: str) -> None:
        """End the stream although the run goes on; its state says when and why."""
        self._removal = detail

    def _now_us(self) -> int:
        """The present in media time."""
        return self._clock.now_us() - self._anchor_us

    def next_batch(self) -> list[Item]:
        """Return the frames there is room for, gaps, and the pieces that are finished."""
        account = self._account
        if self._end is not None and self._finished():
            raise StopIteration
        items: list[Item] = []
        if self._assignment is not None:
            items.append(Assigned(stream_key=account.stream_key, assignment=self._assignment))
            self._assignment = None
        if self._end is None:
            items.extend(self._read())
        items.extend(self._ticks.take())
        if self._end is None and self._nothing_more_to_read():
            # Not the present: what lies between it and the record's end has not crashed.
            self._end = (max(self._start_us, self._covered_us), *self._why_it_ends())
            items.append(
                EndOfMedia(stream_key=account.stream_key, frames_emitted=account.frames_emitted)
            )
        return items

    def _read(self) -> list[Item]:
        if self._reader is None:
            set_timer_slack(_ENGINE_SLACK_US)
            self._reader = self._open_reader(self._start_us, self._anchor_us)
        self._direct(self._reader)
        items: list[Item] = [self._emit_gap(gap) for gap in self._take_waiting()]
        if not self._waiting:
            ready = self._reader.poll(self._account.room(), self._room_for_gaps(), self._now_us())
            items.extend(map(self._emit, ready))
        if self._next_reader is not None and self._reader.exhausted and not self._must_end:
            self._change_reader()
        return items

    def _direct(self, reader: LiveReader) -> None:
        """Tell the reader what has changed since the last activation."""
        if self._must_end:
            self._account.end_soon()
            reason, detail = self._why_it_ends()
            reader.stop(self._now_us(), GapReason(reason), detail)
        elif self._next_reader is not None:
            reader.stop(self._now_us(), GapReason.CHANGED, "the camera is connected to anew")
        held = self._account.held
        if held != self._held:
            self._held = held
            if held is None:
                reader.go_on()
            else:
                reader.pause(self._now_us(), held.reason, held.detail)

    @property
    def _must_end(self) -> bool:
        return STOP.is_set() or self._removal is not None or self._account.unwanted

    def _why_it_ends(self) -> tuple[str, str]:
        if self._removal is not None:
            return GapReason.REMOVED.value, self._removal
        detail = "the run was stopped" if STOP.is_set() else "the session failed"
        return GapReason.STOPPED.value, detail

    def _change_reader(self) -> None:
        """Go on with the next reader where the present one has ended its record."""
        if self._next_reader is None:
            return
        self._source, self._open_reader = self._next_reader
        self._next_reader = self._held = None
        self._reader = self._open_reader(self._covered_us, self._anchor_us)

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

    def _emit(self, read: Picture | LiveGap) -> Item:
        if isinstance(read, Frame | AccessUnit):
            self._progress.emitted(read.pts_us)
            self._covered_us = read.pts_us + max(1, read.duration_us)
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
        self._covered_us = gap.end_us
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
        self._ticks.epoch_ended()
        return {
            "camera": STATE_VERSION,
            "anchor_us": self._anchor_us,
            "end": self._end,
            "spent_cents": self._ticks.spent_cents,
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
