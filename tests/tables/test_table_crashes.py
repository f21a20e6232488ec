"""The table destination through crashes, conflicts and commits of unknown outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_support import batches, ids

from overshoot_flow.errors import CommitConflictError, SinkError
from overshoot_flow_connectors.attempts import MAX_ATTEMPTS
from overshoot_flow_connectors.parquet_partition import ParquetPartition
from overshoot_flow_connectors.parquet_rolling import Rolling
from overshoot_flow_connectors.table_destination import (
    Addition,
    TableDestination,
    TableVersion,
)

ROLLING = Rolling(rows=3, log_bytes=1 << 30, interval_s=1000.0, buffer_bytes=1 << 20)
TOTAL = 12
FATES = ("done", "done", "done", "conflict", "unknown", "overtaken", "dead before", "dead after")


class Crash(BaseException):
    """The process is gone."""


@dataclass
class MemoryTable:
    schema: pa.Schema
    version: int = 0
    ids: list[str] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)


@dataclass
class MemoryVersion:
    warehouse: MemoryWarehouse
    table: MemoryTable
    version: int

    @property
    def schema(self) -> pa.Schema:
        return self.table.schema

    def position(self, writer: str) -> int | None:
        return self.table.positions.get(writer)

    def append(self, rows: pa.Table, addition: Addition) -> None:
        with_fate = self.warehouse.fate()
        if with_fate == "overtaken":
            self.table.version += 1
        if self.version != self.table.version:
            raise CommitConflictError("another commit came first")
        self.warehouse.suffer(with_fate, committed=False)
        if "result_id" in rows.column_names:
            self.table.ids += rows.column("result_id").to_pylist()
        self.table.positions[addition.writer] = addition.sequence
        self.table.version += 1
        self.warehouse.suffer(with_fate, committed=True)


@dataclass
class MemoryWarehouse:
    """Tables that survive the process, and what happens to its next requests."""

    fates: list[str] = field(default_factory=list)
    tables: dict[str, MemoryTable] = field(default_factory=dict)
    name: str = "memory"

    def fate(self) -> str:
        return self.fates.pop() if self.fates else "done"

    def suffer(self, fate: str, *, committed: bool) -> None:
        if fate == ("unknown" if committed else "conflict"):
            raise CommitConflictError(fate)
        if fate == ("dead after" if committed else "dead before"):
            raise Crash

    def load(self, table: str) -> TableVersion | None:
        known = self.tables.get(table)
        return None if known is None else MemoryVersion(self, known, known.version)

    def create(self, table: str, schema: pa.Schema) -> None:
        fate = self.fate()
        self.suffer(fate, committed=False)
        self.tables.setdefault(table, MemoryTable(schema))
        self.suffer(fate, committed=True)


def opened(folder: Path, warehouse: Any, state: Any = None) -> ParquetPartition:
    destination = TableDestination(warehouse, pause=lambda _s: None)
    return ParquetPartition(folder, "w", state, ROLLING, lambda: 0.0, destination=destination)


@dataclass
class Engine:
    """Bytewax's part: a state is durable one snapshot later; what is not comes again."""

    folder: Path
    warehouse: MemoryWarehouse
    durable: tuple[int, Any] = (0, None)
    newest: tuple[int, Any] = (0, None)

    def live(self, sizes: list[int], *, newest_survives: bool) -> bool:
        """Run until a crash or the good end; return whether it was the end."""
        part: ParquetPartition | None = None
        written, state = self.newest = self.durable
        try:
            part = opened(self.folder, self.warehouse, state)
            while written < TOTAL:
                count = min(sizes[written % len(sizes)], TOTAL - written)
                part.write_batch(batches(written, count))
                written += count
                # The last state is durable before a sink closes the next epoch.
                self.durable = self.newest
                self.newest = (written, part.snapshot())
            self.durable = self.newest
            part.close()
            part.finish()
        except Crash:
            if newest_survives:
                self.durable = self.newest
            return False
        return True


@settings(max_examples=60, deadline=None, database=None)
@given(
    fates=st.lists(st.lists(st.sampled_from(FATES), max_size=8), min_size=1, max_size=6),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    newest_survives=st.booleans(),
)
def test_whatever_happens_to_commits_every_row_is_there_once(
    *, fates: list[list[str]], sizes: list[int], newest_survives: bool
) -> None:
    with TemporaryDirectory() as folder:
        warehouse = MemoryWarehouse()
        engine = Engine(Path(folder), warehouse)
        for of_life in [*fates, []]:
            warehouse.fates = list(of_life)
            ended = engine.live(sizes, newest_survives=newest_survives)
            there = warehouse.tables["results"].ids if "results" in warehouse.tables else []
            assert len(there) == len(set(there))
            assert set(there) <= set(ids(max(engine.durable[0], 0)))
            if ended:
                break
        assert ended
        assert sorted(warehouse.tables["results"].ids) == ids(TOTAL)


def test_commits_that_never_go_through_end_the_run_with_the_reason(tmp_path: Path) -> None:
    warehouse = MemoryWarehouse()
    part = opened(tmp_path, warehouse)
    part.write_batch(batches(0, 3))
    part.snapshot()
    warehouse.fates = ["conflict"] * MAX_ATTEMPTS
    with pytest.raises(SinkError, match=f"memory, table .*: no commit in {MAX_ATTEMPTS} attempts"):
        part.snapshot()
    part.close()
    assert not any(table.ids for table in warehouse.tables.values())


def test_pauses_between_attempts_grow_and_are_bounded(tmp_path: Path) -> None:
    pauses: list[float] = []
    warehouse = MemoryWarehouse(fates=["conflict"] * (MAX_ATTEMPTS - 1))
    destination = TableDestination(warehouse, pause=pauses.append)
    part = ParquetPartition(tmp_path, "w", None, ROLLING, lambda: 0.0, destination=destination)
    part.write_batch(batches(0, 3)[:1])
    part.snapshot()
    part.close()
    part.finish()
    assert len(pauses) == MAX_ATTEMPTS - 1
    assert pauses[0] < pauses[4] < pauses[-1] <= 4.0
    assert sum(pauses) < 30
