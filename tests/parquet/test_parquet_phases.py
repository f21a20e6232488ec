"""The pure decisions of the two-phase sink, through crashes in the middle of any action."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from overshoot_flow.errors import ConfigurationError
from overshoot_flow_connectors.parquet_phases import (
    Action,
    BeginRun,
    MarkDurable,
    MarkEnd,
    OnDisk,
    OpenLog,
    Publish,
    Stage,
    Tidy,
    TwoPhases,
)
from overshoot_flow_connectors.parquet_rolling import Rolling
from overshoot_flow_connectors.parquet_state import ParquetState

ROLLING = Rolling(rows=4, log_bytes=10**9, interval_s=10.0, buffer_bytes=1)
ROW_BYTES = 10
PLACES = 2


class Crash(Exception):  # noqa: N818 - it is none of the program's errors
    pass


@dataclass
class Disk:
    """What survives a crash; every change of it costs one unit of `life`."""

    run_id: str | None = None
    durable: bool = False
    published: int = -1
    end: MarkEnd | None = None
    logs: dict[int, list[int]] = field(default_factory=dict)
    staged: dict[int, dict[int, list[int]]] = field(default_factory=dict)
    visible: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    life: int = 10**9

    def change(self) -> None:
        if self.life == 0:
            raise Crash
        self.life -= 1

    def facts(self) -> OnDisk:
        return OnDisk(
            output="out",
            run_id=self.run_id,
            durable=self.durable,
            published=self.published,
            end=self.end,
            staged=frozenset(self.staged),
        )

    def do(self, actions: tuple[Action, ...]) -> None:  # noqa: C901 - one branch for each action
        for action in actions:
            self.change()
            match action:
                case BeginRun(run_id):
                    assert not self.visible, "rows of another run"
                    self.logs.clear()
                    self.staged.clear()
                    self.change()
                    self.run_id = run_id
                case MarkDurable():
                    self.durable = True
                case MarkEnd():
                    self.end = action
                case Stage(sequence, log_bytes):
                    self.staged.pop(sequence, None)
                    self.change()
                    rows = self.logs[sequence][: log_bytes // ROW_BYTES]
                    assert len(rows) * ROW_BYTES == log_bytes
                    parts = {place: rows[place::PLACES] for place in range(PLACES)}
                    self.staged[sequence] = {place: part for place, part in parts.items() if part}
                case Publish(sequence):
                    self._publish(sequence)
                case Tidy(sequence):
                    for stray in set(self.logs) - {sequence}:
                        self.change()
                        del self.logs[stray]
                    for stray in list(self.staged):
                        self.change()
                        del self.staged[stray]
                case OpenLog(sequence, log_bytes):
                    log = self.logs.setdefault(sequence, [])
                    assert len(log) * ROW_BYTES >= log_bytes, "rows are gone"
                    del log[log_bytes // ROW_BYTES :]

    def _publish(self, sequence: int) -> None:
        staged = self.staged[sequence]
        for place in list(staged):
            self.change()
            part = staged.pop(place)
            assert self.visible.setdefault((sequence, place), part) == part
        self.change()
        self.published = sequence
        self.change()
        del self.staged[sequence]
        self.change()
        self.logs.pop(sequence, None)


class SinkThroughCrashes(RuleBasedStateMachine):
    """Bytewax's part of the play: rows are 0, 1, 2, …; whatever is not durable comes again."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = Disk()
        self.durable: tuple[int, dict[str, Any] | None] = (0, None)
        self.newest = self.durable
        self.phases: TwoPhases | None = None
        self.written = self.now_s = self.lives = 0

    def _crash(self, *, newest_is_durable: bool) -> None:
        self.phases = None
        self.disk.life = 10**9
        if newest_is_durable:
            self.durable = self.newest

    @precondition(lambda self: self.phases is None)
    @rule(life=st.integers(0, 12) | st.just(10**9))
    def start(self, life: int = 10**9) -> None:
        self.lives += 1
        self.disk.life = life
        self.written, plain = self.durable
        self.newest = self.durable
        if plain is None:
            begun = TwoPhases.begin(f"run-{self.lives}", self.disk.facts(), ROLLING, resumable=True)
        else:
            state = ParquetState.from_plain(plain)
            begun = TwoPhases.resume(state, self.disk.facts(), ROLLING)
        self.phases, actions = begun
        try:
            self.disk.do(actions)
        except Crash:
            self._crash(newest_is_durable=False)

    @precondition(lambda self: self.phases is not None)
    @rule(count=st.integers(1, 3))
    def write(self, count: int) -> None:
        assert self.phases is not None
        log = self.disk.logs[self.phases.state.sequence]
        log.extend(range(self.written, self.written + count))
        self.written += count

    @precondition(lambda self: self.phases is not None)
    @rule(
        life=st.integers(0, 12) | st.just(10**9),
        wait_s=st.sampled_from([0, 11]),
        durable=st.booleans(),
    )
    def snapshot(self, life: int, wait_s: int, *, durable: bool) -> None:
        assert self.phases is not None
        self.durable = self.newest
        self.now_s += wait_s
        self.disk.life = life
        log = self.disk.logs[self.phases.state.sequence]
        try:
            self.disk.do(self.phases.snapshot(len(log) * ROW_BYTES, len(log), self.now_s))
        except Crash:
            self._crash(newest_is_durable=False)
            return
        self.newest = (self.written, self.phases.state.to_plain())
        if durable:
            self.durable = self.newest

    @precondition(lambda self: self.phases is not None)
    @rule(newest_is_durable=st.booleans())
    def die(self, *, newest_is_durable: bool) -> None:
        self._crash(newest_is_durable=newest_is_durable)

    @precondition(lambda self: self.phases is not None)
    @rule(life=st.integers(0, 12) | st.just(10**9))
    def come_to_the_good_end(self, life: int) -> None:
        self.snapshot(life=10**9, wait_s=0, durable=True)
        assert self.phases is not None
        self.disk.life = life
        try:
            self.disk.do(self.phases.end())
        except Crash:
            self._crash(newest_is_durable=True)
            return
        assert self._visible() == list(range(self.written))
        self._crash(newest_is_durable=True)

    def _visible(self) -> list[int]:
        return sorted(row for part in self.disk.visible.values() for row in part)

    @invariant()
    def nothing_is_doubled_and_only_what_is_durable_is_visible(self) -> None:
        rows = self._visible()
        assert len(rows) == len(set(rows))
        assert all(row < self.durable[0] for row in rows)

    def teardown(self) -> None:
        """However it went: going on to the good end shows every row once."""
        if self.phases is None:
            self.start()
        self.come_to_the_good_end(life=10**9)


