"""Records → Parquet files, as a Bytewax sink.

`directory/<dataset>/date=YYYY-MM-DD/source=<stream key>/part-….parquet`, for the datasets
`results`, `dead_letters`, `gaps` and `usage`. `date` is the UTC day of capture where it is known,
else of arrival; both it and `source` are Hive partition columns and not repeated in the files.
A reader may guess a number from a `source` of digits alone; the column `stream_key` is exact.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pyarrow as pa
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.running import RUN
from overshoot_flow.schema.records import RecordBatchOf
from overshoot_flow_connectors.parquet_durable import (
    STATE_FOLDER,
    DurablePartition,
    PlainState,
)
from overshoot_flow_connectors.parquet_files import (
    DirectoryLock,
    SchemaGuard,
    StagedFile,
    StagingArea,
    by_place,
    disk_errors,
    partition_value,
)
from overshoot_flow_connectors.parquet_rolling import Rolling

if TYPE_CHECKING:
    import os

DEFAULT_ROLL_ROWS: Final = 100_000
DEFAULT_ROLL_INTERVAL: Final = timedelta(minutes=5)
DEFAULT_BUFFER_BYTES: Final = 64 << 20

_Place: TypeAlias = Path
"""A leaf directory, relative to the sink's directory."""


class ParquetSink(FixedPartitionedSink[RecordBatchOf, "PlainState | None"]):
    """Writes `(stream_key, RecordBatchOf)` items into Hive-partitioned Parquet datasets.

    What readers see: whole files only, which never change or vanish, and in them only rows of
    finished epochs.

    With a recovery state (`overshoot_flow.flow.run(..., state=...)`) every row becomes visible
    once, but for the one gap that `docs/design.md` names: see `parquet_durable`. Rows
    wait on the disk until a file is old or large enough, or until the run has come to its end.

    Without one, after a run that ended normally, or with an exception that Bytewax could handle,
    every row of its finished epochs is visible; after a kill or a power cut the rows since the
    last publishing are lost: at most `roll_interval` plus one epoch. Rows are buffered per
    dataset, day and source.

    Args:
        directory: Where the datasets are; created when missing.
        partitions: How many partitions write, each on one worker at a time.
        roll_rows: A file is published at the end of an epoch that brings it to this many rows.
        roll_interval: A file is published at the end of an epoch that makes it this old.
        buffer_bytes: Bound of the rows in memory, per partition; above it, the largest buffers
            go to disk early, which makes smaller files.
        clock: Monotonic seconds.

    Raises:
        ConfigurationError: A value is out of range, or `directory` is not a directory. In the
            flow: another run writes into the directory, or it holds rows of another schema.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        partitions: int = 1,
        roll_rows: int = DEFAULT_ROLL_ROWS,
        roll_interval: timedelta = DEFAULT_ROLL_INTERVAL,
        buffer_bytes: int = DEFAULT_BUFFER_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = Path(directory).absolute()
        if self._directory.exists() and not self._directory.is_dir():
            raise ConfigurationError(f"{self._directory} is a file; name a directory")
        for name, value in (
            ("partitions", partitions),
            ("roll_rows", roll_rows),
            ("buffer_bytes", buffer_bytes),
        ):
            if value < 1:
                raise ConfigurationError(f"{name} is {value}; it must be at least 1")
        if roll_interval < timedelta(0):
            raise ConfigurationError("roll_interval is negative; use 0 to publish at every epoch")
        self._partitions = partitions
        self._rolling = Rolling(
            rows=roll_rows,
            interval_s=roll_interval.total_seconds(),
            buffer_bytes=buffer_bytes,
        )
        self._clock = clock

    def list_parts(self) -> list[str]:
        """Return the names of the partitions."""
        return [f"part-{index:04d}" for index in range(self._partitions)]

    def build_part(
        self, step_id: str, for_part: str, resume_state: PlainState | None
    ) -> StatefulSinkPartition[RecordBatchOf, Any]:
        """Open the partition and bring its files to where the recovery state is.

        Raises:
            ConfigurationError: Another run writes into the directory, or has written it.
            SinkError: The directory cannot be written.
        """
        writer = f"{step_id}.{for_part}"
        if RUN.durable:
            return self._durable_part(writer, resume_state)
        if resume_state is not None or any(self._directory.glob(f"{STATE_FOLDER}/*/run.json")):
            raise ConfigurationError(
                f"{self._directory} is the output of a run with a state folder: go on with "
                "overshoot_flow.flow.run and that folder, or name another directory"
            )
        staging = StagingArea(self._directory, writer)
        return _ParquetPartition(self._directory, staging, self._rolling, self._clock)

    def _durable_part(self, writer: str, resume_state: PlainState | None) -> DurablePartition:
        folder = self._directory / STATE_FOLDER / partition_value(writer)
        with disk_errors(folder):
            lock = DirectoryLock(folder)
        try:
            part = DurablePartition(
                self._directory,
                writer,
                resume_state,
                self._rolling,
                time.time,
                on_close=lock.release,
            )
        except BaseException:
            lock.release()
            raise
        RUN.at_success(part.finish)
        return part


@dataclass(slots=True)
class _Batches:
    """Batches of one schema, merged as they come so that few small ones remain."""

    parts: list[pa.RecordBatch] = field(default_factory=list)
    rows: int = 0
    nbytes: int = 0

    def append(self, batch: pa.RecordBatch) -> None:
        """Add rows at the end."""
        self.rows += batch.num_rows
        self.nbytes += batch.nbytes
        # Merging equals copies every row a logarithmic number of times, whatever the batch sizes.
        while self.parts and self.parts[-1].num_rows <= batch.num_rows:
            batch = pa.concat_batches([self.parts.pop(), batch])  # type: ignore[attr-defined]  # not in the stubs
        self.parts.append(batch)

    def extend(self, later: _Batches) -> None:
        """Add all rows of `later` at the end; `later` is used up."""
        nbytes = self.nbytes + later.nbytes
        for batch in later.parts:
            self.append(batch)
        self.nbytes = nbytes


@dataclass(slots=True)
class _Leaf:
    """What is on its way into one leaf directory."""

    opened_at_s: float
    covered: _Batches = field(default_factory=_Batches)
    """Rows of finished epochs."""
    epoch: _Batches = field(default_factory=_Batches)
    """Rows of the unfinished epoch."""
    spilled: list[StagedFile] = field(default_factory=list)
    """Rows of finished epochs that were too many for the memory, before those in `covered`."""
    epoch_spilled: list[StagedFile] = field(default_factory=list)
    """The same of the unfinished epoch, before those in `epoch`."""

    @property
    def nbytes(self) -> int:
        return self.covered.nbytes + self.epoch.nbytes

    def finish_epoch(self) -> None:
        self.covered.extend(self.epoch)
        self.epoch = _Batches()
        self.spilled, self.epoch_spilled = self.spilled + self.epoch_spilled, []


class _ParquetPartition(StatefulSinkPartition[RecordBatchOf, None]):
    def __init__(
        self, directory: Path, staging: StagingArea, rolling: Rolling, clock: Callable[[], float]
    ) -> None:
        self._directory = directory
        self._staging = staging
        self._rolling = rolling
        self._clock = clock
        self._guard = SchemaGuard(directory)
        self._leaves: dict[_Place, _Leaf] = {}
        self._nbytes = 0

    def write_batch(self, values: list[RecordBatchOf]) -> None:
        for records in values:
            if not records.batch.num_rows:
                continue
            self._guard.check(records)
            for place, batch in by_place(records):
                leaf = self._leaves.setdefault(place, _Leaf(self._clock()))
                leaf.epoch.append(batch)
                self._nbytes += batch.nbytes
            while self._nbytes > self._rolling.buffer_bytes:
                self._relieve()

    def snapshot(self) -> None:
        # All rows change sides before the first one goes to disk: an epoch that a full disk
        # interrupts is not half unfinished.
        for leaf in self._leaves.values():
            leaf.finish_epoch()
        now_s = self._clock()
        for place, leaf in list(self._leaves.items()):
            old = now_s - leaf.opened_at_s >= self._rolling.interval_s
            if old or leaf.covered.rows >= self._rolling.rows or leaf.spilled:
                self._publish(place, leaf)
                del self._leaves[place]

    def close(self) -> None:
        # Rows of an unfinished epoch are here only after an exception; they stay unpublished.
        try:
            for place, leaf in self._leaves.items():
                self._publish(place, leaf)
        finally:
            self._staging.close()

    def _relieve(self) -> None:
        place, leaf = max(self._leaves.items(), key=lambda item: item[1].nbytes)
        self._publish(place, leaf)
        if leaf.epoch.rows:
            leaf.epoch_spilled.append(self._staging.write(leaf.epoch.parts))
            self._nbytes -= leaf.epoch.nbytes
            leaf.epoch = _Batches()

    def _publish(self, place: _Place, leaf: _Leaf) -> None:
        # Taken out first: what failed half-way must not be published a second time by `close`.
        spilled, covered = leaf.spilled, leaf.covered
        leaf.spilled, leaf.covered = [], _Batches()
        self._nbytes -= covered.nbytes
        if covered.rows:
            spilled.append(self._staging.write(covered.parts))
        for staged in spilled:
            self._staging.publish(staged, place)
