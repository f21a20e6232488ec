"""Where the rows of a two-phase writer become visible: a folder, an object store, tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from overshoot_flow.schema.records import RecordBatchOf


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """Staged files that become visible together, and what they are called for ever.

    Attributes:
        run_id: The run that writes.
        writer: The writer within the run, safe in file names.
        sequence: Number of the writer's roll. Publications of a writer come in this order; after a
            crash the last one may come again.
        resumable: Whether another part of the run may go on after a crash.
        staged: The folder with the files.
        names: The files, relative to it, each directly in the place that its rows are for.
    """

    run_id: str
    writer: str
    sequence: int
    resumable: bool
    staged: Path
    names: Sequence[str]


class Destination(Protocol):
    """Where rows become visible. A place is the folder, relative, of a roll's files."""

    @property
    def name(self) -> str:
        """What error texts call it; without credentials."""
        ...

    def check(self, records: RecordBatchOf) -> str:
        """Refuse rows that do not fit what is there; return the version of their columns.

        Rows of several versions that fit together may wait for one place, in a file each.

        Raises:
            ConfigurationError: A column does not fit; the text names it and says what to do.
            SinkError: What is there cannot be read.
        """
        ...

    def check_logged(self, place: Path, batch: pa.RecordBatch) -> str:
        """Do the same for rows that an earlier part of the run has kept for `place`."""
        ...

    def split(self, records: RecordBatchOf) -> list[tuple[Path, pa.RecordBatch]]:
        """Return the rows by the place that they are for, as they are to be kept."""
        ...

    def publish(self, publication: Publication) -> None:
        """Make staged rows visible, all of a file at once; repeating it changes nothing.

        Raises:
            SinkError: It failed, or files are gone; going on from the state completes it.
            ConfigurationError: What is there is newer than the run's state, or does not fit.
        """
        ...
