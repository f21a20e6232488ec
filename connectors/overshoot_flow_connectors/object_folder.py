"""Parquet datasets in an object store: finished files are put there whole.

A store has no rename, but an object appears whole or not at all. So rows wait on the local disk
until their file is complete, and the file's name says whose it is: putting it again after a crash
is seen and left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType

from overshoot_flow.errors import SinkError, StorageError
from overshoot_flow.schema.records import RecordBatchOf
from overshoot_flow_connectors.attempts import attempted
from overshoot_flow_connectors.destination import Publication
from overshoot_flow_connectors.object_store import ObjectPlace, objects_below, storage_errors
from overshoot_flow_connectors.parquet_files import (
    BY_DATE_AND_SOURCE,
    Layout,
    by_place,
    disk_errors,
)
from overshoot_flow_connectors.parquet_folder import missing_text
from overshoot_flow_connectors.parquet_versions import SchemaGuard, versions_of


class ObjectFolder:
    """The destination of `ParquetSink` in an object store; places are as on a disk.

    Args:
        store: The store.
        place: The folder of all datasets.
        layout: Its partition columns.
        pause: Waits for so many seconds.
    """

    def __init__(
        self,
        store: FileSystem,
        place: ObjectPlace,
        layout: Layout = BY_DATE_AND_SOURCE,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._place = place
        self._layout = layout
        self._pause = pause
        self._guard = _ObjectSchemaGuard(store, place, layout)

    @property
    def name(self) -> str:
        """The URL."""
        return str(self._place)

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
        """Put the files into the store."""
        for name in publication.names:
            path = publication.staged / name
            if not path.exists():
                raise SinkError(missing_text(path))
            target = self._place / name
            attempted(partial(self._put, path, target), StorageError, self._pause)

    def _put(self, path: Path, target: ObjectPlace) -> None:
        with storage_errors(target):
            # One that is there already came there before a crash, with the same rows.
            if self._store.get_file_info(target.path).type is FileType.File:
                return
        with disk_errors(path):
            content = pa.memory_map(str(path)).read_buffer()
        with storage_errors(target):
            # Without `with`, which would complete an object that was cut short by an error.
            stream = self._store.open_output_stream(target.path, compression=None)
            stream.write(content)
            stream.close()
            size = self._store.get_file_info(target.path).size
        if size != content.size:
            raise SinkError(
                f"{target} has {size} bytes and {path} has {content.size}: remove the object, and "
                "go on from the state"
            )


class _ObjectSchemaGuard(SchemaGuard):
    """Looks into the store instead of the disk."""

    def __init__(self, store: FileSystem, place: ObjectPlace, layout: Layout) -> None:
        super().__init__(Path(place.path), layout)
        self._store = store
        self._place = place

    def _name(self, folder: Path) -> str:
        return str(self._place / folder.as_posix())

    def _present(self, folder: Path) -> dict[str, pa.Schema]:
        files = objects_below(self._store, self._place / folder.as_posix())
        parquet = [Path(file.path) for file in files if file.extension == "parquet"]
        return versions_of(parquet, self._read)

    def _read(self, file: Path) -> pa.Schema:
        place = ObjectPlace(self._place.scheme, file.as_posix())
        with storage_errors(place), self._store.open_input_file(place.path) as opened:
            return pq.read_schema(opened)

    def _has(self, dataset: str, pattern: str) -> bool:
        return any(fnmatchcase(each.base_name, pattern) for each in self._within(dataset))

    def _files(self, folder: Path) -> Iterator[Path]:
        for each in self._within(folder.as_posix()):
            if each.type is FileType.Directory:
                yield from self._files(folder / each.base_name)
            elif each.extension == "parquet":
                yield folder / each.base_name

    def _within(self, name: str) -> list[FileInfo]:
        folder = self._place / name
        with storage_errors(folder):
            found: list[FileInfo] = self._store.get_file_info(
                FileSelector(folder.path, allow_not_found=True)
            )
        return found
