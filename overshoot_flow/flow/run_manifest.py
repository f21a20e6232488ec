"""The manifest of a state folder: which run it belongs to, and how it looked when last started."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from overshoot_flow import __version__
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.run_shape import RunShape
from overshoot_flow.flow.run_store import Progress

FORMAT: Final = 1
"""Version of the state folder's contents; raised when another library could misread them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What is remembered of a run besides the engine's store.

    Attributes:
        run_id: Random name of the run, the same in all of its parts.
        shape: The flow at the last start.
        progress: How far the store was at the last start.
        begun_with: Version of the library that began the run.
    """

    run_id: str
    shape: RunShape
    progress: Progress = field(default_factory=Progress)
    begun_with: str = __version__

    def write(self, file: Path) -> None:
        """Replace `file` as a whole: after a crash it is the old one or the new one."""
        document = {
            "format": FORMAT,
            "library": __version__,
            "begun_with": self.begun_with,
            "run_id": self.run_id,
            "progress": {"executions": self.progress.executions, "epoch": self.progress.epoch},
            "shape": self.shape.to_document(),
        }
        new = file.with_name(f"{file.name}.new")
        with new.open("w", encoding="utf-8") as opened:
            json.dump(document, opened, indent=1)
            opened.flush()
            os.fsync(opened.fileno())
        new.replace(file)
        directory = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read what `write` wrote.

        Raises:
            ConfigurationError: The file is damaged, or of another version; the text says what to
                do.
        """
        document = _document(file)
        _check_format(file, document)
        try:
            return cls(
                run_id=str(document["run_id"]),
                shape=RunShape.from_document(document["shape"]),
                progress=Progress(**document["progress"]),
                begun_with=str(document["begun_with"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise _damaged(file, "it lacks what a manifest has") from None


def _document(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged(file, str(error)) from None
    if not isinstance(document, dict) or not isinstance(document.get("format"), int):
        raise _damaged(file, "it is no manifest")
    return document


def _check_format(file: Path, document: Mapping[str, Any]) -> None:
    written = document["format"]
    if written == FORMAT:
        return
    library = document.get("library", "of an unknown version")
    facts = (
        f"{file.parent} was written by overshoot-flow {library} in format {written}; this is "
        f"{__version__}, which knows format {FORMAT}"
    )
    anew = "or begin anew with an empty state folder and an empty output"
    if written > FORMAT:
        raise ConfigurationError(f"{facts}: install overshoot-flow {library} or newer, {anew}")
    raise ConfigurationError(
        f"{facts} and cannot convert: install overshoot-flow {library} to end this run, {anew}"
    )


def _damaged(file: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"cannot read {file} ({reason}): bring the whole state folder back from a copy, or begin "
        "anew with an empty state folder and an empty output"
    )
