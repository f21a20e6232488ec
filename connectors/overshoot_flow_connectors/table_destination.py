"""Warehouse tables as the destination of a two-phase writer.

One table per dataset, or per output schema where results have several; the column `date`, by which
tables are partitioned, is the UTC day of capture where known, else of arrival. Every commit of rows
carries the writer's position in the table itself: so a writer that goes on after a crash knows
which of its rows are there, whatever it did or did not note of its own.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from overshoot_flow.errors import CommitConflictError, ConfigurationError, SinkError
from overshoot_flow.schema.records import RecordBatchOf, utc_dates
from overshoot_flow_connectors.attempts import MAX_ATTEMPTS, attempted
from overshoot_flow_connectors.destination import Publication
from overshoot_flow_connectors.parquet_files import disk_errors
from overshoot_flow_connectors.parquet_folder import missing_text
from overshoot_flow_connectors.parquet_versions import version_conflict
from overshoot_flow_connectors.table_types import storable_schema, to_storable

DATE_COLUMN: Final = "date"
_TABLE_NAME: Final = re.compile(r"[A-Za-z0-9_]+")
_DIGEST_LENGTH: Final = 8
_Done = TypeVar("_Done")


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """What a commit of rows says beside the rows.

    Attributes:
        writer: Who writes, never the same for two runs.
        sequence: The writer's position once the commit has happened.
        evolves: Whether the rows have columns that the table lacks.
        resumable: Whether a later part of the run may ask for the position.
    """

    writer: str
    sequence: int
    evolves: bool
    resumable: bool


class TableVersion(Protocol):
    """One version of a table, as it was loaded."""

    @property
    def schema(self) -> pa.Schema:
        """Its columns."""
        ...

    def position(self, writer: str) -> int | None:
        """Return the sequence of the writer's last commit, or None."""
        ...

    def append(self, rows: pa.Table, addition: Addition) -> None:
        """Add rows, columns that are new and the position, in one commit on top of this version.

        Raises:
            CommitConflictError: Others have committed first, or it is unknown what has happened.
            SinkError: The table cannot be written.
        """
        ...


class Warehouse(Protocol):
    """Tables by name."""

    @property
    def name(self) -> str:
        """What error texts call it; without credentials."""
        ...

    def load(self, table: str) -> TableVersion | None:
        """Return the newest version of a table, None when there is no such table.

        Raises:
            CommitConflictError: It cannot be reached now.
            SinkError: It cannot be read.
        """
        ...

    def create(self, table: str, schema: pa.Schema) -> None:
        """Create an empty table, partitioned by `DATE_COLUMN`.

        Raises:
            CommitConflictError: Others have created it first, or it cannot be reached now.
            SinkError: It cannot be created.
        """
        ...


@dataclass(frozen=True, slots=True)
class _StoredForm:
    """How rows of one schema are held in a table, and where they wait for it."""

    rows: pa.Schema
    stored: pa.Schema
    place: Path


