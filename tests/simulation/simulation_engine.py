"""The engine: activations, epochs, the recovery store, and the death of the process.

As measured of Bytewax: a source is activated; when the epoch ends, it is asked for its snapshot in
the same activation; only then its items go through the operators and sinks, and a sink partition is
asked for its snapshot when all items of the epoch have passed, if there was one for it. An epoch is
durable some time after that, at the latest when the next one's snapshot is asked for. A crash
leaves snapshots of epochs that never became durable, and the next life gives its epochs the same
numbers.
"""

from __future__ import annotations

import asyncio
import pickle
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from simulation_checks import Checks, Row, Violation
from simulation_disk import RowBatch, SimulatedPartition
from simulation_schedule import Sample, Schedule

from overshoot_flow.flow.inference import InferStep
from overshoot_flow.flow.items import FrameFailed, FrameFiltered, Item
from overshoot_flow.flow.partition import ReaderPartition
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.reader import MediaProblem
from overshoot_flow.results import Failure, Gap, Heartbeat, Outcome, Result
from overshoot_flow.schema.records import Dataset, RecordBatchOf
from overshoot_flow.session.ledger import Ledger

_LONGEST_LIFE: int = 2_000
"""Activations after which a life counts as stuck."""


class SimulatedCrash(BaseException):
    """The process dies here: no handler of the code under test may notice."""


class SimulatedReader:
    """A decoder that has some of its frames ready."""

    def __init__(self, items: Sequence[Frame | MediaProblem], random: Random) -> None:
        self._items = deque(items)
        self._random = random

    def poll(self, max_frames: int) -> list[Frame | MediaProblem]:
        ready = self._random.randint(0, min(max_frames, len(self._items)))
        return [self._items.popleft() for _ in range(ready)]

    @property
    def exhausted(self) -> bool:
        return not self._items

    def close(self) -> None:
        """There is no thread."""


SOURCES: Final = "sources"
"""The key of all sources' states together; the others are names of sink partitions."""


@dataclass(slots=True)
class RecoveryStore:
    """Pickled states by key and epoch; `resume_epoch` is the first that is not durable."""

    resume_epoch: int = 1
    _snapshots: dict[str, dict[int, bytes]] = field(default_factory=dict)

    def write(self, key: str, epoch: int, state: bytes) -> None:
        """Keep a snapshot; it counts once its epoch is durable."""
        self._snapshots.setdefault(key, {})[epoch] = state

    def forget_lost_epochs(self) -> None:
        """Do what `RunStore.forget_lost_epochs` does to the engine's store."""
        for states in self._snapshots.values():
            for epoch in [each for each in states if each >= self.resume_epoch]:
                del states[epoch]

    def resumed(self) -> dict[str, Any]:
        """Return the newest durable states by key."""
        newest = {
            key: max((epoch for epoch in states if epoch < self.resume_epoch), default=None)
            for key, states in self._snapshots.items()
        }
        return {
            key: pickle.loads(self._snapshots[key][epoch])  # noqa: S301 - own data
            for key, epoch in newest.items()
            if epoch is not None
        }


@dataclass(frozen=True, slots=True)
class _EpochEnd:
    """Stands in the queue to the sink where an epoch ends."""

    epoch: int
    sources: bytes


@dataclass(frozen=True, slots=True)
class _Beat:
    """Stands in the queue to the sink for heartbeats to all its partitions."""


