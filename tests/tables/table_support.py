"""Real tables on the local disk, and what stands in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import uuid4

import bytewax.operators as op
import duckdb
import pyarrow as pa
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSource
from deltalake import DeltaTable
from outcome_samples import a_gap, a_result
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import NoSuchTableError
from rest_catalog import RestCatalog

from overshoot_flow.results import Outcome
from overshoot_flow.schema.records import RecordBatchOf, RecordBuilder
from overshoot_flow_connectors.delta import DeltaSink
from overshoot_flow_connectors.iceberg import IcebergSink, embedded_catalog
from overshoot_flow_connectors.two_phase_sink import TwoPhaseSink


class Tables(Protocol):
    """One kind of tables below a folder."""

    def sink(self, folder: Path, **options: Any) -> TwoPhaseSink: ...

    def read(self, folder: Path, table: str) -> pa.Table | None: ...

    def commits(self, folder: Path, table: str) -> int: ...

    def obstruct(self, folder: Path) -> None:
        """Put files where folders of tables would have to be."""
        ...


class IcebergTables:
    namespace = "overshoot"

    def catalog(self, folder: Path) -> Mapping[str, str]:
        return embedded_catalog(folder / "warehouse")

    def sink(self, folder: Path, **options: Any) -> TwoPhaseSink:
        options = {"staging": folder / "staging", "namespace": self.namespace} | options
        return IcebergSink(self.catalog(folder), **options)

    def _table(self, folder: Path, table: str) -> Any:
        catalog = load_catalog("overshoot", **self.catalog(folder))
        return catalog.load_table(f"{self.namespace}.{table}")

    def read(self, folder: Path, table: str) -> pa.Table | None:
        try:
            rows: pa.Table = self._table(folder, table).scan().to_arrow()
        except NoSuchTableError:
            return None
        return rows

    def commits(self, folder: Path, table: str) -> int:
        return len(self._table(folder, table).metadata.snapshots)

    def obstruct(self, folder: Path) -> None:
        (folder / "warehouse").mkdir()
        (folder / "warehouse" / self.namespace).write_text("in the way")


class RestTables(IcebergTables):
    """Iceberg tables in a REST catalog that others use as well: in a namespace of their own."""

    def __init__(self, server: RestCatalog) -> None:
        self._server = server
        self.namespace = f"n{uuid4().hex[:12]}"

    def catalog(self, folder: Path) -> Mapping[str, str]:
        return self._server.settings | {"credential": f"me:{CATALOG_SECRET}"}

    def obstruct(self, folder: Path) -> None:
        self._server.tables.mkdir(exist_ok=True)
        (self._server.tables / self.namespace).write_text("in the way")


class DeltaTables:
    def sink(self, folder: Path, **options: Any) -> TwoPhaseSink:
        options = {"staging": folder / "staging"} | options
        return DeltaSink(folder / "tables", **options)

    def read(self, folder: Path, table: str) -> pa.Table | None:
        path = str(folder / "tables" / table)
        if not DeltaTable.is_deltatable(path):
            return None
        return DeltaTable(path).to_pyarrow_table()

    def commits(self, folder: Path, table: str) -> int:
        """Those with rows; the first one has made the table."""
        return DeltaTable(str(folder / "tables" / table)).version()

    def obstruct(self, folder: Path) -> None:
        (folder / "tables").mkdir()
        (folder / "tables" / "results").write_text("in the way")


ON_DISK: Final[Mapping[str, Tables]] = {"iceberg": IcebergTables(), "delta": DeltaTables()}

CATALOG_SECRET: Final = "catalog-secret-of-the-tests"  # noqa: S105 - of a catalog that takes every one
EVERY_EPOCH: Final = timedelta(0)


def batches(first: int, count: int) -> list[RecordBatchOf]:
    outcomes: list[Outcome] = [
        a_result(result_id=f"{n:05}", stream_key=f"cam-{n % 3}")
        for n in range(first, first + count)
    ]
    return RecordBuilder(None).batches([*outcomes, a_gap()])


def ids(count: int) -> list[str]:
    return [f"{number:05}" for number in range(count)]


def rows_of(kind: Tables, folder: Path, table: str, columns: str) -> Sequence[tuple[Any, ...]]:
    """Ask DuckDB, in order; no row where there is no table."""
    rows = kind.read(folder, table)
    if rows is None:
        return []
    with duckdb.connect() as database:
        database.register("rows", rows)
        return database.sql(f"select {columns} from rows order by all").fetchall()  # noqa: S608 - texts of the tests


def present(kind: Tables, folder: Path) -> list[str]:
    return [id_ for (id_,) in rows_of(kind, folder, "results", "result_id")]


def flow_of(groups: list[list[RecordBatchOf]], sink: TwoPhaseSink) -> Dataflow:
    flow = Dataflow("test")
    stream = op.input("in", flow, TestingSource(groups, batch_size=1))
    keyed = op.flat_map("key", stream, lambda group: [(each.stream_key, each) for each in group])
    op.output("out", keyed, sink)
    return flow
