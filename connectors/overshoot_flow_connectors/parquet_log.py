"""An append-only log of record batches that can be cut back to an earlier length."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa

from overshoot_flow.errors import SinkError
from overshoot_flow_connectors.parquet_files import disk_errors, sync_directory

_HEADER: Final = struct.Struct("<II")
"""Lengths in bytes of the place and of the Arrow IPC stream that follow."""


class RowLog:
    """One log file; entries are a place (a leaf directory) and rows for it.

    Args:
        path: The file; created when missing.
        length: Everything behind this many bytes belongs to an epoch that was lost, and is cut.

    Raises:
        SinkError: The file is shorter than `length`, or the disk refuses.
    """

    def __init__(self, path: Path, length: int) -> None:
        self.path = path
        with disk_errors(path):
            is_new = not path.exists()
            # Without a buffer: what a full disk has refused must not be tried again by `close`.
            self._file = path.open("ab", buffering=0)
            if is_new:
                sync_directory(path.parent)
            present = self._file.seek(0, os.SEEK_END)
            if present < length:
                self._file.close()
                raise SinkError(
                    f"{path} has {present} bytes, the recovery state says {length}: rows are gone; "
                    "bring the file back from a copy, or begin anew with an empty state folder "
                    "and output"
                )
            self._file.truncate(length)

    def append(self, place: Path, batch: pa.RecordBatch) -> None:
        """Write rows at the end; they are safe after `sync`."""
        buffer = pa.BufferOutputStream()
        with pa.ipc.new_stream(buffer, batch.schema) as stream:
            stream.write_batch(batch)
        rows = buffer.getvalue()
        name = place.as_posix().encode()
        with disk_errors(self.path):
            self._write(_HEADER.pack(len(name), rows.size) + name)
            self._write(rows)

    def sync(self) -> int:
        """Make everything written safe on the disk; return the length in bytes."""
        with disk_errors(self.path):
            os.fsync(self._file.fileno())
            return self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Close the file; what was not synced may be lost."""
        with disk_errors(self.path):
            self._file.close()

    def _write(self, data: bytes | pa.Buffer) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]


def read_log(path: Path, length: int) -> Iterator[tuple[Path, pa.RecordBatch]]:
    """Yield the entries in the first `length` bytes of a log.

    Raises:
        SinkError: The log cannot be read, or ends within an entry.
    """
    with disk_errors(path), path.open("rb") as file:
        while file.tell() < length:
            name_length, rows_length = _HEADER.unpack(_exactly(file.read(_HEADER.size), 8, path))
            name = _exactly(file.read(name_length), name_length, path)
            rows = _exactly(file.read(rows_length), rows_length, path)
            with pa.ipc.open_stream(rows) as stream:
                for batch in stream:
                    yield Path(name.decode()), batch


def _exactly(data: bytes, length: int, path: Path) -> bytes:
    if len(data) != length:
        raise SinkError(f"{path} ends within an entry; bring it back from a copy")
    return data
