"""Iceberg tables through pyiceberg."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import pyarrow as pa

from overshoot_flow.errors import CommitConflictError, ConfigurationError, SinkError
from overshoot_flow_connectors.setting_secrets import without_secrets
from overshoot_flow_connectors.table_destination import DATE_COLUMN, Addition

try:
    from pyiceberg.catalog import Catalog
    from pyiceberg.exceptions import (
        CommitFailedException,
        CommitStateUnknownException,
        NamespaceAlreadyExistsError,
        NoSuchNamespaceError,
        NoSuchTableError,
        ServerError,
        ServiceUnavailableError,
        TableAlreadyExistsError,
        TooManyRequestsError,
    )
    from pyiceberg.io.pyarrow import schema_to_pyarrow
    from pyiceberg.table import Table
    from sqlalchemy.exc import IntegrityError, OperationalError

    from overshoot_flow_connectors.iceberg_catalog import all_settings, open_catalog
except ImportError as error:
    raise ConfigurationError(
        f'IcebergSink needs {error.name}: pip install "overshoot-flow[iceberg]"'
    ) from error

POSITION_PREFIX: Final = "overshoot-flow.position."
CATALOG_NAME: Final = "overshoot"
"""SQL catalogs hold tables under the catalog's name: readers must call it the same."""

_MADE_WITH: Final[Mapping[str, str]] = {
    # Every commit writes a file of metadata, which lists all snapshots.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
}

_PASSING: Final = (
    CommitFailedException,
    CommitStateUnknownException,
    NamespaceAlreadyExistsError,
    ServerError,
    ServiceUnavailableError,
    TableAlreadyExistsError,
    TooManyRequestsError,
    # Two connections to one SQLite file, or two that create the catalog's own tables at once.
    IntegrityError,
    OperationalError,
    # What the network and object stores raise; requests' errors are among them.
    OSError,
)
"""What another attempt may overcome."""


class IcebergWarehouse:
    """The tables of one namespace of a catalog; reached at the first use.

    Args:
        catalog: Settings of the catalog and perhaps its `name`, or only the name of one that
            pyiceberg is configured with.
        namespace: Levels separated by dots.
    """

    def __init__(self, catalog: str | Mapping[str, str], namespace: str) -> None:
        if isinstance(catalog, str):
            self._catalog_name, self._settings = catalog, dict[str, str]()
        else:
            self._settings = dict(catalog)
            self._catalog_name = self._settings.pop("name", CATALOG_NAME)
        # Where secrets may be, besides the settings: each a mapping.
        self._secretive: dict[str, Mapping[str, object]] = {"given": self._settings}
        self._namespace = tuple(namespace.split("."))
        self._loaded: Catalog | None = None

    @property
    def name(self) -> str:
        """The namespace and where its catalog is."""
        uri = self._settings.get("uri", self._catalog_name)
        return f"Iceberg namespace {'.'.join(self._namespace)} of {self._shown(uri)}"

    def load(self, table: str) -> IcebergVersion | None:
        """Load the newest version of a table."""
        with self._errors():
            try:
                loaded = self._catalog().load_table((*self._namespace, table))
            except (NoSuchTableError, NoSuchNamespaceError):
                return None
            # A catalog may lend credentials of the storage.
            self._secretive["lent"] = loaded.io.properties
            return IcebergVersion(self, loaded)

    def create(self, table: str, schema: pa.Schema) -> None:
        """Create an empty table, in one commit."""
        properties = dict(_MADE_WITH)
        properties |= {
            key.decode().replace("overshoot_flow.", "overshoot-flow."): value.decode()
            for key, value in (schema.metadata or {}).items()
            if key.startswith(b"overshoot_flow.")
        }
        with self._errors():
            self._catalog().create_namespace_if_not_exists(self._namespace)
            with (
                self._catalog().create_table_transaction(
                    (*self._namespace, table), schema=schema, properties=properties
                ) as transaction,
                transaction.update_spec() as spec,
            ):
                spec.add_identity(DATE_COLUMN)

    def _catalog(self) -> Catalog:
        if self._loaded is None:
            # A catalog of pyiceberg's configuration has its secrets there, others come from itself.
            self._secretive["configured"] = all_settings(self._catalog_name, self._settings)
            self._loaded = open_catalog(self._catalog_name, self._settings)
            self._secretive["loaded"] = self._loaded.properties
        return self._loaded

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Translate what pyiceberg and its catalogs raise."""
        try:
            yield
        except _PASSING as error:
            raise CommitConflictError(self._shown(f"{type(error).__name__}: {error}")) from None
        # pyiceberg's errors have no root of their own, and some are ValueError or TypeError.
        except Exception as error:  # noqa: BLE001
            told = self._shown(f"{type(error).__name__}: {error}")
            raise SinkError(f"{self.name}: {told}") from None

    def _shown(self, text: str) -> str:
        return without_secrets(text, self._secretive)


class IcebergVersion:
    """One version of an Iceberg table.

    Args:
        warehouse: Translates errors.
        table: The table as it was loaded.
    """

    def __init__(self, warehouse: IcebergWarehouse, table: Table) -> None:
        self._warehouse = warehouse
        self._table = table

    @property
    def schema(self) -> pa.Schema:
        """Its columns."""
        return schema_to_pyarrow(self._table.schema(), include_field_ids=False)

    def position(self, writer: str) -> int | None:
        """Return the sequence of the writer's last commit, or None."""
        key = POSITION_PREFIX + writer
        said = [self._table.properties.get(key)]
        said += [each.summary[key] for each in self._table.metadata.snapshots if each.summary]
        return max((int(each) for each in said if each is not None), default=None)

    def append(self, rows: pa.Table, addition: Addition) -> None:
        """Add rows, columns that are new and the position, in one commit."""
        position = {POSITION_PREFIX + addition.writer: str(addition.sequence)}
        with self._warehouse._errors(), self._table.transaction() as transaction:  # noqa: SLF001 - two parts of one module
            if addition.evolves:
                with transaction.update_schema() as update:
                    update.union_by_name(rows.schema)
            if addition.resumable:
                transaction.set_properties(position)
            transaction.append(rows, snapshot_properties=position)
