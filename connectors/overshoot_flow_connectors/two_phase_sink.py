"""What all sinks have in common whose rows appear exactly once."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final, TypedDict

from bytewax.outputs import FixedPartitionedSink

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.running import RUN
from overshoot_flow.schema.records import RecordBatchOf
from overshoot_flow_connectors.destination import Destination
from overshoot_flow_connectors.parquet_files import (
    DirectoryLock,
    disk_errors,
    partition_value,
)
from overshoot_flow_connectors.parquet_partition import (
    STATE_FOLDER,
    ParquetPartition,
    PlainState,
)
from overshoot_flow_connectors.parquet_rolling import Rolling

DEFAULT_ROLL_ROWS: Final = 100_000
DEFAULT_ROLL_BYTES: Final = 256 << 20
DEFAULT_ROLL_INTERVAL: Final = timedelta(minutes=5)
DEFAULT_BUFFER_BYTES: Final = 64 << 20


class RollingOptions(TypedDict, total=False):
    """When rows become visible, and what waits for it: keywords of all two-phase sinks.

    Attributes:
        partitions: How many partitions write, each on one worker at a time (1).
        roll_rows: Rows that wait become visible at the end of the epoch that brings them to this
            many (100,000).
        roll_bytes: The same for their size, as Arrow has them (256 MiB). Making them visible needs
            about twice this much memory.
        roll_interval: The same for the age of the first of them (5 minutes).
        buffer_bytes: Bound of one epoch's rows in memory, per partition; above it they go to disk
            before the epoch ends (64 MiB).
        clock: Seconds of UTC since 1970.
    """

    partitions: int
    roll_rows: int
    roll_bytes: int
    roll_interval: timedelta
    buffer_bytes: int
    clock: Callable[[], float]


class TwoPhaseSink(FixedPartitionedSink[RecordBatchOf, PlainState]):
    """Keeps rows in a folder on the disk, and rolls them over into a destination.

    Args:
        directory: The folder; absolute.
        partitions, roll_rows, …: As in `RollingOptions`.

    Raises:
        ConfigurationError: A value is out of range, or `directory` is not a directory.
    """

    def __init__(
        self,
        directory: Path,
        *,
        partitions: int = 1,
        roll_rows: int = DEFAULT_ROLL_ROWS,
        roll_bytes: int = DEFAULT_ROLL_BYTES,
        roll_interval: timedelta = DEFAULT_ROLL_INTERVAL,
        buffer_bytes: int = DEFAULT_BUFFER_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        if self._directory.exists() and not self._directory.is_dir():
            raise ConfigurationError(f"{self._directory} is a file; name a directory")
        for name, value in (
            ("partitions", partitions),
            ("roll_rows", roll_rows),
            ("roll_bytes", roll_bytes),
            ("buffer_bytes", buffer_bytes),
        ):
            if value < 1:
                raise ConfigurationError(f"{name} is {value}; it must be at least 1")
        if roll_interval < timedelta(0):
            raise ConfigurationError("roll_interval is negative; use 0 to publish at every epoch")
        self._partitions = partitions
        self._rolling = Rolling(
            rows=roll_rows,
            log_bytes=roll_bytes,
            interval_s=roll_interval.total_seconds(),
            buffer_bytes=buffer_bytes,
        )
        self._clock = clock

    @abstractmethod
    def _destination(self) -> Destination:
        """Return where a partition's rows become visible; it belongs to that partition alone."""
        ...

    def list_parts(self) -> list[str]:
        """Return the names of the partitions."""
        return [f"part-{index:04d}" for index in range(self._partitions)]

    def build_part(
        self, step_id: str, for_part: str, resume_state: PlainState | None
    ) -> ParquetPartition:
        """Open the partition and bring its destination to where the recovery state is.

        Raises:
            ConfigurationError: Another run writes into the directory, or has written it.
            SinkError: The directory or the destination cannot be written.
        """
        writer = f"{step_id}.{for_part}"
        if resume_state is not None and not RUN.durable:
            raise ConfigurationError(
                f"{self._directory} is the output of a run with a state folder: go on with "
                "overshoot_flow.flow.run and that folder, or name another directory"
            )
        folder = self._directory / STATE_FOLDER / partition_value(writer)
        with disk_errors(folder):
            lock = DirectoryLock(folder)
        try:
            part = ParquetPartition(
                self._directory,
                writer,
                resume_state,
                self._rolling,
                self._clock,
                resumable=RUN.durable,
                destination=self._destination(),
                on_close=lock.release,
            )
        except BaseException:
            lock.release()
            raise
        if RUN.durable:
            RUN.at_success(part.finish)
        return part
