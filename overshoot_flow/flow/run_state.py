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
from collections.abc import Iterator
from dataclasses import replace
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


class RunState:
    """Locks and checks a state folder; a context manager, to be entered once.

    Args:
        directory: The folder; created when missing.
        shape: What the flow looks like now.

    Attributes:
        run_id: Random name of the run, the same in all of its parts; empty before entering.

    Raises:
        ConfigurationError: On entering: the folder is in use, is something else, cannot be used,
            or belongs to a run that this flow cannot go on with; the text says what to do.
    """

    def __init__(self, directory: Path, shape: RunShape) -> None:
        self._directory = directory.absolute()
        self._shape = shape
        self._store = RunStore(self._directory / _STORE)
        self._exit = contextlib.ExitStack()
        self.run_id = ""

    @property
    def recovery_config(self) -> RecoveryConfig:
        """Where the engine keeps its state."""
        return self._store.recovery_config

    def __enter__(self) -> Self:
        """Lock the folder, check it against the flow, make what is missing."""
        with _disk_errors(self._directory), contextlib.ExitStack() as stack:
            self._make_directory()
            stack.enter_context(RunLock(self._directory / _LOCK))
            manifest = self._resumed() if self._file.exists() else self._new()
            manifest.write(self._file)
            self.run_id = manifest.run_id
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

    @property
    def _file(self) -> Path:
        return self._directory / _MANIFEST

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
        manifest = Manifest(run_id=uuid4().hex, shape=self._shape)
        self._store.create(manifest.run_id)
        return manifest

    def _resumed(self) -> Manifest:
        manifest = Manifest.read(self._file)
        progress = self._store.progress(manifest.run_id, at_least=manifest.progress)
        change = self._shape.change_since(manifest.shape)
        if change is not None:
            raise ConfigurationError(f"{self._directory} belongs to another run: {change}.")
        self._store.forget_lost_epochs(progress)
        return replace(manifest, shape=self._shape, progress=progress)


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
