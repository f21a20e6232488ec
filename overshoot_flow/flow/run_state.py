"""The state folder of a run: who works on it, what it belongs to, and the engine's store."""

from __future__ import annotations

import contextlib
import json
import os
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from uuid import uuid4

from bytewax.recovery import RecoveryConfig, init_db_dir

from overshoot_flow import __version__
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.run_lock import RunLock
from overshoot_flow.flow.run_shape import RunShape

FORMAT: Final = 1
"""Version of the state folder's contents; raised when an older library could misread them."""

_KEPT_FOR: Final = timedelta(days=1)
"""How long the store keeps states that newer ones have replaced; the engine's garbage collector
must never be faster than a restart."""


class RunState:
    """Locks and checks a state folder; a context manager.

    Args:
        directory: The folder; created when missing.
        shape: What the flow looks like now.

    Raises:
        ConfigurationError: On entering: the folder is in use, is something else, or belongs to a
            run that this flow cannot go on with; the text says what to do.
    """

    def __init__(self, directory: Path, shape: RunShape) -> None:
        self._directory = directory
        self._shape = shape
        self._exit = contextlib.ExitStack()
        self.run_id = ""

    @property
    def recovery_config(self) -> RecoveryConfig:
        """Where the engine keeps its state."""
        return RecoveryConfig(str(self._store), _KEPT_FOR)  # type: ignore[no-untyped-call]

    @property
    def _store(self) -> Path:
        return self._directory / "bytewax"

    @property
    def _manifest(self) -> Path:
        return self._directory / "manifest.json"

    def __enter__(self) -> Self:
        """Lock the folder, check it against the flow, make what is missing."""
        self._make_directory()
        with contextlib.ExitStack() as stack:
            stack.enter_context(RunLock(self._directory / "lock"))
            if self._manifest.exists():
                self._check(self._read_manifest())
            else:
                self._begin()
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

    def _make_directory(self) -> None:
        if self._directory.exists() and not self._directory.is_dir():
            raise ConfigurationError(f"{self._directory} is a file; name a folder for the state")
        known = {"lock", "manifest.json", "manifest.json.new", "bytewax"}
        if self._directory.exists():
            strange = sorted(entry.name for entry in self._directory.iterdir())
            if not self._manifest.exists() and not known.issuperset(strange):
                raise ConfigurationError(
                    f"{self._directory} holds other things ({strange[0]}, …) and no state; name an "
                    "empty or a new folder"
                )
        self._directory.mkdir(parents=True, exist_ok=True)

    def _begin(self) -> None:
        """The manifest is written last: a folder without one holds nothing worth keeping."""
        self._store.mkdir(exist_ok=True)
        for left_over in self._store.iterdir():
            left_over.unlink()
        init_db_dir(self._store, 1)  # type: ignore[no-untyped-call]
        self.run_id = uuid4().hex
        self._write_manifest()

    def _check(self, manifest: dict[str, Any]) -> None:
        if manifest.get("format") != FORMAT:
            raise ConfigurationError(
                f"{self._directory} was written by overshoot-flow {manifest.get('library')} in the "
                f"format {manifest.get('format')}, this version reads {FORMAT}: end the run with "
                "the version that began it, or begin anew with an empty state folder and output"
            )
        if not any(self._store.glob("*.sqlite3")):
            raise ConfigurationError(
                f"the recovery store {self._store} is lost, but {self._manifest.name} says that a "
                "run has begun: bring it back from a copy, or begin anew with an empty state "
                "folder and an empty output"
            )
        change = self._shape.change_since(RunShape.from_document(manifest["shape"]))
        if change is not None:
            raise ConfigurationError(f"{self._directory} belongs to another run: {change}")
        self.run_id = manifest["run_id"]
        self._write_manifest()

    def _read_manifest(self) -> dict[str, Any]:
        try:
            document = json.loads(self._manifest.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"cannot read {self._manifest} ({type(error).__name__}): bring it back from a "
                "copy, or begin anew with an empty state folder and an empty output"
            ) from None
        if not isinstance(document, dict):
            raise ConfigurationError(f"{self._manifest} is not a manifest of this library")
        return document

    def _write_manifest(self) -> None:
        document = {
            "format": FORMAT,
            "library": __version__,
            "run_id": self.run_id,
            "shape": self._shape.to_document(),
        }
        new = self._directory / "manifest.json.new"
        with new.open("w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._manifest)
