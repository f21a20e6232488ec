"""Files of a directory of Hive-partitioned Parquet datasets: names, places, locks, columns."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from overshoot_flow.errors import ConfigurationError, SinkError
from overshoot_flow.schema.records import Dataset, RecordBatchOf, utc_dates

ROW_GROUP_ROWS: Final = 65_536

# File systems hold names of 255 bytes; `source=` and the digest of a shortened key take some.
_MAX_VALUE_BYTES: Final = 200
_NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"


def partition_value(key: str) -> str:
    """Return `key` percent-encoded for a Hive directory name.

    Readers decode it again. A key too long for a directory name is cut and told apart from
    others by a digest; the column `stream_key` always has the whole key.
    """
    encoded = quote(key, safe="")
    if len(encoded) <= _MAX_VALUE_BYTES:
        return encoded or _NO_VALUE
    kept = ""
    for character in key:
        more = kept + quote(character, safe="")
        if len(more) > _MAX_VALUE_BYTES:
            break
        kept = more
    return f"{kept}~{hashlib.sha256(key.encode()).hexdigest()[:16]}"


class DirectoryLock:
    """Keeps other writers out of a directory, until it is released or the process ends.

    Args:
        path: The directory, two levels below that of all datasets; created when missing.

    Raises:
        ConfigurationError: Another writer holds it.
        OSError: The disk refuses.
    """

    def __init__(self, path: Path) -> None:
        # Bytewax closes no partition when another one cannot be built.
        self._release = weakref.finalize(self, os.close, _locked(path))

    def release(self) -> None:
        """Let others in; repeating it is harmless."""
        self._release()


def write_file(path: Path, batches: Sequence[pa.RecordBatch]) -> int:
    """Write the batches, which are of one schema, into a new file and sync it; return the rows.

    Raises:
        SinkError: The disk refused; no file is left behind.
    """
    table = pa.Table.from_batches(batches)
    bloom_filters = {
        name: {"ndv": max(1, table.num_rows), "fpp": 0.01}
        for name in ("result_id",)
        if name in table.column_names
    }
    with disk_errors(path):
        try:
            with path.open("xb") as file:
                pq.write_table(
                    table,
                    file,
                    row_group_size=ROW_GROUP_ROWS,
                    compression="zstd",
                    write_page_checksum=True,
                    write_page_index=True,
                    write_statistics=True,
                    bloom_filter_options=bloom_filters or None,
                )
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    return table.num_rows


class SchemaGuard:
    """Refuses rows whose columns are not those of the dataset they are meant for.

    Args:
        directory: The directory of all datasets.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._schemas: dict[Dataset, pa.Schema] = {}

    def check(self, records: RecordBatchOf) -> None:
        """Compare with the files that are there, then with the rows before.

        Raises:
            ConfigurationError: A column differs; the text names it and says what to do.
            SinkError: A file of the dataset cannot be read.
        """
        dataset = self._directory / records.dataset
        schema = self._schemas.get(records.dataset)
        if schema is None:
            check_compatible(dataset, records.batch.schema)
            self._schemas[records.dataset] = records.batch.schema
        elif not schema.equals(records.batch.schema):
            raise ConfigurationError(
                f"rows of two schemas for {dataset}: "
                f"{schema_difference(schema, records.batch.schema)}; "
                "give each its own sink and directory"
            )


def by_place(records: RecordBatchOf) -> list[tuple[Path, pa.RecordBatch]]:
    """Split records by leaf directory, relative to the directory of all datasets."""
    dates = utc_dates(records)
    source = f"source={partition_value(records.stream_key)}"
    places = []
    days = pc.unique(dates)
    for date in days:
        whole = len(days) == 1
        rows = records.batch if whole else records.batch.filter(pc.equal(dates, date))
        places.append((Path(records.dataset, f"date={date}", source), rows))
    return places


def check_compatible(dataset: Path, schema: pa.Schema) -> None:
    """Refuse to add rows of `schema` to a dataset whose files have other columns.

    Raises:
        ConfigurationError: A column differs; the text names it and says what to do.
        SinkError: A file of the dataset cannot be read.
    """
    with disk_errors(dataset):
        existing = next(dataset.rglob("*.parquet"), None)
    if existing is None:
        return
    with disk_errors(existing):
        present = pq.read_schema(existing)
    difference = schema_difference(present, schema)
    if difference is not None:
        raise ConfigurationError(
            f"{dataset} has rows of another schema: {difference}; write into another directory"
        )


def schema_difference(present: pa.Schema, wanted: pa.Schema) -> str | None:
    """Return what differs between two schemas, naming the column, or None; metadata aside."""
    for name in dict.fromkeys([*wanted.names, *present.names]):
        if name not in present.names:
            return f"column {name} ({wanted.field(name).type}) is new"
        if name not in wanted.names:
            return f"column {name} ({present.field(name).type}) is missing"
        before, now = present.field(name), wanted.field(name)
        if not before.equals(now):
            return f"column {name} is {_shown(before)} there and {_shown(now)} now"
    return None


def _shown(field: pa.Field[Any]) -> str:
    return f"{field.type}" if field.nullable else f"{field.type} not null"


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Translate what the disk or Arrow raises, naming `path`."""
    try:
        yield
    except OSError as error:
        raise SinkError(f"{path}: {error.strerror or error}") from error
    except pa.ArrowException as error:
        raise SinkError(f"{path}: {error}") from error


def _locked(path: Path) -> int:
    while True:
        make_directories(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A writer that ended in between has removed the directory that was locked here.
            if path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            directory = path.parent.parent
            raise ConfigurationError(
                f"another run writes into {directory}; wait for it, or use another directory"
            ) from None
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def make_directories(path: Path) -> None:
    """Make a directory and its parents, safe on the disk."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_directory(each.parent)


def sync_directory(path: Path) -> None:
    """Make renames and new names in a directory safe on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
