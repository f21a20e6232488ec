"""Files of a directory of Hive-partitioned Parquet datasets: names, places, locks."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from overshoot_flow.errors import ConfigurationError, SinkError
from overshoot_flow.schema.records import RecordBatchOf, utc_dates

ROW_GROUP_ROWS: Final = 65_536

# File systems hold names of 255 bytes; `source=` and the digest of a shortened key take some.
_MAX_VALUE_BYTES: Final = 200
SCHEMA_PREFIX: Final = "schema="
_SOURCE_PREFIX: Final = "source="
_NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"

Layout: TypeAlias = tuple[str, ...]
"""The Hive partition columns of a directory of datasets, besides the schema key."""

BY_DATE_AND_SOURCE: Final[Layout] = ("date", "source")
BY_DATE: Final[Layout] = ("date",)
LAYOUTS: Final = (BY_DATE_AND_SOURCE, BY_DATE)


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


def schema_folder(records: RecordBatchOf) -> Path:
    """Return the directory of rows of one schema, relative to the directory of all datasets."""
    if records.schema_key is None:
        return Path(records.dataset)
    return Path(records.dataset, SCHEMA_PREFIX + partition_value(records.schema_key))


def layout_of(leaf: Path) -> Layout:
    """Return the layout of the directory that has this leaf directory."""
    return BY_DATE_AND_SOURCE if leaf.name.startswith(_SOURCE_PREFIX) else BY_DATE


def by_place(records: RecordBatchOf, layout: Layout) -> list[tuple[Path, pa.RecordBatch]]:
    """Split records by leaf directory, relative to the directory of all datasets."""
    folder = schema_folder(records)
    dates = utc_dates(records)
    source = f"{_SOURCE_PREFIX}{partition_value(records.stream_key)}"
    places = []
    days = pc.unique(dates)
    for date in days:
        whole = len(days) == 1
        rows = records.batch if whole else records.batch.filter(pc.equal(dates, date))
        day = folder / f"date={date}"
        places.append((day if layout == BY_DATE else day / source, rows))
    return places


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
