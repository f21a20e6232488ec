"""Parquet in two phases.

    <directory>/_state/<writer>/run.json        whose output this is
                                log-<n>         rows since the last roll
                                staged-<n>/     complete files, not yet visible, and their list
                                published.json  up to which roll all files are visible
                                end.json        the log that the run's good end makes visible

Rows are appended to the log and synced at every snapshot; the recovery state holds its length. A
roll turns the log into staged files within epoch N, and they are renamed into the dataset at the
snapshot that closes N+1, when N is durable. After the run's good end the rest becomes visible the
same way. Names of files are made of run, writer, sequence and columns: every step can be repeated.
What happens when is decided in `parquet_phases`. A run without a recovery state does the same, and
makes all rows of finished epochs visible when it is closed: nobody will go on with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeAlias
from uuid import uuid4

import pyarrow as pa
from bytewax.outputs import StatefulSinkPartition

from overshoot_flow.errors import ConfigurationError, OvershootFlowError, SinkError
from overshoot_flow.flow.running import RUN
from overshoot_flow.schema.records import RecordBatchOf
from overshoot_flow_connectors.destination import Destination, Publication
from overshoot_flow_connectors.parquet_files import (
    disk_errors,
    make_directories,
    partition_value,
    sync_directory,
    write_file,
)
from overshoot_flow_connectors.parquet_folder import ParquetFolder, missing_text
from overshoot_flow_connectors.parquet_log import RowLog, read_log
from overshoot_flow_connectors.parquet_phases import (
    Action,
    BeginRun,
    MarkDurable,
    MarkEnd,
    OnDisk,
    OpenLog,
    Publish,
    Stage,
    Tidy,
    TwoPhases,
)
from overshoot_flow_connectors.parquet_rolling import Rolling
from overshoot_flow_connectors.parquet_state import ParquetState
from overshoot_flow_connectors.parquet_versions import file_name

STATE_FOLDER = "_state"
_RUN: Final = "run.json"
_END: Final = "end.json"
_PUBLISHED: Final = "published.json"
_FILES: Final = "files.json"
PlainState: TypeAlias = dict[str, Any]


class ParquetPartition(StatefulSinkPartition[RecordBatchOf, PlainState]):
    """One writer of a run.

    Args:
        directory: The directory of all datasets, or the folder of those rows that are not yet in
            `destination`.
        writer: Name of this writer, the same in every part of the run.
        state: What `snapshot` returned last, or None at the very beginning.
        rolling: When the log becomes files.
        wall_clock: Seconds of UTC since 1970.
        resumable: Whether the run has a recovery state; without one `close` publishes.
        destination: Where rows become visible; the directory if None.
        on_close: Called by `close`, whatever has happened.

    Raises:
        ConfigurationError: The output belongs to another run, or is newer than the state.
        SinkError: The disk refuses, or files that the state needs are gone.
    """

    def __init__(
        self,
        directory: Path,
        writer: str,
        state: PlainState | None,
        rolling: Rolling,
        wall_clock: Callable[[], float],
        *,
        resumable: bool = True,
        destination: Destination | None = None,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._directory = directory
        self._writer = partition_value(writer)
        self._own = directory / STATE_FOLDER / self._writer
        self._rolling = rolling
        self._wall_clock = wall_clock
        self._resumable = resumable
        self._on_close = on_close
        self._destination = ParquetFolder(directory) if destination is None else destination
        self._pending_bytes = 0
        self._pending: dict[tuple[Path, str], list[pa.RecordBatch]] = {}
        with disk_errors(self._own):
            if state is None:
                make_directories(self._own)
                self._phases, actions = TwoPhases.begin(
                    uuid4().hex, self._on_disk(), rolling, resumable=resumable
                )
            else:
                saved = ParquetState.from_plain(state)
                self._phases, actions = TwoPhases.resume(saved, self._on_disk(), rolling)
        self._rows = self._phases.state.log_rows
        self._log: RowLog | None = None
        self._do(actions)
        self._know_logged_schemas()

    # While the run goes on.

    def write_batch(self, values: list[RecordBatchOf]) -> None:
        """Keep rows until the end of the epoch, or until they are too many for the memory."""
        for records in values:
            if not records.batch.num_rows:
                continue
            version = self._destination.check(records)
            for place, batch in self._destination.split(records):
                self._pending.setdefault((place, version), []).append(batch)
                self._pending_bytes += batch.nbytes
            if self._pending_bytes > self._rolling.buffer_bytes:
                self._append_pending()

    def snapshot(self) -> PlainState:
        """Make this epoch's rows safe; publish what the epoch before has staged."""
        self._append_pending()
        log_bytes = self._open.sync()
        self._do(self._phases.snapshot(log_bytes, self._rows, self._wall_clock()))
        self._rows = self._phases.state.log_rows
        return self._phases.state.to_plain()

    def close(self) -> None:
        """Close the log; of a resumable run nothing becomes visible, for it may have failed."""
        try:
            self._open.close()
            if not self._resumable:
                self.finish()
                self._leave()
        except OvershootFlowError as error:
            RUN.not_closed(error)
        finally:
            self._on_close()

    def finish(self) -> None:
        """Make all rows visible; the run has come to its good end, so its last state is durable.

        Raises:
            ConfigurationError: Another run has taken the output over in the meantime.
            SinkError: The disk refuses; going on from the state completes it.
        """
        run = self._read(_RUN)
        if run is None or run["run_id"] != self._phases.state.run_id:
            raise ConfigurationError(
                f"another run has begun in {self._directory} before this one had made its last "
                "rows visible: give each run a directory of its own, and repeat this one"
            )
        self._do(self._phases.end())

    def _leave(self) -> None:
        with disk_errors(self._own):
            shutil.rmtree(self._own)
            # Other writers may still be at work beside this one.
            with contextlib.suppress(OSError):
                self._own.parent.rmdir()

    def _append_pending(self) -> None:
        for (place, _), batches in self._pending.items():
            merged = pa.concat_batches(batches)  # type: ignore[attr-defined]  # not in the stubs
            self._open.append(place, merged)
            self._rows += merged.num_rows
        self._pending.clear()
        self._pending_bytes = 0

    # Doing what was decided.

    def _do(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case BeginRun(run_id):
                    self._clear()
                    self._write(_RUN, {"run_id": run_id, "durable": False})
                case MarkDurable(run_id):
                    self._write(_RUN, {"run_id": run_id, "durable": True})
                case MarkEnd(sequence, log_bytes):
                    self._write(_END, {"sequence": sequence, "log_bytes": log_bytes})
                case Stage(sequence, log_bytes):
                    self._stage(sequence, log_bytes)
                case Publish(sequence):
                    self._publish(sequence)
                case Tidy(sequence):
                    self._tidy(sequence)
                case OpenLog(sequence, log_bytes):
                    self._open_log(sequence, log_bytes)

    def _on_disk(self) -> OnDisk:
        run = self._read(_RUN) or {"run_id": None, "durable": False}
        end = self._read(_END)
        return OnDisk(
            output=self._destination.name,
            run_id=run["run_id"],
            durable=run["durable"],
            published=(self._read(_PUBLISHED) or {"sequence": -1})["sequence"],
            end=None if end is None else MarkEnd(end["sequence"], end["log_bytes"]),
            staged=frozenset(self._number(path) for path in self._own.glob("staged-*")),
        )

    def _clear(self) -> None:
        # The folder itself stays: whoever holds it locked goes on to.
        with disk_errors(self._own):
            for path in list(self._own.iterdir()):
                self._remove(path)

    def _tidy(self, sequence: int) -> None:
        kept = {_RUN, _END, _PUBLISHED, self._log_path(sequence).name}
        with disk_errors(self._own):
            for path in list(self._own.iterdir()):
                if path.name not in kept:
                    self._remove(path)

    def _open_log(self, sequence: int, log_bytes: int) -> None:
        if self._log is not None:
            self._log.close()
        self._log = RowLog(self._log_path(sequence), log_bytes)

    @property
    def _open(self) -> RowLog:
        if self._log is None:
            msg = "a part of a run begins with opening its log"
            raise RuntimeError(msg)
        return self._log

    def _know_logged_schemas(self) -> None:
        """Rows that do not go with those that wait in the log must not follow them."""
        state = self._phases.state
        for place, batch in read_log(self._log_path(state.sequence), state.log_bytes):
            self._destination.check_logged(place, batch)

    def _stage(self, sequence: int, log_bytes: int) -> None:
        parts: dict[tuple[Path, str], list[pa.RecordBatch]] = {}
        stem = f"part-{self._phases.state.run_id[:12]}-{self._writer}-{sequence:08}"
        for place, batch in read_log(self._log_path(sequence), log_bytes):
            name = file_name(stem, self._destination.check_logged(place, batch))
            parts.setdefault((place, name), []).append(batch)
        unfinished = self._own / f"staging-{sequence}"
        files = [f"{place}/{name}" for place, name in parts]
        staged = self._staged_path(sequence)
        with disk_errors(unfinished):
            # What a crash has left of an earlier attempt has the same rows, if it is whole.
            for left_over in (unfinished, staged):
                if left_over.exists():
                    shutil.rmtree(left_over)
            unfinished.mkdir()
            for (place, name), batches in parts.items():
                make_directories(unfinished / place)
                write_file(unfinished / place / name, batches)
                sync_directory(unfinished / place)
            self._write(f"{unfinished.name}/{_FILES}", {"files": files})
            unfinished.rename(staged)
            sync_directory(self._own)

    def _publish(self, sequence: int) -> None:
        staged = self._staged_path(sequence)
        with disk_errors(staged):
            listed = self._read(f"{staged.name}/{_FILES}")
            if listed is None:
                raise SinkError(missing_text(staged / _FILES))
            self._destination.publish(
                Publication(
                    run_id=self._phases.state.run_id,
                    writer=self._writer,
                    sequence=sequence,
                    resumable=self._resumable,
                    staged=staged,
                    names=listed["files"],
                )
            )
            # Before anything is removed: without it the staged files are missed after a crash.
            self._write(_PUBLISHED, {"sequence": sequence})
            shutil.rmtree(staged)
            self._log_path(sequence).unlink(missing_ok=True)

    # Small files of its own.

    def _log_path(self, sequence: int) -> Path:
        return self._own / f"log-{sequence}"

    def _staged_path(self, sequence: int) -> Path:
        return self._own / f"staged-{sequence}"

    @staticmethod
    def _number(path: Path) -> int:
        return int(path.stem.rsplit("-", 1)[1])

    @staticmethod
    def _remove(path: Path) -> None:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self._own / name
        if not path.exists():
            return None
        try:
            document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise SinkError(f"{path} is damaged ({error}): bring it back from a copy") from None
        return document

    def _write(self, name: str, document: dict[str, Any]) -> None:
        path = self._own / name
        with disk_errors(path):
            new = path.with_suffix(".new")
            with new.open("w", encoding="utf-8") as file:
                json.dump(document, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
            sync_directory(self._own)
