"""Kills a run into tables, or Parquet on an S3 server, and has DuckDB read what is there.

Numbered answers go through `to_arrow` into two partitions of the sink, which commit to one table.
At the end every number must be there once; a reader that looks after every kill must never see one
twice, nor one that was there vanish. Called by `kill_loop.py --sink iceberg|iceberg-rest|delta|s3`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from kill_loop_numbers import ideal, position
from kill_loop_tables_child import BUCKET, REST_URI, catalog_of
from pyarrow.fs import FileSelector, FileSystem, FileType
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import NoSuchTableError

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "services"))
from rest_catalog import RestCatalog
from s3_support import S3Server

CHILD: Final = Path(__file__).with_name("kill_loop_tables_child.py")
TABLE: Final = "results_text"
EARLY_SHARE: Final = 0.25
"""Share of the lives that are killed at once, wherever they are: at the start most can go wrong."""
EARLY_S: Final = (0.5, 4.0)


@dataclass
class Loop:
    """One run from its beginning to its good end, through all kills."""

    folder: Path
    options: argparse.Namespace
    kills: int = 0
    lives: int = 0
    anomalies: int = 0
    _seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Draw the moments: shares of the records, so that the last one comes before the end."""
        self.chance = random.Random(self.options.seed)  # noqa: S311 - repeatable on purpose
        last = round(self.options.records * 0.9)
        self._due = sorted(self.chance.randrange(last) for _ in range(self.options.kills))

    def run(self) -> None:
        """Run until a life comes to its good end."""
        while not self._one_life():
            self._look()

    def _one_life(self) -> bool:
        self.lives += 1
        process = self._start()
        started_s = time.monotonic()
        is_early = self.chance.random() < EARLY_SHARE
        early_s = self.chance.uniform(*EARLY_S)
        while process.poll() is None:
            age_s = time.monotonic() - started_s
            if self._due and (
                age_s >= early_s if is_early else position(self.folder) >= self._due[0]
            ):
                self._due.pop(0)
                self.kills += 1
                process.kill()
                process.wait()
                return False
            time.sleep(0.01)
        if process.returncode != 0:
            sys.exit(f"the run ended with {process.returncode}:\n{self._log.read_text()}")
        return True

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(CHILD), self.options.sink, str(self.folder)]
        command += ["--records", str(self.options.records), "--batch", str(self.options.batch)]
        command += ["--partitions", "2"]
        with self._log.open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def _look(self) -> None:
        found = self.ids()
        self.anomalies += len(found) - len(set(found)) + len(self._seen - set(found))
        self._seen = set(found)

    def ids(self) -> list[str]:
        """Ask DuckDB for the ids in the table."""
        rows = read(self.options.sink, self.folder)
        if rows is None:
            return []
        with duckdb.connect() as database:
            database.register("rows", rows)
            return [id_ for (id_,) in database.sql("select result_id from rows").fetchall()]

    def findings(self) -> dict[str, int]:
        """Compare the table with the numbers."""
        counted = Counter(self.ids())
        wanted = ideal(self.options.records)
        return {
            "kills": self.kills,
            "records": len(wanted),
            "missing": len(wanted - set(counted)),
            "doubled": sum(count - 1 for count in counted.values()),
            "reader_anomalies": self.anomalies,
            "commits": commits(self.options.sink, self.folder),
        }


def read(kind: str, folder: Path) -> pa.Table | None:
    """Read the rows as Arrow; None as long as it does not exist."""
    if kind == "s3":
        return read_objects()
    if kind == "delta":
        path = str(folder / "tables" / TABLE)
        return DeltaTable(path).to_pyarrow_table() if DeltaTable.is_deltatable(path) else None
    catalog = load_catalog("overshoot", **catalog_of(kind, folder))
    try:
        rows: pa.Table = catalog.load_table(f"overshoot.{TABLE}").scan().to_arrow()
    except NoSuchTableError:
        return None
    return rows


def read_objects() -> pa.Table:
    """Read every object of the results whole."""
    tables = [pa.table({"result_id": pa.array([], pa.string())})]
    store, _ = FileSystem.from_uri(f"s3://{BUCKET}")
    selector = FileSelector(f"{BUCKET}/out/results", recursive=True, allow_not_found=True)
    for info in store.get_file_info(selector):
        if info.type is FileType.File:
            with store.open_input_file(info.path) as file:
                tables.append(pq.ParquetFile(file).read(columns=["result_id"]))
    return pa.concat_tables(
        [table.replace_schema_metadata() for table in tables], promote_options="permissive"
    )


def commits(kind: str, folder: Path) -> int:
    """Return how many commits, or objects, have brought rows."""
    if kind == "s3":
        store, _ = FileSystem.from_uri(f"s3://{BUCKET}")
        found = store.get_file_info(FileSelector(f"{BUCKET}/out/results", recursive=True))
        return sum(each.type is FileType.File for each in found)
    if kind == "delta":
        return DeltaTable(str(folder / "tables" / TABLE)).version()
    catalog = load_catalog("overshoot", **catalog_of(kind, folder))
    return len(catalog.load_table(f"overshoot.{TABLE}").metadata.snapshots)


@contextmanager
def s3_server() -> Iterator[None]:
    """Run moto's server with a bucket; the environment says where it is, also to children."""
    server = S3Server()
    try:
        server.wait()
        os.environ.update(server.environment)
        store, path = FileSystem.from_uri(f"s3://{BUCKET}?allow_bucket_creation=true")
        store.create_dir(path)
        yield
    finally:
        server.close()


@contextmanager
def rest_catalog(folder: Path) -> Iterator[None]:
    """Run Iceberg's REST catalog; the environment says where it is, also to children."""
    catalog = RestCatalog(folder / "catalog")
    catalog.start()
    try:
        os.environ[REST_URI] = catalog.uri
        yield
    finally:
        catalog.kill()


def service_of(kind: str, folder: Path) -> AbstractContextManager[None]:
    """Run what the sink needs."""
    if kind == "s3":
        return s3_server()
    return rest_catalog(folder) if kind == "iceberg-rest" else nullcontext()


def main(options: argparse.Namespace) -> int:
    """Print the findings; return 1 when a record is missing or doubled, or a reader saw so."""
    began_s = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="kill-loop-tables-") as folder,
        service_of(options.sink, Path(folder)),
    ):
        loop = Loop(Path(folder), options)
        loop.run()
        facts = {"sink": options.sink, **loop.findings()}
    facts["seconds"] = round(time.monotonic() - began_s)
    print("RESULT " + json.dumps(facts))
    return 1 if facts["missing"] or facts["doubled"] or facts["reader_anomalies"] else 0
