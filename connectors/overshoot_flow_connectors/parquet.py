"""Records → Parquet files, as a Bytewax sink.

`directory/<dataset>/date=YYYY-MM-DD/source=<stream key>/part-….parquet`, for the datasets
`results`, `dead_letters`, `gaps` and `usage`. `date` is the UTC day of capture where it is known,
else of arrival; both it and `source` are Hive partition columns and not repeated in the files.
Results of several output schemas have a partition column more, and files of different columns:
`results/schema=<schema key>/date=YYYY-MM-DD/source=…`; the other datasets stay as they are.
With `partition_by=("date",)` there are no folders of sources: rows of all streams share files.
A reader may guess a number from a `source` or `schema` of digits alone; the column `stream_key` is
exact.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from pyarrow.fs import FileSystem

from overshoot_flow.errors import ConfigurationError
from overshoot_flow_connectors.destination import Destination
from overshoot_flow_connectors.object_folder import ObjectFolder
from overshoot_flow_connectors.object_store import ObjectPlace, is_url
from overshoot_flow_connectors.parquet_files import BY_DATE_AND_SOURCE, LAYOUTS
from overshoot_flow_connectors.parquet_folder import ParquetFolder
from overshoot_flow_connectors.two_phase_sink import RollingOptions, TwoPhaseSink


class ParquetSink(TwoPhaseSink):
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
        directory: Where the datasets are; created when missing. Or the URL of a folder in an object
            store, such as `s3://bucket/answers?region=eu-central-1`; the bucket must exist.
            Credentials come from the environment (`AWS_ACCESS_KEY_ID`, a profile, …).
        staging: With a URL only: folder on a local disk for rows that are not yet in the store. A
            run that goes on needs it as it needs its state folder; no other sink may use it.
        store: With a URL only: the store, where URL and environment do not say enough about it.
        partition_by: What folders a dataset has: `("date", "source")`, or `("date",)` where there
            are many streams with few rows each, such as the clips of `KafkaClipSource`: then every
            roll makes one file for all streams of a sink partition, per dataset, schema and day.
            One directory has one of the two.
        rolling: When rows become visible, see `RollingOptions`.

    Raises:
        ConfigurationError: A value is out of range, or `directory` is not a directory. In the
            flow: another run writes into the directory, or it holds rows of another schema or
            partitioned by something else, or rows with and without a schema key meet in one
            dataset.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        staging: str | os.PathLike[str] | None = None,
        store: FileSystem | None = None,
        partition_by: Sequence[str] = BY_DATE_AND_SOURCE,
        **rolling: Unpack[RollingOptions],
    ) -> None:
        self._place = ObjectPlace.of(str(directory)) if is_url(directory) else None
        self._store = store
        self._layout = tuple(partition_by)
        if self._layout not in LAYOUTS:
            raise ConfigurationError(
                f"partition_by is {partition_by!r}; it must be "
                f"{' or '.join(str(each) for each in LAYOUTS)}"
            )
        if (staging is None) is not (self._place is None):
            raise ConfigurationError(
                f"{directory} is on the disk, where rows wait in it: leave staging out"
                if self._place is None
                else f"rows for {self._place} wait on the disk: name a folder for them as staging"
            )
        super().__init__(Path(directory if staging is None else staging).absolute(), **rolling)

    def _destination(self) -> Destination:
        if self._place is None:
            return ParquetFolder(self._directory, self._layout)
        return ObjectFolder(self._store or self._place.open_store(), self._place, self._layout)
