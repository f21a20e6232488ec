"""A reader that looks at a dataset all the time while it is written."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb

_PAUSE_S = 0.2


class WatchingReader:
    """Counts what no reader should ever see: an error, a repeated id, a row that vanishes."""

    def __init__(self, out: Path) -> None:
        self._results = out / "results"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="reader")
        self._seen = 0
        self.anomalies = 0
        self.looks = 0

    def __enter__(self) -> Self:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Look once more and stop."""
        self._over.set()
        self._thread.join()
        if self.looks == 0:
            msg = "the reader has seen no file; it proves nothing"
            raise RuntimeError(msg)

    def _watch(self) -> None:
        with duckdb.connect() as connection:
            while not self._over.wait(_PAUSE_S):
                self._look(connection)
            self._look(connection)

    def _look(self, connection: duckdb.DuckDBPyConnection) -> None:
        if not any(self._results.rglob("*.parquet")):
            return
        query = f"select count(*), count(distinct result_id) from '{self._results}/**/*.parquet'"  # noqa: S608
        try:
            ((rows, ids),) = connection.sql(query).fetchall()
        except duckdb.Error:
            self.anomalies += 1
            return
        self.looks += 1
        if rows != ids or rows < self._seen:
            self.anomalies += 1
        self._seen = max(self._seen, rows)
