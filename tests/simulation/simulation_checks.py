"""What must hold in every simulated run, judged without the code that is under test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, NamedTuple, NoReturn

from simulation_schedule import Sample, Schedule

from overshoot_flow.media.frames import Frame
from overshoot_flow.protocol.session_machine import SessionMachine, SessionState
from overshoot_flow.results import (
    Failure,
    FailureReason,
    Gap,
    GapReason,
    Outcome,
    Result,
    Usage,
)

_S: Final = SessionState
_LEGAL_MOVES: Final = frozenset(
    {
        (_S.WAITING, _S.CREATING),
        (_S.WAITING, _S.CLOSED),
        (_S.CREATING, _S.CONNECTING),
        (_S.CREATING, _S.WAITING),
        (_S.CONNECTING, _S.LIVE),
        (_S.CONNECTING, _S.WAITING),
        (_S.LIVE, _S.DRAINING),
        (_S.LIVE, _S.WAITING),
        (_S.DRAINING, _S.CLOSED),
        (_S.DRAINING, _S.WAITING),
    }
)


class Violation(AssertionError):  # noqa: N818 - it says what is wrong, as an assertion does
    """Something that must never happen has happened."""

    def __init__(self, kind: str, detail: object = "") -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind


class Row(NamedTuple):
    """One row on its way to the readers."""

    step_id: str
    stream_key: str
    epoch: int
    outcome: Outcome


class Moment(NamedTuple):
    """One moment of a stream's media, as one `infer` step has to settle it."""

    step_id: str
    stream_key: str
    pts_us: int


