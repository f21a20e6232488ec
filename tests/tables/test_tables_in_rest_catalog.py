"""IcebergSink and a real REST catalog that dies, falls silent or refuses."""

from __future__ import annotations

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog.rest import RestCatalog as PyIcebergRestCatalog
from pyiceberg.io import FileIO
from pyiceberg.table import Transaction
from rest_catalog import RestCatalog
from s3_support import text_files
from table_support import CATALOG_SECRET, RestTables, batches, ids, present

from overshoot_flow.errors import CommitConflictError, SinkError
from overshoot_flow.flow.running import RUN
from overshoot_flow_connectors import attempts, iceberg_catalog
from overshoot_flow_connectors.iceberg import IcebergSink
from overshoot_flow_connectors.iceberg_warehouse import IcebergWarehouse
from overshoot_flow_connectors.parquet_partition import ParquetPartition
from overshoot_flow_connectors.table_destination import Addition
from overshoot_flow_connectors.two_phase_sink import TwoPhaseSink

pytestmark = pytest.mark.xdist_group("rest")

TOTAL = 24


def opened(sink: TwoPhaseSink, state: dict[str, Any] | None = None) -> ParquetPartition:
    return sink.build_part("flow.out", "part-0000", state)


def outage(catalog: RestCatalog, after_s: float) -> None:
    time.sleep(after_s)
    catalog.kill()
    catalog.start()


@pytest.mark.parametrize("seed", range(2))
def test_crashes_of_run_and_catalog_lose_and_double_nothing(
    own_rest_catalog: RestCatalog, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine may take its time to start the catalog again.
    monkeypatch.setattr(attempts, "MAX_ATTEMPTS", 60)
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    kind = RestTables(own_rest_catalog)
    durable: tuple[int, Any] = (0, None)
    outages = 0
    with RUN.begin(durable=True, heartbeat_keys=()), ThreadPoolExecutor(1) as pool:
        for life in range(100):
            part = opened(kind.sink(tmp_path, roll_rows=4), durable[1])
            written, newest = durable[0], durable
            while written < TOTAL and (life > 20 or chance.random() > 0.2):
                count = min(chance.randrange(1, 5), TOTAL - written)
                part.write_batch(batches(written, count))
                written += count
                if chance.random() < 0.15 or not outages:
                    outages += 1
                    away = pool.submit(outage, own_rest_catalog, chance.uniform(0, 0.2))
                    durable, newest = newest, (written, part.snapshot())
                    away.result()
                else:
                    durable, newest = newest, (written, part.snapshot())
            part.close()
            there = present(kind, tmp_path)
            assert there == ids(len(there))
            if written == TOTAL:
                part.finish()
                break
            durable = chance.choice([durable, newest])
        RUN._at_success.clear()
    assert present(kind, tmp_path) == ids(TOTAL)


def test_a_silent_catalog_ends_the_run_and_what_it_does_later_counts_once(
    own_rest_catalog: RestCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = RestTables(own_rest_catalog)
    with RUN.begin(durable=True, heartbeat_keys=()):
        with monkeypatch.context() as impatient:
            impatient.setattr(iceberg_catalog, "REQUEST_TIMEOUT_S", 0.5)
            impatient.setattr(attempts, "MAX_ATTEMPTS", 2)
            part = opened(kind.sink(tmp_path, roll_rows=1))
            part.write_batch(batches(0, 4))
            state = part.snapshot()
            own_rest_catalog.freeze()
            with pytest.raises(SinkError, match=r"table .*: no commit in .*: ReadTimeout"):
                part.snapshot()
            part.close()
            own_rest_catalog.thaw()
        part = opened(kind.sink(tmp_path, roll_rows=1), state)
        part.write_batch(batches(4, 2))
        part.snapshot()
        part.close()
        part.finish()
        RUN._at_success.clear()
    assert present(kind, tmp_path) == ids(6)


@pytest.mark.parametrize(
    "settings",
    [
        {"credential": f"me:{CATALOG_SECRET}"},
        {"token": CATALOG_SECRET},
        {"credential": f"me:{CATALOG_SECRET}", "oauth2-server-uri": "{uri}/nothing"},
        {"token": CATALOG_SECRET, "uri": "{uri}/nothing"},
        {"token": f"{CATALOG_SECRET}\n"},
        {"header.Authorization": f"Bearer {CATALOG_SECRET}\n"},
    ],
    ids=["credential", "token", "no such token server", "no such catalog", "odd token", "header"],
)
@pytest.mark.parametrize("configured", [False, True], ids=["given", "configured"])
def test_what_a_catalog_refuses_is_an_error_without_secrets(
    *,
    rest_catalog: RestCatalog,
    settings: dict[str, str],
    configured: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempts, "FIRST_PAUSE_S", 0.0)
    kind = RestTables(rest_catalog)
    kind.obstruct(tmp_path)
    catalog: Any = rest_catalog.settings | {
        name: value.format(uri=rest_catalog.uri) for name, value in settings.items()
    }
    if configured:
        lines = "".join(f"      {name}: {json.dumps(value)}\n" for name, value in catalog.items())
        folder = tmp_path / "configuration"
        folder.mkdir()
        (folder / ".pyiceberg.yaml").write_text(f"catalog:\n    prod:\n{lines}")
        monkeypatch.setenv("PYICEBERG_HOME", str(folder))
        catalog = "prod"
    part = opened(IcebergSink(catalog, staging=tmp_path / "staging", namespace=kind.namespace))
    with pytest.raises(SinkError) as caught:
        _write(part)
    assert kind.namespace in str(caught.value)
    error: BaseException | None = caught.value
    while error is not None:
        assert CATALOG_SECRET not in f"{error!r}{error}"
        assert error.__suppress_context__ or error.__context__ is None or error.__cause__
        error = error.__cause__
    assert CATALOG_SECRET not in text_files(tmp_path / "staging")


def test_credentials_that_a_catalog_lends_are_in_no_error(
    rest_catalog: RestCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = RestTables(rest_catalog)
    _write(opened(kind.sink(tmp_path)))
    lent = "lent-secret-of-the-tests"
    load_file_io = PyIcebergRestCatalog._load_file_io

    def lending(self: PyIcebergRestCatalog, properties: Any = {}, location: Any = None) -> FileIO:  # noqa: B006 - only read
        return load_file_io(self, {**properties, "s3.session-token": lent}, location)

    # The server of the tests has nothing to lend.
    monkeypatch.setattr(PyIcebergRestCatalog, "_load_file_io", lending)
    warehouse = IcebergWarehouse(kind.catalog(tmp_path), kind.namespace)
    version = warehouse.load("results")
    assert version is not None

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(f"{lent} has expired")

    monkeypatch.setattr(Transaction, "append", refuse)
    addition = Addition(writer="w", sequence=0, evolves=False, resumable=False)
    with pytest.raises(CommitConflictError, match=r"\*\*\* has expired"):
        version.append(pa.table({}), addition)


def _write(part: ParquetPartition) -> None:
    try:
        part.write_batch(batches(0, 1))
        part.snapshot()
    finally:
        part.close()
