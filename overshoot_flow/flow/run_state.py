"""The state folder of a run: who works on it, what it belongs to, and the engine's store.

    <state>/lock            who works on it now
            manifest.json   the run, and the flow at its last start
            bytewax/        the engine's recovery store

Every guard stands before the engine is started, because the engine begins anew in silence, panics
without naming the cause, or doubles records where the state does not fit (see `RunShape`,
`RunStore` and `RunLock` for what was seen).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from uuid import uuid4

from bytewax.recovery import RecoveryConfig

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.run_lock import RunLock
from overshoot_flow.flow.run_manifest import Manifest
from overshoot_flow.flow.run_shape import RunShape
from overshoot_flow.flow.run_store import RunStore

_LOCK: Final = "lock"
_MANIFEST: Final = "manifest.json"
_STORE: Final = "bytewax"
# A mounted volume may be the state folder itself, and some file systems put this into its root.
_NOT_STRANGE: Final = {_LOCK, _MANIFEST, f"{_MANIFEST}.new", _STORE, "lost+found"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFacts:
    """What an output tells of the run that wrote it last.

    Attributes:
        output_id: Random name of the place, made when it was new.
        run_id: `RunState.run_id` of the run that wrote it.
        part_id: `RunState.part_id` of the part that wrote it last.
    """

    output_id: str
    run_id: str
    part_id: str


class RunState:
    """Locks and checks a state folder; a context manager, to be entered once.

    Args:
        directory: The folder; created when missing.
        shape: What the flow looks like now.

    Attributes:
        run_id: Random name of the run, the same in all of its parts; empty before entering.
        part_id: Random name of this part of the run; empty before entering.

    Raises:
        ConfigurationError: On entering: the folder is in use, is something else, cannot be used,
            or belongs to a run that this flow cannot go on with; the text says what to do.
    """

    def __init__(self, directory: Path, shape: RunShape) -> None:
        self._directory = directory.absolute()
        self._shape = shape
        self._store = RunStore(self._directory / _STORE)
        self._exit = contextlib.ExitStack()
        # Sinks ask from the threads of the engine's workers.
        self._outputs_lock = threading.Lock()
        self._manifest: Manifest | None = None
        self.run_id = ""
        self.part_id = ""

    @property
    def recovery_config(self) -> RecoveryConfig:
        """Where the engine keeps its state."""
        return self._store.recovery_config

    def __enter__(self) -> Self:
        """Lock the folder, check it against the flow, make what is missing."""
        with _disk_errors(self._directory), contextlib.ExitStack() as stack:
            self._make_directory()
            stack.enter_context(RunLock(self._directory / _LOCK))
            self._begin_part(self._resumed() if self._file.exists() else self._new())
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Free the folder."""
        self._exit.close()

    def check_output(self, step_id: str, facts: OutputFacts) -> None:
        """Compare a sink's output with this run, before anything is written to it.

        A sink keeps the facts beside its output, calls this with those it finds, and then
        replaces them by those of this part. It finds what the store alone cannot tell: the whole
        state folder may be a copy from before the output's last rows were written.

        Raises:
            ConfigurationError: The output is another run's or another place than before, or newer
                than this state; the text says what to do.
        """
        manifest = self._entered()
        if facts.run_id != self.run_id:
            raise ConfigurationError(
                f"step {step_id}: the output was written by run {facts.run_id}, the state in "
                f"{self._directory} belongs to run {self.run_id}: name the state folder and the "
                "output of one run, or begin anew with an empty state folder and an empty output"
            )
        if facts.part_id not in manifest.part_ids:
            raise ConfigurationError(
                f"step {step_id}: the state in {self._directory} is older than the output, going "
                "on would repeat rows: bring the newest state back, or begin anew with an empty "
                "state folder and an empty output"
            )
        with self._outputs_lock:
            manifest = self._entered()
            known = manifest.outputs.get(step_id, facts.output_id)
            if known != facts.output_id:
                raise ConfigurationError(
                    f"step {step_id}: the run wrote to the output {known} so far, this one is "
                    f"{facts.output_id}: name the old one, or begin anew with an empty state "
                    "folder and an empty output"
                )
            if step_id not in manifest.outputs:
                outputs = {**manifest.outputs, step_id: facts.output_id}
                self._write(replace(manifest, outputs=outputs))

    @property
    def _file(self) -> Path:
        return self._directory / _MANIFEST

    def _entered(self) -> Manifest:
        if self._manifest is None:
            msg = "a run's state is used inside of its `with` block only"
            raise RuntimeError(msg)
        return self._manifest

    def _make_directory(self) -> None:
        if self._directory.exists() and not self._directory.is_dir():
            raise ConfigurationError(f"{self._directory} is a file; name a folder for the state")
        self._directory.mkdir(parents=True, exist_ok=True)
        strange = sorted({entry.name for entry in self._directory.iterdir()} - _NOT_STRANGE)
        if strange and not self._file.exists():
            raise ConfigurationError(
                f"{self._directory} holds other things ({strange[0]}, …) and no state; name an "
                "empty or a new folder"
            )

    def _new(self) -> Manifest:
        """The manifest is written after the store: without one there is nothing worth keeping."""
        if self._store.was_used():
            raise ConfigurationError(
                f"{self._directory} has the recovery store of a run but no {_MANIFEST}: bring the "
                "whole folder back from a copy, or begin anew with an empty state folder and an "
                "empty output"
            )
        manifest = Manifest(run_id=uuid4().hex, part_ids=(), shape=self._shape)
        self._store.create(manifest.run_id)
        return manifest

    def _resumed(self) -> Manifest:
        manifest = Manifest.read(self._file)
        progress = self._store.progress(manifest.run_id, at_least=manifest.progress)
        change = self._shape.change_since(manifest.shape)
        if change is not None:
            raise ConfigurationError(f"{self._directory} belongs to another run: {change}.")
        return replace(manifest, shape=self._shape, progress=progress)

    def _begin_part(self, manifest: Manifest) -> None:
        self.run_id, self.part_id = manifest.run_id, uuid4().hex
        self._write(replace(manifest, part_ids=(*manifest.part_ids, self.part_id)))

    def _write(self, manifest: Manifest) -> None:
        with _disk_errors(self._directory):
            manifest.write(self._file)
        self._manifest = manifest


def recovery_config_of(directory: Path) -> RecoveryConfig:
    """Where the engine keeps its state, for the processes of a cluster that do not check it."""
    return RunStore(directory.absolute() / _STORE).recovery_config


def files_of(directory: Path) -> tuple[Path, list[Path]]:
    """Where the manifest and the parts of the engine's store are, as far as they exist."""
    return directory / _MANIFEST, sorted((directory / _STORE).glob("part-*.sqlite3"))


@contextlib.contextmanager
def _disk_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"cannot use the state folder {directory}: {error.strerror or error} "
            f"({error.filename or directory}). Free space or fix the permissions there, or name "
            "another state folder for a new run"
        ) from None
