"""Delta tables through deltalake (delta-rs)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import pyarrow as pa

from overshoot_flow.errors import CommitConflictError, ConfigurationError, SinkError
from overshoot_flow_connectors.setting_secrets import without_secrets
from overshoot_flow_connectors.table_destination import DATE_COLUMN, Addition

try:
    from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
    from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
except ImportError as error:
    raise ConfigurationError(
        f'DeltaSink needs {error.name}: pip install "overshoot-flow[delta]"'
    ) from error

POSITION_PREFIX: Final = "overshoot-flow.position."
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


class DeltaWarehouse:
    """Delta tables below one folder or URL.

    Args:
        root: An absolute path, or a URL that delta-rs knows, such as `s3://bucket/tables`.
        options: delta-rs's storage options; it also reads those of the environment.
    """

    def __init__(self, root: str, options: Mapping[str, str]) -> None:
        self._root = root.rstrip("/")
        self._options = dict(options)

    @property
    def name(self) -> str:
        """The folder or URL."""
        return f"Delta tables in {without_secrets(self._root, self._options)}"

    def load(self, table: str) -> DeltaVersion | None:
        """Load the newest version of a table."""
        with self._errors():
            try:
                loaded = DeltaTable(self._location(table), storage_options=self._options)
            except TableNotFoundError:
                return None
            return DeltaVersion(self, loaded)

    def create(self, table: str, schema: pa.Schema) -> None:
        """Create an empty table."""
        said = {
            key.decode(): value.decode()
            for key, value in (schema.metadata or {}).items()
            if key.startswith(b"overshoot_flow.")
        }
        with self._errors():
            DeltaTable.create(
                self._location(table),
                schema=schema,
                mode="ignore",
                partition_by=[DATE_COLUMN],
                storage_options=self._options,
                commit_properties=CommitProperties(custom_metadata=said),
            )

    def _location(self, table: str) -> str:
        return f"{self._root}/{table}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Translate what delta-rs raises."""
        try:
            yield
        # The network and object stores raise the second one.
        except (CommitFailedError, OSError) as error:
            raise CommitConflictError(self._told(error)) from None
        except DeltaError as error:
            raise SinkError(f"{self.name}: {self._told(error)}") from None
        # delta-rs raises some errors of its engines as bare exceptions.
        except Exception as error:  # noqa: BLE001
            raise SinkError(f"{self.name}: {self._told(error)}") from None

    def _told(self, error: Exception) -> str:
        # delta-rs draws the chain of causes as a tree, in colours, over several lines.
        text = " ".join(_COLOUR.sub("", str(error)).split())
        return without_secrets(f"{type(error).__name__}: {text}", self._options)


class DeltaVersion:
    """One version of a Delta table.

    Args:
        warehouse: Translates errors.
        table: The table as it was loaded.
    """

    def __init__(self, warehouse: DeltaWarehouse, table: DeltaTable) -> None:
        self._warehouse = warehouse
        self._table = table

    @property
    def schema(self) -> pa.Schema:
        """Its columns."""
        schema: Any = self._table.schema().to_arrow()  # the stubs know no foreign schemas
        return pa.schema(schema)

    def position(self, writer: str) -> int | None:
        """Return the sequence of the writer's last commit, or None."""
        with self._warehouse._errors():  # noqa: SLF001 - two parts of one module
            return self._table.transaction_version(POSITION_PREFIX + writer)

    def append(self, rows: pa.Table, addition: Addition) -> None:
        """Add rows, columns that are new and the position, in one commit.

        delta-rs refuses the commit when another one with this writer's position came first, so
        the position is written also where nobody will ask for it.
        """
        position = Transaction(POSITION_PREFIX + addition.writer, addition.sequence)
        with self._warehouse._errors():  # noqa: SLF001 - two parts of one module
            write_deltalake(
                self._table,
                rows,
                mode="append",
                # Rows may also lack columns that the table has.
                schema_mode="merge",
                commit_properties=CommitProperties(app_transactions=[position]),
            )