class TableDestination:
    """The destination of rows in a warehouse; places are a table and a digest of the rows' schema.

    Rows of several schemas that fit together may wait for one table, each in files of their own.

    Args:
        warehouse: Where the tables are.
        pause: Waits for so many seconds.
    """

    def __init__(self, warehouse: Warehouse, pause: Callable[[float], None] = time.sleep) -> None:
        self._warehouse = warehouse
        self._pause = pause
        self._latest: dict[str, _StoredForm] = {}
        self._expected: dict[str, pa.Schema] = {}
        self._known: set[Path] = set()

    @property
    def name(self) -> str:
        """The warehouse."""
        return self._warehouse.name

    def check(self, records: RecordBatchOf) -> str:
        """Refuse rows that the table, or rows that wait for it, cannot stand beside."""
        return self._stored_form(records).place.name

    def check_logged(self, place: Path, batch: pa.RecordBatch) -> str:
        """Do the same for rows that wait for `place`."""
        self._expect(place, batch.schema)
        return place.name

    def split(self, records: RecordBatchOf) -> list[tuple[Path, pa.RecordBatch]]:
        """Return the rows as the table holds them."""
        form = self._stored_form(records)
        dates = utc_dates(records)
        rows = records.batch.append_column(pa.field(DATE_COLUMN, pa.date32(), False), dates)  # noqa: FBT003 - Arrow's way
        return [(form.place, to_storable(rows, form.stored))]

    def publish(self, publication: Publication) -> None:
        """Commit the files to their tables, one commit each."""
        for name in publication.names:
            path = publication.staged / name
            if not path.exists():
                raise SinkError(missing_text(path))
            with disk_errors(path):
                read = pq.ParquetFile(path).read()
            rows = pa.table(read.columns, schema=storable_schema(read.schema))
            self._commit(Path(name).parent, rows, publication)

    def _stored_form(self, records: RecordBatchOf) -> _StoredForm:
        table, schema = table_name(records), records.batch.schema
        latest = self._latest.get(table)
        if latest is not None and latest.rows.equals(schema):
            return latest
        wanted = storable_schema(schema)
        if DATE_COLUMN in wanted.names:
            raise ConfigurationError(f"{table} has a column {DATE_COLUMN} of its own")
        stored = wanted.append(pa.field(DATE_COLUMN, pa.date32(), nullable=False))
        form = _StoredForm(schema, stored, Path(table, _digest(stored)))
        self._expect(form.place, stored)
        self._latest[table] = form
        return form

    def _expect(self, place: Path, schema: pa.Schema) -> None:
        if place in self._known:
            return
        table = place.parts[0]
        expected = self._expected.get(table)
        if expected is None:
            expected = self._attempted(table, lambda: self._present_schema(table))
        self._expected[table] = (
            schema if expected is None else self._united(table, expected, schema)
        )
        self._known.add(place)

    def _present_schema(self, table: str) -> pa.Schema | None:
        version = self._warehouse.load(table)
        return None if version is None else storable_schema(version.schema)

    def _united(self, table: str, present: pa.Schema, wanted: pa.Schema) -> pa.Schema:
        """Return the columns of a table that has rows of both."""
        conflict = version_conflict(present, wanted)
        if conflict is not None:
            raise ConfigurationError(
                f"{self.name}, table {table} has rows of another schema, which these rows do not "
                f"go with: {conflict}; write into other tables"
            )
        return pa.unify_schemas([present, wanted], promote_options="permissive")

    def _commit(self, place: Path, rows: pa.Table, publication: Publication) -> None:
        table, digest = place.parts
        writer = f"{publication.run_id}.{publication.writer}.{digest}"

        def attempt() -> None:
            version = self._warehouse.load(table)
            if version is None:
                self._warehouse.create(table, rows.schema)
                version = self._warehouse.load(table)
            if version is None:
                raise CommitConflictError("the table has vanished")
            if self._is_there(table, version.position(writer), publication.sequence):
                return
            present = storable_schema(version.schema)
            version.append(
                rows,
                Addition(
                    writer=writer,
                    sequence=publication.sequence,
                    evolves=not self._united(table, present, rows.schema).equals(present),
                    resumable=publication.resumable,
                ),
            )

        self._attempted(table, attempt)

    def _is_there(self, table: str, position: int | None, sequence: int) -> bool:
        if position is not None and position > sequence:
            raise ConfigurationError(
                f"the recovery state is older than table {table} of {self.name}: going on would "
                "repeat rows. Bring back the newest state, or begin anew with an empty state "
                "folder and other tables"
            )
        return position == sequence

    def _attempted(self, table: str, attempt: Callable[[], _Done]) -> _Done:
        try:
            return attempted(attempt, CommitConflictError, self._pause)
        except CommitConflictError as error:
            raise SinkError(
                f"{self.name}, table {table}: no commit in {MAX_ATTEMPTS} attempts: {error}"
            ) from error


def table_name(records: RecordBatchOf) -> str:
    """Return the name of the table that rows are for: the dataset, and the schema key if any.

    Raises:
        ConfigurationError: The schema key cannot be a part of a table's name.
    """
    if records.schema_key is None:
        return str(records.dataset)
    if not _TABLE_NAME.fullmatch(records.schema_key):
        raise ConfigurationError(
            f"the schema key {records.schema_key!r} cannot be a part of a table's name; use "
            "letters, digits and underscores"
        )
    return f"{records.dataset}_{records.schema_key}"


def _digest(schema: pa.Schema) -> str:
    columns = schema.remove_metadata().serialize().to_pybytes()
    return hashlib.sha256(columns).hexdigest()[:_DIGEST_LENGTH]
