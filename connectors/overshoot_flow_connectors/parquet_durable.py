"""Parquet in two phases: exactly once, for runs with a recovery state.

    <directory>/_state/<writer>/run.json         whose output this is
                                log-<n>          rows since the last roll
                                staged-<n>/      complete files, not yet visible
                                finish-<n>.json  the last rows of a run, on their way
                                finished-<n>     they are visible

Rows are appended to the log and synced at every snapshot; the recovery state holds its length. A
roll turns the log into staged files within epoch N, and they are renamed into the dataset at the
snapshot that closes N+1, when N is durable. After the run's good end the rest becomes visible the
same way. Names of files are made of run, writer and sequence, so every step can be repeated.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import pyarrow as pa
from bytewax.outputs import StatefulSinkPartition

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.schema.records import RecordBatchOf
from overshoot_flow_connectors.parquet_files import (
    SchemaGuard,
    by_place,
    disk_errors,
    make_directories,
    partition_value,
    sync_directory,
    write_file,
)
from overshoot_flow_connectors.parquet_log import RowLog, read_log
from overshoot_flow_connectors.parquet_rolling import Rolling
from overshoot_flow_connectors.parquet_state import ParquetState

STATE_FOLDER = "_state"
PlainState: TypeAlias = dict[str, Any]


class DurablePartition(StatefulSinkPartition[RecordBatchOf, PlainState]):
    """One writer of a run that has a recovery state.

    Args:
        directory: The directory of all datasets.
        writer: Name of this writer, the same in every part of the run.
        state: What `snapshot` returned last, or None at the very beginning.
        rolling: When the log becomes files.
        wall_clock: Seconds of UTC since 1970.

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
    ) -> None:
        self._directory = directory
        self._writer = partition_value(writer)
        self._own = directory / STATE_FOLDER / self._writer
        self._rolling = rolling
        self._wall_clock = wall_clock
        self._guard = SchemaGuard(directory)
        self._pending_bytes = 0
        self._pending: dict[Path, list[pa.RecordBatch]] = {}
        self._snapshots = 0
        with disk_errors(self._own):
            make_directories(self._own)
            if state is None:
                self._state = self._begin()
            else:
                self._state = self._resume(ParquetState.from_plain(state))
        self._rows = self._state.log_rows
        self._log = RowLog(self._log_path(self._state.sequence), self._state.log_bytes)

    # The beginning of a part of the run.

    def _begin(self) -> ParquetState:
        run = self._read("run.json")
        if run is not None and run["durable"]:
            raise ConfigurationError(
                f"{self._directory} is the output of a run whose recovery state is not here: go on "
                "with that run's state folder, or begin anew with an empty output"
            )
        shutil.rmtree(self._own)
        make_directories(self._own)
        state = ParquetState(run_id=uuid4().hex)
        self._write("run.json", {"run_id": state.run_id, "durable": False})
        return state

    def _resume(self, state: ParquetState) -> ParquetState:
        run = self._read("run.json")
        if run is None or run["run_id"] != state.run_id:
            raise ConfigurationError(
                f"{self._directory} is not the output that this recovery state belongs to: name "
                "that one, or begin anew with an empty state folder and output"
            )
        self._refuse_older_state(state)
        for sequence in state.staged:
            self._publish(sequence)
        state = state.published()
        if self._read(f"finish-{state.sequence}.json") is not None:
            # The run had come to its end, and its last rows are visible or on their way.
            self._finish(state)
            state = ParquetState(run_id=state.run_id, sequence=state.sequence + 1)
        self._remove_what_no_state_needs(state)
        return state

    def _refuse_older_state(self, state: ParquetState) -> None:
        newest = max((self._number(path) for path in self._own.glob("finish-*.json")), default=-1)
        finish = self._read(f"finish-{newest}.json")
        older = newest > state.sequence or (
            newest == state.sequence and finish is not None and finish["bytes"] != state.log_bytes
        )
        published = self._read("published.json") or {"sequence": -1}
        if older or published["sequence"] >= state.sequence:
            raise ConfigurationError(
                f"the recovery state is older than the output {self._directory}: going on would "
                "repeat rows. Bring back the newest state, or begin anew with an empty state "
                "folder and output"
            )

    def _remove_what_no_state_needs(self, state: ParquetState) -> None:
        """Logs and staged files of lost epochs, and of epochs that are done."""
        for path in self._own.iterdir():
            kept = path.name in ("run.json", "published.json")
            if path.name.startswith("log-"):
                # A log whose rows have just been finished is needed until a new state is durable.
                kept = self._number(path) in (state.sequence, state.sequence - 1)
            elif path.name.startswith("finish"):
                kept = self._number(path) == state.sequence - 1
            if kept:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    # While the run goes on.

    def write_batch(self, values: list[RecordBatchOf]) -> None:
        """Keep rows until the end of the epoch, or until they are too many for the memory."""
        for records in values:
            self._guard.check(records)
            for place, batch in by_place(records):
                self._pending.setdefault(place, []).append(batch)
                self._pending_bytes += batch.nbytes
            if self._pending_bytes > self._rolling.buffer_bytes:
                self._append_pending()

    def snapshot(self) -> PlainState:
        """Make this epoch's rows safe; publish what the epoch before has staged."""
        self._snapshots += 1
        if self._snapshots == 2:  # noqa: PLR2004 - the first one is durable by now
            self._write("run.json", {"run_id": self._state.run_id, "durable": True})
        self._append_pending()
        now_s = self._wall_clock()
        state = self._state.grown(self._log.sync(), self._rows, now_s)
        for sequence in state.staged:
            self._publish(sequence)
        state = state.published()
        if self._rolling.is_due(state.log_rows, state.log_bytes, state.log_since_s, now_s):
            self._stage(state)
            state = state.rolled()
            self._log.close()
            self._log = RowLog(self._log_path(state.sequence), 0)
            self._rows = 0
        self._state = state
        return state.to_plain()

    def close(self) -> None:
        """Close the log. Nothing becomes visible here: it may be the end of a failed run."""
        self._log.close()

    def finish(self) -> None:
        """Make all rows visible; the run has come to its good end, so its last state is durable."""
        for sequence in self._state.staged:
            self._publish(sequence)
        self._finish(self._state)

    def _append_pending(self) -> None:
        for place, batches in self._pending.items():
            merged = pa.concat_batches(batches)  # type: ignore[attr-defined]  # not in the stubs
            self._log.append(place, merged)
            self._rows += merged.num_rows
        self._pending.clear()
        self._pending_bytes = 0

    # Staging and publishing.

    def _stage(self, state: ParquetState) -> None:
        """Turn the log into complete files that nobody sees yet."""
        parts: dict[Path, list[pa.RecordBatch]] = {}
        for place, batch in read_log(self._log_path(state.sequence), state.log_bytes):
            parts.setdefault(place, []).append(batch)
        name = f"part-{state.run_id[:12]}-{self._writer}-{state.sequence:08}.parquet"
        unfinished = self._own / f"staging-{state.sequence}"
        staged = self._staged_path(state.sequence)
        with disk_errors(unfinished):
            # What a crash has left of an earlier attempt has the same rows, if it is whole.
            for left_over in (unfinished, staged):
                if left_over.exists():
                    shutil.rmtree(left_over)
            unfinished.mkdir()
            for place, batches in parts.items():
                make_directories(unfinished / place)
                write_file(unfinished / place / name, batches)
            unfinished.rename(staged)
            sync_directory(self._own)

    def _publish(self, sequence: int) -> None:
        """Rename staged files into the dataset; repeating it is harmless."""
        staged = self._staged_path(sequence)
        with disk_errors(staged):
            if staged.exists():
                self._move_into_dataset(staged)
                shutil.rmtree(staged)
            self._write("published.json", {"sequence": sequence})
            self._log_path(sequence).unlink(missing_ok=True)

    def _finish(self, state: ParquetState) -> None:
        sequence = state.sequence
        if state.log_rows == 0 or (self._own / f"finished-{sequence}.json").exists():
            return
        self._write(f"finish-{sequence}.json", {"bytes": state.log_bytes})
        self._stage(state)
        staged = self._staged_path(sequence)
        with disk_errors(staged):
            self._move_into_dataset(staged)
            self._write(f"finished-{sequence}.json", {})
            shutil.rmtree(staged)

    def _move_into_dataset(self, staged: Path) -> None:
        """A file that is there already came there before a crash, with the same rows."""
        for file in sorted(staged.rglob("*.parquet")):
            target = self._directory / file.relative_to(staged)
            make_directories(target.parent)
            if not target.exists():
                file.rename(target)
                sync_directory(target.parent)

    # Small files of its own.

    def _log_path(self, sequence: int) -> Path:
        return self._own / f"log-{sequence}"

    def _staged_path(self, sequence: int) -> Path:
        return self._own / f"staged-{sequence}"

    @staticmethod
    def _number(path: Path) -> int:
        return int(path.stem.rsplit("-", 1)[1])

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self._own / name
        if not path.exists():
            return None
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
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
