"""Parquet datasets in a local folder: staged files are renamed into it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from overshoot_flow.errors import SinkError
from overshoot_flow.schema.records import RecordBatchOf
from overshoot_flow_connectors.destination import Publication
from overshoot_flow_connectors.parquet_files import (
    BY_DATE_AND_SOURCE,
    Layout,
    by_place,
    disk_errors,
    make_directories,
    sync_directory,
)
from overshoot_flow_connectors.parquet_versions import SchemaGuard


class ParquetFolder:
    """The destination of `ParquetSink` on a disk; places are leaf directories.

    Args:
        directory: The directory of all datasets.
        layout: Its partition columns.
    """

    def __init__(self, directory: Path, layout: Layout = BY_DATE_AND_SOURCE) -> None:
        self._directory = directory
        self._layout = layout
        self._guard = SchemaGuard(directory, layout)

    @property
    def name(self) -> str:
        """The directory."""
        return str(self._directory)

    def check(self, records: RecordBatchOf) -> str:
        """Refuse rows whose columns do not go with those of the files in the dataset."""
        return self._guard.check(records)

    def check_logged(self, place: Path, batch: pa.RecordBatch) -> str:
        """Do the same for rows that wait for `place`."""
        return self._guard.check_logged(place, batch)

    def split(self, records: RecordBatchOf) -> list[tuple[Path, pa.RecordBatch]]:
        """Return the rows by leaf directory."""
        return by_place(records, self._layout)

    def publish(self, publication: Publication) -> None:
        """Rename the files into the dataset."""
        staged = publication.staged
        for name in publication.names:
            if not (staged / name).exists() and not (self._directory / name).exists():
                raise SinkError(missing_text(staged / name))
        for name in publication.names:
            target = self._directory / name
            with disk_errors(target):
                make_directories(target.parent)
                # One that is there already came there before a crash, with the same rows.
                if not target.exists():
                    (staged / name).rename(target)
                    sync_directory(target.parent)


def missing_text(path: Path) -> str:
    """Say that a staged file is gone, and what to do."""
    return (
        f"{path} is gone and was never published: rows are missing. Bring the output back from a "
        "copy, or begin anew with an empty state folder and output"
    )