@dataclass(slots=True)
class Checks:
    """Follows a run and raises `Violation` at once.

    Args:
        schedule: What is run.
        keeps_log: Whether to keep what happened, for people.
    """

    schedule: Schedule
    keeps_log: bool = False
    events: list[str] = field(default_factory=list)
    settled: set[Moment] = field(default_factory=set)
    """Moments with a row in a durable epoch."""
    excused_streams: set[str] = field(default_factory=set)
    """Streams whose deletion failed: they end with their lease."""
    step_ids: tuple[str, ...] = ()
    samples: dict[str, dict[int, Sample]] = field(default_factory=dict)
    _pending: dict[int, list[Row]] = field(default_factory=dict)
    _durable_epochs: set[int] = field(default_factory=set)
    _durable_rows: int = 0
    _visible: set[int] = field(default_factory=set)
    _visible_rows: list[Row] = field(default_factory=list)
    _settled_at_start: frozenset[Moment] = frozenset()
    _life_rows: list[Row] = field(default_factory=list)
    _shown: dict[str, set[int]] = field(default_factory=dict)
    _life_frames: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.step_ids = tuple(f"ask-{number}" for number in range(self.schedule.steps))
        for number, samples in enumerate(self.schedule.streams):
            self.samples[f"camera-{number}"] = {
                index * self.schedule.frame_us: sample for index, sample in enumerate(samples)
            }

    def log(self, *what: object) -> None:
        """Note what happened, when somebody will read it."""
        if self.keeps_log:
            self.events.append(" ".join(map(str, what)))

    # What a row settles.

    def settles(self, row: Row) -> list[Moment]:
        """Return the moments that a row is about, from its own columns and the media alone."""
        kind, frames, start_us, end_us = _claim(row.outcome)
        if kind is None or start_us is None or end_us is None:
            return []
        moments = [
            Moment(row.step_id, row.stream_key, pts_us)
            for pts_us, sample in self.samples[row.stream_key].items()
            if sample is kind and start_us <= pts_us < end_us
        ]
        if kind is not Sample.UNREADABLE and len(moments) != frames:
            self._fail("a row's counts and times disagree", (row, moments))
        return moments

    # While a life goes on.

    def life_begins(self) -> None:
        """A process starts from what is durable."""
        self._pending.clear()
        self._life_rows.clear()
        self._life_frames.clear()
        self._settled_at_start = frozenset(self.settled)

    def emitted(self, frame: Frame) -> None:
        """A source emits a frame."""
        moments = {Moment(step, frame.stream_key, frame.pts_us) for step in self.step_ids}
        if moments <= self._settled_at_start:
            self._fail("a frame that nobody needs is read again", frame)
        self._life_frames.append((frame.stream_key, frame.pts_us))

    def shown(self, stream_id: str, frame: Frame) -> None:
        """A stream shows a frame, as the first one or later."""
        self._shown.setdefault(stream_id, set()).add(frame.pts_us)

    def captured(self, step_id: str, frame: Frame) -> None:
        """A frame is published."""
        self.log("publish", step_id, frame.stream_key, frame.pts_us)
        if Moment(step_id, frame.stream_key, frame.pts_us) in self.settled:
            self._fail("a finished frame is asked about again", (step_id, frame.pts_us))

    def written(self, row: Row) -> None:
        """A row reaches the sink in its epoch."""
        about = row.outcome
        if isinstance(about, Result) and about.media_start_us not in self._shown[about.stream_id]:
            self._fail("an answer is about a frame that its stream has not shown", about)
        self._pending.setdefault(row.epoch, []).append(row)
        self._life_rows.append(row)

    def brake(self, emitted: int, released: Iterable[int], capacity: int) -> None:
        """The frames between a source and its sessions' publishers are bounded."""
        for count in released:
            if not 0 <= emitted - count <= capacity:
                self._fail("the brake does not hold", (emitted, count, capacity))

    def moved(self, old: SessionState, new: SessionState) -> None:
        """A session goes from one state to another."""
        self.log("session", old, "->", new)
        ends = new is _S.FAILED or (new is _S.CLOSED and old is not _S.FAILED)
        if old is not new and (old, new) not in _LEGAL_MOVES and not ends:
            self._fail("an illegal move of a session", (old, new))

    # What is durable, and what readers see.

    def durable(self, epoch: int, states: Mapping[str, Mapping[str, Any]]) -> None:
        """An epoch is durable: its positions must say what its rows and those before say."""
        self.log("durable", epoch)
        self._durable_epochs.add(epoch)
        for row in self._pending.pop(epoch, ()):
            self._durable_rows += 1
            for moment in self.settles(row):
                if moment in self.settled:
                    self._fail("settled twice", (moment, row))
                self.settled.add(moment)
        for stream_key, state in states.items():
            for step_id in self.step_ids:
                self._check_position(step_id, stream_key, state["steps"].get(step_id))

    def _check_position(self, step_id: str, stream_key: str, position: Any) -> None:
        prefix_us, stretches = 0, []
        if position is not None:
            prefix_us, stretches = position["prefix_us"], position["stretches"]
        edges = [prefix_us, *(edge for stretch in stretches for edge in stretch)]
        if any(earlier >= later for earlier, later in pairwise(edges)):
            self._fail("a position's stretches are not in order beyond its prefix", position)
        for pts_us in self.samples[stream_key]:
            is_finished = pts_us < prefix_us or any(s <= pts_us < e for s, e in stretches)
            is_settled = Moment(step_id, stream_key, pts_us) in self.settled
            if is_finished != is_settled:
                self._fail(
                    "a position and the rows disagree",
                    (step_id, stream_key, pts_us, f"{is_finished=} {is_settled=}", position),
                )

    def visible(self, path: str, rows: list[Row]) -> None:
        """A file appears for readers."""
        self.log("visible", path, len(rows))
        for row in rows:
            if row.epoch not in self._durable_epochs:
                self._fail("visible before it is durable", (path, row))
            if id(row) in self._visible:
                self._fail("visible twice", (path, row))
            self._visible.add(id(row))
            self._visible_rows.append(row)

    def overwritten(self, path: str) -> None:
        """A file that readers see is replaced or removed."""
        self._fail("a visible file changes", path)

    # The end.

    def life_ends_well(
        self,
        frames_emitted: Mapping[str, int],
        frames_released: Iterable[tuple[str, int]],
        alive: Iterable[str],
    ) -> None:
        """A run has come to its good end: what it emitted is settled, nothing is left alive.

        Args:
            frames_emitted: What the ledger counts, by stream key.
            frames_released: What it counts for every session, with the stream key.
            alive: Streams that the service still keeps.
        """
        left = [stream_id for stream_id in alive if stream_id not in self.excused_streams]
        if left:
            self._fail("streams are left alive", left)
        emitted = Counter(stream_key for stream_key, _ in self._life_frames)
        if any(emitted[key] != count for key, count in frames_emitted.items()):
            self._fail("a source miscounts its frames", (emitted, frames_emitted))
        if any(emitted[key] != count for key, count in frames_released):
            self._fail("frames are not released", (emitted, frames_released))
        expected = Counter(
            (step_id, stream_key)
            for stream_key, pts_us in self._life_frames
            for step_id in self.step_ids
            if Moment(step_id, stream_key, pts_us) not in self._settled_at_start
        )
        settled: Counter[tuple[str, str]] = Counter()
        for row in self._life_rows:
            settled[row.step_id, row.stream_key] += _claim(row.outcome)[1]
        if +settled != +expected:
            self._fail("emitted is not settled", (expected, settled))
        if len(self._visible) != self._durable_rows:
            self._fail("rows are lost on the way to the readers", self._durable_rows)

    @property
    def is_complete(self) -> bool:
        """Whether every moment of the media is settled for every step."""
        return len(self.settled) == len(self.step_ids) * sum(map(len, self.samples.values()))

    def run_ends(self) -> None:
        """Everything is read: readers see every moment settled exactly once."""
        seen = Counter(moment for row in self._visible_rows for moment in self.settles(row))
        for stream_key, samples in self.samples.items():
            for pts_us in samples:
                for step_id in self.step_ids:
                    moment = Moment(step_id, stream_key, pts_us)
                    if seen[moment] != 1:
                        self._fail(f"readers see a moment {seen[moment]} times", moment)

    def _fail(self, kind: str, detail: object) -> NoReturn:
        raise Violation(kind, detail)


def _claim(outcome: Outcome) -> tuple[Sample | None, int, int | None, int | None]:
    """Return what kind of moments an outcome settles, how many, and between which times."""
    match outcome:
        case Usage():
            return None, 0, None, None
        case Gap(reason=GapReason.DECODE):
            return Sample.UNREADABLE, 0, outcome.media_start_us, outcome.media_end_us
        case Gap():
            kind = Sample.FILTERED if outcome.reason is GapReason.FILTERED else Sample.ASKED
            return kind, outcome.frames_lost, outcome.media_start_us, outcome.media_end_us
        case Result() | Failure():
            by_user = isinstance(outcome, Failure) and outcome.reason is FailureReason.USER_FUNCTION
            frames = outcome.frames_covered + outcome.frames_between
            kind = Sample.FAILED if by_user else Sample.ASKED
            return kind, frames, outcome.settled_start_us, outcome.settled_end_us


class WatchedMachine(SessionMachine):
    """The production's state machine; every change of its state is reported."""

    _checks: Checks

    def __init__(self, checks: Checks, max_restarts: int, *, rests: bool) -> None:
        object.__setattr__(self, "_checks", checks)
        super().__init__(max_restarts, rests=rests)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "state" and hasattr(self, "state"):
            self._checks.moved(self.state, value)
        super().__setattr__(name, value)
