"""Files that become visible one after the other, and all of them in the end.

    <folder>/staging/    files that are being made: a crash forgets them
             staged/     complete files and their list: they will be visible, whatever happens
             done/       what is left of them, to be removed

The rename of `staging` to `staged` decides. Each step can be cut short and is repeated by `finish`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from overshoot_flow.errors import SinkError
from overshoot_flow_connectors.parquet_files import (
    disk_errors,
    make_directories,
    sync_directory,
    write_file,
)

_FILES: Final = "files.json"


class StagedFiles:
    """Brings files into a directory of datasets.

    Args:
        directory: The directory of all datasets.
        folder: Where the files wait, on the same file system; the caller keeps others out of it.

    Raises:
        SinkError: The disk refuses.
    """

    def __init__(self, directory: Path, folder: Path) -> None:
        self._directory = directory
        self._staging = folder / "staging"
        self._staged = folder / "staged"
        self._done = folder / "done"

    def bring(self, files: Mapping[Path, Sequence[pa.RecordBatch]]) -> None:
        """Make all `files` visible, in their order; after a crash `finish` makes the rest visible.

        Args:
            files: Rows by the path of their file in the directory. No file may have this name.
        """
        self.finish()
        with disk_errors(self._staging):
            make_directories(self._staging)
            for path, batches in files.items():
                make_directories((self._staging / path).parent)
                write_file(self._staging / path, batches)
                sync_directory((self._staging / path).parent)
            with (self._staging / _FILES).open("x", encoding="utf-8") as listed:
                json.dump([path.as_posix() for path in files], listed)
                listed.flush()
                os.fsync(listed.fileno())
            sync_directory(self._staging)
            self._staging.rename(self._staged)
            sync_directory(self._staged.parent)
        self.finish()

    def finish(self) -> None:
        """Make visible what a crash has kept from it, and forget what was not complete."""
        with disk_errors(self._staging.parent):
            if self._staged.exists():
                for name in self._listed():
                    self._show(name)
                self._staged.rename(self._done)
                sync_directory(self._done.parent)
            for left_over in (self._staging, self._done):
                if left_over.exists():
                    shutil.rmtree(left_over)

    def _show(self, name: str) -> None:
        file, target = self._staged / name, self._directory / name
        # One that is there already came there before a crash, with the same rows.
        if target.exists():
            return
        if not file.exists():
            raise SinkError(f"{file} is gone and was never visible; bring it back from a copy")
        make_directories(target.parent)
        file.rename(target)
        sync_directory(target.parent)

    def _listed(self) -> list[str]:
        path = self._staged / _FILES
        try:
            names: list[str] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise SinkError(f"{path} is damaged ({error}): bring it back from a copy") from None
        return names
