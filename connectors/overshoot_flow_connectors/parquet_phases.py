"""What a Parquet writer does at the beginning, at every snapshot and at the end: pure decisions.

What is decided are actions, to be done in their order before the state is handed to the engine.
Each of them may be cut short by a crash, and done again by the next part of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, TypeAlias

from overshoot_flow.errors import ConfigurationError, SinkError
from overshoot_flow_connectors.parquet_rolling import Rolling
from overshoot_flow_connectors.parquet_state import ParquetState

_OR_ANEW = "or begin anew with an empty state folder and output"


@dataclass(frozen=True, slots=True)
class BeginRun:
    """Clear the writer's folder and note there which run owns it from now on."""

    run_id: str


@dataclass(frozen=True, slots=True)
class MarkDurable:
    """Note that a state of the run is durable: without one the run cannot go on any more."""

    run_id: str


@dataclass(frozen=True, slots=True)
class MarkEnd:
    """Note that the run has come to its good end with this log: its rows become visible."""

    sequence: int
    log_bytes: int


@dataclass(frozen=True, slots=True)
class Stage:
    """Turn that much of a log into complete files that nobody sees yet."""

    sequence: int
    log_bytes: int


@dataclass(frozen=True, slots=True)
class Publish:
    """Make staged files visible, note it, and remove their log."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Tidy:
    """Remove logs other than this one, and all staged files: they are of lost epochs or done."""

    sequence: int


@dataclass(frozen=True, slots=True)
class OpenLog:
    """Fill this log from now on, from that many bytes; what is behind them was lost."""

    sequence: int
    log_bytes: int


Action: TypeAlias = BeginRun | MarkDurable | MarkEnd | Stage | Publish | Tidy | OpenLog


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDisk:
    """What the writer's folder says when a part of the run begins.

    Attributes:
        output: The directory of all datasets, for error texts.
        run_id: The run that owns the folder, or None.
        durable: Whether a state of that run is durable.
        published: The last sequence whose files are all visible, or -1.
        end: The last `MarkEnd`, or None.
        staged: Sequences with staged files.
    """

    output: str
    run_id: str | None = None
    durable: bool = False
    published: int = -1
    end: MarkEnd | None = None
    staged: frozenset[int] = frozenset()


class TwoPhases:
    """Decides what a writer does, between the beginning and the end of one part of the run.

    Args:
        state: What was saved last.
        rolling: When the log becomes files.
        must_mark: Whether the folder has still to say when a state of the run is durable.
    """

    def __init__(self, state: ParquetState, rolling: Rolling, *, must_mark: bool) -> None:
        self.state = state
        self._rolling = rolling
        self._must_mark = must_mark
        self._snapshots = 0

    @classmethod
    def begin(
        cls, run_id: str, disk: OnDisk, rolling: Rolling, *, resumable: bool
    ) -> tuple[Self, tuple[Action, ...]]:
        """Begin a run.

        Args:
            run_id: Name of the run.
            disk: What the folder says.
            rolling: When the log becomes files.
            resumable: Whether the run has a recovery state, without which nobody may begin anew.

        Raises:
            ConfigurationError: The folder has rows of a run that can only go on with its state.
        """
        if disk.durable:
            raise ConfigurationError(
                f"{disk.output} is the output of a run whose recovery state is not here: go on "
                "with that run's state folder, or begin anew with an empty output"
            )
        state = ParquetState(run_id=run_id)
        phases = cls(state, rolling, must_mark=resumable)
        return phases, (BeginRun(run_id), OpenLog(0, 0))

    @classmethod
    def resume(
        cls, state: ParquetState, disk: OnDisk, rolling: Rolling
    ) -> tuple[Self, tuple[Action, ...]]:
        """Go on from a durable state.

        Raises:
            ConfigurationError: State and output are not of one run, or the state is the older one.
            SinkError: Files that the state needs are gone.
        """
        if disk.run_id != state.run_id:
            raise ConfigurationError(
                f"{disk.output} is not the output that this recovery state belongs to: name that "
                f"one, {_OR_ANEW}"
            )
        _refuse_older_state(state, disk)
        _refuse_older_output(state, disk)
        due = tuple(each for each in state.staged if each > disk.published)
        # The engine only ever hands out a durable state.
        actions: list[Action] = [] if disk.durable else [MarkDurable(state.run_id)]
        actions += map(Publish, due)
        state = state.published()
        if disk.end == MarkEnd(state.sequence, state.log_bytes):
            if disk.published < state.sequence:
                actions += _make_visible(state)
            state = ParquetState(run_id=state.run_id, sequence=state.sequence + 1)
        actions += (Tidy(state.sequence), OpenLog(state.sequence, state.log_bytes))
        return cls(state, rolling, must_mark=False), tuple(actions)

    def snapshot(self, log_bytes: int, log_rows: int, now_s: float) -> tuple[Action, ...]:
        """End an epoch; `state` is to be saved once the actions are done.

        Args:
            log_bytes: Length of the log, safe on the disk.
            log_rows: Rows in it.
            now_s: Seconds of UTC since 1970.
        """
        self._snapshots += 1
        # The snapshot before this one is durable by now.
        actions = self._mark_durable() if self._snapshots > 1 else []
        state = self.state.grown(log_bytes, log_rows, now_s)
        actions += map(Publish, state.staged)
        state = state.published()
        if self._rolling.is_due(state.log_rows, state.log_bytes, state.log_since_s, now_s):
            actions.append(Stage(state.sequence, state.log_bytes))
            state = state.rolled()
            actions.append(OpenLog(state.sequence, 0))
        self.state = state
        return tuple(actions)

    def end(self) -> tuple[Action, ...]:
        """Make all rows visible; the run has come to its good end, so its last state is durable."""
        # A partition to which nothing came has no state that could be durable.
        actions = self._mark_durable() if self._snapshots else []
        actions += map(Publish, self.state.staged)
        return (*actions, *_make_visible(self.state))

    def _mark_durable(self) -> list[Action]:
        if not self._must_mark:
            return []
        self._must_mark = False
        return [MarkDurable(self.state.run_id)]


def _make_visible(state: ParquetState) -> tuple[Action, ...]:
    if state.log_rows == 0:
        return ()
    end = MarkEnd(state.sequence, state.log_bytes)
    return end, Stage(end.sequence, end.log_bytes), Publish(end.sequence)


def _refuse_older_state(state: ParquetState, disk: OnDisk) -> None:
    this = MarkEnd(state.sequence, state.log_bytes)
    newer_end = disk.end is not None and disk.end.sequence >= state.sequence and disk.end != this
    newer_files = disk.published > state.sequence or (
        disk.published == state.sequence and disk.end != this
    )
    if newer_end or newer_files:
        raise ConfigurationError(
            f"the recovery state is older than the output {disk.output}: going on would repeat "
            f"rows. Bring back the newest state, {_OR_ANEW}"
        )


def _refuse_older_output(state: ParquetState, disk: OnDisk) -> None:
    for sequence in range(disk.published + 1, state.sequence):
        if sequence not in state.staged or sequence not in disk.staged:
            raise SinkError(
                f"staged-{sequence} of {disk.output} is gone and its files were never published: "
                f"rows are missing. Bring the output back from a copy, {_OR_ANEW}"
            )
