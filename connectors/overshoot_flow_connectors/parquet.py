"""Records → Parquet files, as a Bytewax sink.

`directory/<dataset>/date=YYYY-MM-DD/source=<stream key>/part-….parquet`, for the datasets
`results`, `dead_letters`, `gaps` and `usage`. `date` is the UTC day of capture where it is known,
else of arrival; both it and `source` are Hive partition columns and not repeated in the files.
A reader may guess a number from a `source` of digits alone; the column `stream_key` is exact.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bytewax.outputs import FixedPartitionedSink

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.running import RUN
from overshoot_flow.schema.records import RecordBatchOf
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

if TYPE_CHECKING:
    import os

DEFAULT_ROLL_ROWS: Final = 100_000
DEFAULT_ROLL_BYTES: Final = 256 << 20
DEFAULT_ROLL_INTERVAL: Final = timedelta(minutes=5)
DEFAULT_BUFFER_BYTES: Final = 64 << 20


class ParquetSink(FixedPartitionedSink[RecordBatchOf, "PlainState"]):
    """Writes `(stream_key, RecordBatchOf)` items into Hive-partitioned Parquet datasets.

    What readers see: whole files only, which never change or vanish, and in them only rows of
    finished epochs. Rows wait on the disk until there are enough of them for files, or until the
    run ends.

    With a recovery state (`overshoot_flow.flow.run(..., state=...)`) every row becomes visible
    exactly once, however often the run is killed and gone on with.

    Without one, after a run that ended normally, or with an exception that Bytewax could handle,
    every row of its finished epochs is visible; after a kill or a power cut the rows since the
    last publishing are lost: at most `roll_interval` plus one epoch.

    Args:
        directory: Where the datasets are; created when missing.
        partitions: How many partitions write, each on one worker at a time.
        roll_rows: Rows that wait become files at the end of the epoch that brings them to this
            many.
        roll_bytes: The same for their size, as Arrow has them. Making files needs about twice
            this much memory.
        roll_interval: The same for the age of the first of them.
        buffer_bytes: Bound of one epoch's rows in memory, per partition; above it they go to disk
            before the epoch ends.
        clock: Seconds of UTC since 1970.

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
        roll_bytes: int = DEFAULT_ROLL_BYTES,
        roll_interval: timedelta = DEFAULT_ROLL_INTERVAL,
        buffer_bytes: int = DEFAULT_BUFFER_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = Path(directory).absolute()
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

    def list_parts(self) -> list[str]:
        """Return the names of the partitions."""
        return [f"part-{index:04d}" for index in range(self._partitions)]

    def build_part(
        self, step_id: str, for_part: str, resume_state: PlainState | None
    ) -> ParquetPartition:
        """Open the partition and bring its files to where the recovery state is.

        Raises:
            ConfigurationError: Another run writes into the directory, or has written it.
            SinkError: The directory cannot be written.
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
                on_close=lock.release,
            )
        except BaseException:
            lock.release()
            raise
        if RUN.durable:
            RUN.at_success(part.finish)
        return part
