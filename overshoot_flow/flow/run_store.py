"""The engine's recovery store, and what must be known of it before the engine opens it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from bytewax.recovery import RecoveryConfig, init_db_dir

from overshoot_flow.errors import ConfigurationError

# One partition, because it is one SQLite file: positions of sources and of sinks cannot come from
# different moments, and no part of the store can be lost alone.
_PARTITIONS: Final = 1
_FILE: Final = "part-0.sqlite3"

_KEPT_FOR: Final = timedelta(0)
"""How long the engine keeps snapshots that newer ones have replaced.

The engine writes the new epoch into the store before it collects those of the one before: in 231
stores examined after a kill -9 (1 to 3 workers, epochs of 0 to 50 ms) the resume epoch was always 1
to 3 ahead of the collection, and no run lost or doubled an item. So nothing needs to be kept. A day
of kept snapshots would be 330 bytes for each source and epoch: 14 GB for 1,000 files at 2 s.
"""

_ADVICE: Final = (
    "Bring the whole state folder back from a copy, or begin anew with an empty state folder and "
    "an empty output."
)


@dataclass(frozen=True, slots=True, order=True)
class Progress:
    """How far a store is; it only grows while the store is in use.

    Attributes:
        executions: How many times the engine has begun to work on it.
        epoch: The epoch with which the next execution begins.
    """

    executions: int = 0
    epoch: int = 0


class RunStore:
    """The recovery store in its folder. Its methods are for the time when no engine works on it.

    Args:
        directory: The store's folder.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def recovery_config(self) -> RecoveryConfig:
        """Where and for how long the engine keeps its state."""
        return RecoveryConfig(str(self._directory), _KEPT_FOR)  # type: ignore[no-untyped-call]

    @property
    def _file(self) -> Path:
        return self._directory / _FILE

    def create(self, run_id: str) -> None:
        """Make an empty store that carries the mark of `run_id`, in place of an unused one."""
        self._directory.mkdir(exist_ok=True)
        for suffix in ("", "-wal", "-shm"):
            (self._directory / f"{_FILE}{suffix}").unlink(missing_ok=True)
        init_db_dir(self._directory, _PARTITIONS)  # type: ignore[no-untyped-call]
        with self._opened() as database:
            database.execute(f"PRAGMA application_id = {_mark(run_id)}")

    def was_used(self) -> bool:
        """Whether an engine has ever worked on it.

        Raises:
            ConfigurationError: The file is damaged.
        """
        if not self._file.exists():
            return False
        with self._opened() as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
            return "exs" in tables and _progress_in(database).executions > 0

    def progress(self, run_id: str, at_least: Progress) -> Progress:
        """Return how far the store of `run_id` is.

        The engine does not notice that a store was emptied and made again: it begins at the
        beginning, and every row comes a second time. With no file or an empty one it stops with
        `NoPartitionsError`, with a damaged one with a panic that names no file.

        Raises:
            ConfigurationError: The store is lost, damaged, of another run, or not even as far as
                `at_least`; the text says what to do.
        """
        if not self._file.exists() or self._file.stat().st_size == 0:
            raise ConfigurationError(f"the recovery store {self._file} is lost. {_ADVICE}")
        with self._opened() as database:
            (mark,) = database.execute("PRAGMA application_id").fetchone()
            if mark != _mark(run_id):
                raise ConfigurationError(
                    f"the recovery store {self._file} is not the one of this run. {_ADVICE}"
                )
            progress = _progress_in(database)
        if progress < at_least:
            raise ConfigurationError(
                f"the recovery store {self._file} is older than the run: it is at epoch "
                f"{progress.epoch} after {progress.executions} starts, the run was at epoch "
                f"{at_least.epoch} after {at_least.executions}. Going on would repeat rows. "
                "Bring the newest store back, or begin anew with an empty state folder and an "
                "empty output."
            )
        return progress

    def forget_lost_epochs(self, progress: Progress) -> None:
        """Delete the snapshots of epochs that never became durable.

        The engine leaves them, and takes a step's newest snapshot before the resume epoch. When the
        next execution passes the lost epochs without a snapshot of that step (a sink without items
        has none), the lost one counts as durable from then on: after one more kill rows were lost,
        doubled, or the run could not go on.

        Args:
            progress: What `progress` has returned.

        Raises:
            ConfigurationError: The file is damaged.
        """
        with self._opened() as database:
            database.execute("DELETE FROM snaps WHERE snap_epoch >= ?", (progress.epoch,))

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            # Not read-only: after a kill SQLite has to bring its write-ahead log in first.
            uri = f"{self._file.absolute().as_uri()}?mode=rw"
            with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as database:
                (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
                if verdict != "ok":
                    raise self._damaged(verdict)
                yield database
        except sqlite3.DatabaseError as error:
            raise self._damaged(str(error)) from None

    def _damaged(self, reason: str) -> ConfigurationError:
        return ConfigurationError(
            f"the recovery store {self._file} cannot be read ({reason}). {_ADVICE}"
        )


def _mark(run_id: str) -> int:
    """SQLite keeps 32 bits, with sign, for the application that a file belongs to."""
    return int(run_id[:7], 16)


def _progress_in(database: sqlite3.Connection) -> Progress:
    """Tell the resume epoch as the engine does: the slowest worker of the last execution."""
    last = database.execute(
        "SELECT ex_num, worker_count, resume_epoch FROM exs ORDER BY ex_num DESC LIMIT 1"
    ).fetchone()
    if last is None:
        return Progress()
    execution, workers, epoch = last
    frontiers = database.execute(
        "SELECT worker_frontier FROM fronts WHERE ex_num = ?", (execution,)
    ).fetchall()
    if len(frontiers) == workers:
        epoch = max(epoch, min(frontier for (frontier,) in frontiers))
    return Progress(execution + 1, epoch)