@dataclass(slots=True)
class Life:
    """One process, from its start to its death or its good end.

    Args:
        schedule: What is run.
        checks: Hears of everything.
        random: Decides.
        store: The recovery store.
        partitions: The sources, by stream key.
        writers: The sink's partitions, by name.
        infers: The `infer` steps.
        ledger: The process's ledger.
        moment: Called wherever the process may die.
        epoch: Number of the first epoch.
        serial: Added to an epoch's number it makes one that no other life has.
    """

    schedule: Schedule
    checks: Checks
    random: Random
    store: RecoveryStore
    partitions: dict[str, ReaderPartition]
    writers: dict[str, SimulatedPartition]
    infers: dict[str, InferStep]
    ledger: Ledger
    moment: Callable[[str], None]
    epoch: int
    serial: int
    ask_to_stop_at: int
    stop: Callable[[], None]
    _to_sink: deque[list[Row] | _Beat | _EpochEnd] = field(default_factory=deque)
    _reading: dict[str, ReaderPartition] = field(default_factory=dict)
    _states: dict[str, Any] = field(default_factory=dict)
    _awake: set[str] = field(default_factory=set)
    _unsaved: tuple[_EpochEnd, dict[str, bytes]] | None = None

    async def run(self) -> None:
        """Activate the sources until they have ended, then make the last epoch durable."""
        self._reading = dict(self.partitions)
        activations = 0
        while self._reading:
            activations += 1
            if activations > _LONGEST_LIFE:
                raise Violation("stuck", f"after {activations} activations")
            if activations == self.ask_to_stop_at:
                self.checks.log("stop")
                self.stop()
            self.moment("activation")
            self._activate()
            await asyncio.sleep(self.random.uniform(0.01, self.schedule.pace_s))
        self._work_off(all_of_it=True)
        self._save()

    def _activate(self) -> None:
        rows: list[Row] = []
        batches: list[tuple[str, list[Item]]] = []
        ended: list[ReaderPartition] = []
        for stream_key, partition in list(self._reading.items()):
            try:
                batches.append((stream_key, partition.next_batch()))
            except StopIteration:
                ended.append(self._reading.pop(stream_key))
                self._states[stream_key] = partition.snapshot()
        closes = not self._reading or self.random.random() < self.schedule.epoch_share
        sources = self._snapshot_sources() if closes else None
        for partition in ended:
            partition.close()
        for stream_key, items in batches:
            if items:
                if self.checks.keeps_log:
                    self.checks.log("epoch", self.epoch, stream_key, *map(_shown, items))
                rows += self._through_operators(stream_key, items)
        self._check_brakes()
        if rows:
            self._to_sink.append(rows)
        if batches and self.schedule.heartbeats:
            self._to_sink.append(_Beat())
        if sources is not None:
            self._to_sink.append(_EpochEnd(self.epoch, sources))
            self.epoch += 1
        self._work_off(all_of_it=False)

    def _snapshot_sources(self) -> bytes:
        for stream_key, partition in self._reading.items():
            self._states[stream_key] = partition.snapshot()
        self.moment("sources snapshot")
        return pickle.dumps(self._states)

    def _through_operators(self, stream_key: str, items: list[Item]) -> list[Row]:
        passed = [self._user_function(item) for item in items]
        rows: list[Row] = []
        for step_id, infer in self.infers.items():
            rows += [
                Row(step_id, stream_key, self.serial + self.epoch, said)
                for said in infer(list(passed))
                if not isinstance(said, Heartbeat)
            ]
        return rows

    def _user_function(self, item: Item) -> Item:
        if not isinstance(item, Frame):
            return item
        self.checks.emitted(item)
        match self.checks.samples[item.stream_key][item.pts_us]:
            case Sample.FILTERED:
                return FrameFiltered(
                    stream_key=item.stream_key,
                    source=item.source,
                    pts_us=item.pts_us,
                    duration_us=item.duration_us,
                )
            case Sample.FAILED:
                return FrameFailed(
                    stream_key=item.stream_key,
                    source=item.source,
                    pts_us=item.pts_us,
                    duration_us=item.duration_us,
                    detail="failed",
                )
        return item

    def _check_brakes(self) -> None:
        for stream_key in self._reading:
            account = self.ledger.account(stream_key)
            if account is None:
                raise Violation("a source's account is gone", stream_key)
            released = [each.released for each in account._sessions.values() if not each.refusing]
            self.checks.brake(account.frames_emitted, released, self.schedule.capacity)

    # The sink, which may be behind.

    def _work_off(self, *, all_of_it: bool) -> None:
        while self._to_sink:
            if not all_of_it and self.random.random() < self.schedule.sink_lag:
                return
            work = self._to_sink.popleft()
            if isinstance(work, _EpochEnd):
                self._end_epoch(work)
            elif isinstance(work, _Beat):
                self._awake.update(self.writers)
            else:
                self._write(work)
            if self._unsaved is not None and self.random.random() < 0.5:
                self._save()

    def _write(self, rows: list[Row]) -> None:
        names = list(self.writers)
        for row in rows:
            self.checks.written(row)
            name = names[int(row.stream_key[-1]) % len(names)]
            self._awake.add(name)
            self.moment("write")
            self.writers[name].write_batch(
                [
                    RecordBatchOf(
                        dataset=_dataset(row.outcome),
                        stream_key=row.stream_key,
                        batch=RowBatch((row,)),  # type: ignore[arg-type]  # stands for Arrow's
                        schema_key=_schema_key(row.outcome),
                    )
                ]
            )

    def _end_epoch(self, end: _EpochEnd) -> None:
        self._save()
        states = {name: pickle.dumps(self.writers[name].snapshot()) for name in sorted(self._awake)}
        self._awake.clear()
        self.moment("sinks snapshot")
        self._unsaved = (end, states)

    def _save(self) -> None:
        """What was the last epoch becomes durable."""
        if self._unsaved is None:
            return
        end, states = self._unsaved
        self._unsaved = None
        for key, state in ((SOURCES, end.sources), *states.items()):
            self.moment("save")
            self.store.write(key, end.epoch, state)
        self.moment("durable")
        self.store.resume_epoch = end.epoch + 1
        self.checks.durable(self.serial + end.epoch, pickle.loads(end.sources))  # noqa: S301 - own data


def _dataset(outcome: Outcome) -> Dataset:
    match outcome:
        case Result():
            return Dataset.RESULTS
        case Failure():
            return Dataset.DEAD_LETTERS
        case Gap():
            return Dataset.GAPS
    return Dataset.USAGE


def _schema_key(outcome: Outcome) -> str | None:
    # A stream whose output schema changes with almost every answer.
    return f"schema-{outcome.result_id[0]}" if isinstance(outcome, Result) else None


def _shown(item: Item) -> str:
    if isinstance(item, Frame):
        return f"frame@{item.pts_us}"
    pieces = getattr(item, "pieces", ())
    said = [
        f"{piece.step_id}[{piece.start_us},{piece.end_us}){len(piece.outcomes)}" for piece in pieces
    ]
    return f"{type(item).__name__}({', '.join(said)})"
