"""A disk in memory, and the production's two-phase Parquet partition on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from random import Random
from types import SimpleNamespace
from typing import Any, Final, TypeAlias

from simulation_checks import Checks, Row

from overshoot_flow.errors import SinkError
from overshoot_flow.schema.records import RecordBatchOf
from overshoot_flow_connectors.parquet_files import schema_folder
from overshoot_flow_connectors.parquet_partition import STATE_FOLDER, ParquetPartition

_ROW_BYTES: Final = 10
_Content: TypeAlias = Any


class RowBatch:
    """Rows in the place of an Arrow record batch."""

    __slots__ = ("nbytes", "num_rows", "rows")

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = tuple(rows)
        self.num_rows = len(self.rows)
        self.nbytes = _ROW_BYTES * self.num_rows


@dataclass(slots=True)
class MemoryDisk:
    """Files by their path. Every change of it is a moment at which the process may die.

    Args:
        moment: Called before every change; may raise to crash.
        checks: Hears of every file that becomes visible, or would vanish.
    """

    moment: Callable[[str], None]
    checks: Checks
    files: dict[str, _Content] = field(default_factory=dict)
    directories: dict[str, None] = field(default_factory=dict)
    synced_rows: dict[str, int] = field(default_factory=dict)

    def crash(self, random: Random) -> None:
        """Lose a part of what was appended and not synced."""
        for path, content in self.files.items():
            if path in self.synced_rows:
                kept = random.randint(self.synced_rows[path], len(content))
                del content[kept:]
                self.synced_rows[path] = kept

    def rename(self, old: str, new: str) -> None:
        """Rename a file or a directory with everything in it."""
        self.moment(f"rename to {new}")
        if old in self.files:
            if new in self.files:
                self.checks.overwritten(new)
            self.files[new] = self.files.pop(old)
            if not _is_hidden(new):
                self.checks.visible(new, self.files[new])
            return
        for path in [each for each in self.files if each.startswith(f"{old}/")]:
            self.files[new + path[len(old) :]] = self.files.pop(path)
        for path in [each for each in self.directories if f"{each}/".startswith(f"{old}/")]:
            del self.directories[path]
            self.directories[new + path[len(old) :]] = None

    def remove(self, path: str) -> None:
        """Remove a file, or a directory with everything in it."""
        if path not in self.files and path not in self.directories:
            raise FileNotFoundError(path)
        self.moment(f"remove {path}")
        for each in [each for each in self.files if f"{each}/".startswith(f"{path}/")]:
            if not _is_hidden(each):
                self.checks.overwritten(each)
            del self.files[each]
            self.synced_rows.pop(each, None)
        for each in [each for each in self.directories if f"{each}/".startswith(f"{path}/")]:
            del self.directories[each]


def _is_hidden(path: str) -> bool:
    return path.startswith(f"out/{STATE_FOLDER}/")


class MemoryPath:
    """As much of `pathlib.Path` as the partition uses."""

    __slots__ = ("disk", "path")

    def __init__(self, disk: MemoryDisk, path: str) -> None:
        self.disk = disk
        self.path = path

    def __truediv__(self, name: object) -> MemoryPath:
        return MemoryPath(self.disk, f"{self.path}/{name}")

    def __lt__(self, other: MemoryPath) -> bool:
        return self.path < other.path

    def __str__(self) -> str:
        return self.path

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[1]

    @property
    def stem(self) -> str:
        return self.name.split(".", 1)[0]

    @property
    def parent(self) -> MemoryPath:
        return MemoryPath(self.disk, self.path.rsplit("/", 1)[0])

    def relative_to(self, other: MemoryPath) -> str:
        return self.path.removeprefix(f"{other.path}/")

    def exists(self) -> bool:
        return self.path in self.disk.files or self.path in self.disk.directories

    def is_dir(self) -> bool:
        return self.path in self.disk.directories

    def mkdir(self) -> None:
        if self.exists():
            raise FileExistsError(self.path)
        self.disk.directories[self.path] = None

    def rename(self, target: MemoryPath) -> None:
        self.disk.rename(self.path, target.path)

    def unlink(self, *, missing_ok: bool = False) -> None:
        if self.exists() or not missing_ok:
            self.disk.remove(self.path)

    def _below(self) -> Iterator[str]:
        yield from [
            path
            for path in (*self.disk.files, *self.disk.directories)
            if path.startswith(f"{self.path}/")
        ]

    def iterdir(self) -> Iterator[MemoryPath]:
        deep = len(self.path) + 1
        for path in self._below():
            if "/" not in path[deep:]:
                yield MemoryPath(self.disk, path)

    def glob(self, pattern: str) -> list[MemoryPath]:
        return [each for each in self.iterdir() if fnmatchcase(each.name, pattern)]

    def rglob(self, pattern: str) -> list[MemoryPath]:
        ending = pattern.removeprefix("*")
        return [MemoryPath(self.disk, path) for path in self._below() if path.endswith(ending)]


class MemoryLog:
    """Stands where `RowLog` stands, with the same behaviour towards lengths."""

    def __init__(self, path: MemoryPath, length: int) -> None:
        self._disk, self._path = path.disk, path.path
        entries = self._disk.files.setdefault(self._path, [])
        if len(entries) * _ROW_BYTES < length:
            raise SinkError(f"{path} is shorter than the recovery state says")
        del entries[length // _ROW_BYTES :]
        self._entries = entries
        self._disk.synced_rows[self._path] = len(entries)

    def append(self, place: str, batch: RowBatch) -> None:
        self._disk.moment("append")
        self._entries.extend((place, row) for row in batch.rows)

    def sync(self) -> int:
        self._disk.moment("sync")
        self._disk.synced_rows[self._path] = len(self._entries)
        return len(self._entries) * _ROW_BYTES

    def close(self) -> None:
        """Nothing is open."""


def _read_log(path: MemoryPath, length: int) -> Iterator[tuple[str, RowBatch]]:
    entries = path.disk.files[path.path][: length // _ROW_BYTES]
    if len(entries) * _ROW_BYTES < length:
        raise SinkError(f"{path} ends within an entry")
    for place, row in entries:
        yield place, RowBatch((row,))


def _make_directories(path: MemoryPath) -> None:
    path.disk.directories[path.path] = None


def _write_file(path: MemoryPath, batches: Sequence[RowBatch]) -> int:
    path.disk.moment(f"write {path}")
    rows = [row for batch in batches for row in batch.rows]
    path.disk.files[path.path] = rows
    return len(rows)


class _NoSchemaGuard:
    """All rows here have one shape."""

    def __init__(self, _directory: MemoryPath, _layout: object) -> None:
        pass

    def check(self, _records: RecordBatchOf) -> str:
        return "one"

    def check_logged(self, _place: str, _batch: RowBatch) -> str:
        return "one"


def _by_place(records: RecordBatchOf, _layout: object) -> list[tuple[str, Any]]:
    return [(f"{schema_folder(records)}/source={records.stream_key}", records.batch)]


class SimulatedPartition(ParquetPartition):
    """The production's partition; only its two smallest file operations are replaced here."""

    _own: Any

    def _read(self, name: str) -> dict[str, Any] | None:
        document: dict[str, Any] | None = self._own.disk.files.get(f"{self._own.path}/{name}")
        return document

    def _write(self, name: str, document: dict[str, Any]) -> None:
        self._own.disk.moment(f"write {name}")
        self._own.disk.files[f"{self._own.path}/{name}"] = dict(document)


DISK_PARTS: Final[dict[str, Any]] = {
    "RowLog": MemoryLog,
    "read_log": _read_log,
    "write_file": _write_file,
    "make_directories": _make_directories,
    "sync_directory": lambda _path: None,
    "shutil": SimpleNamespace(rmtree=lambda path: path.disk.remove(path.path)),
    "pa": SimpleNamespace(
        concat_batches=lambda batches: RowBatch([row for batch in batches for row in batch.rows])
    ),
}
"""What replaces the disk and Arrow in the partition's module."""

FOLDER_PARTS: Final[dict[str, Any]] = {
    "make_directories": _make_directories,
    "sync_directory": lambda _path: None,
    "SchemaGuard": _NoSchemaGuard,
    "by_place": _by_place,
}
"""What replaces them in the module of its destination."""