SinkThroughCrashes.TestCase.settings = settings(
    max_examples=150, stateful_step_count=25, deadline=None, database=None
)
TestSinkThroughCrashes = SinkThroughCrashes.TestCase


def state_of(sequence: int, log_rows: int = 0, staged: tuple[int, ...] = ()) -> ParquetState:
    log_bytes = log_rows * ROW_BYTES
    return ParquetState(
        run_id="r", sequence=sequence, log_bytes=log_bytes, log_rows=log_rows, staged=staged
    )


def on_disk(**facts: Any) -> OnDisk:
    return OnDisk(output="out", run_id="r", durable=True, **facts)


def test_a_state_survives_the_way_to_the_store() -> None:
    state = state_of(3, 2, (2,)).grown(30, 3, 1.5)
    assert ParquetState.from_plain(state.to_plain()) == state


def test_a_file_is_published_one_snapshot_after_it_was_staged() -> None:
    phases, _ = TwoPhases.begin("r", OnDisk(output="out"), ROLLING, resumable=True)
    assert phases.snapshot(40, 4, 0.0) == (Stage(0, 40), OpenLog(1, 0))
    assert phases.state.staged == (0,)
    assert phases.snapshot(0, 0, 0.0) == (MarkDurable("r"), Publish(0))
    assert phases.snapshot(0, 0, 0.0) == ()


def test_rows_wait_no_longer_than_the_interval_without_new_ones() -> None:
    phases, _ = TwoPhases.begin("r", OnDisk(output="out"), ROLLING, resumable=True)
    assert phases.snapshot(10, 1, 5.0) == ()
    assert phases.snapshot(10, 1, 14.9) == (MarkDurable("r"),)
    assert phases.snapshot(10, 1, 15.0) == (Stage(0, 10), OpenLog(1, 0))


def test_a_good_end_that_was_interrupted_is_completed_and_not_repeated() -> None:
    state, end = state_of(2, 3), MarkEnd(2, 30)
    _, actions = TwoPhases.resume(state, on_disk(published=1, end=end), ROLLING)
    assert actions == (end, Stage(2, 30), Publish(2), Tidy(3), OpenLog(3, 0))
    _, actions = TwoPhases.resume(state, on_disk(published=2, end=end), ROLLING)
    assert actions == (Tidy(3), OpenLog(3, 0))


@pytest.mark.parametrize(
    "disk",
    [
        on_disk(published=2),
        on_disk(published=3),
        on_disk(published=1, end=MarkEnd(2, 40)),
        on_disk(published=1, end=MarkEnd(3, 10)),
        on_disk(published=2, end=MarkEnd(2, 40)),
    ],
)
def test_a_state_older_than_the_output_is_refused(disk: OnDisk) -> None:
    with pytest.raises(ConfigurationError, match="older than the output out"):
        TwoPhases.resume(state_of(2, 3), disk, ROLLING)
