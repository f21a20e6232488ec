"""Tables in an object store, and what errors say about catalogs that cannot be reached."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from bytewax.testing import run_main
from deltalake import DeltaTable
from pyiceberg.catalog import load_catalog
from rtsp_support import free_port
from s3_support import SECRET, S3Server, text_files
from table_support import EVERY_EPOCH, batches, flow_of, ids

from overshoot_flow.errors import ConfigurationError, SinkError
from overshoot_flow_connectors import attempts
from overshoot_flow_connectors.delta import DeltaSink
from overshoot_flow_connectors.iceberg import IcebergSink, embedded_catalog
from overshoot_flow_connectors.setting_secrets import without_secrets
from overshoot_flow_connectors.two_phase_sink import TwoPhaseSink

pytestmark = pytest.mark.xdist_group("s3")


def run_into(sink: TwoPhaseSink) -> None:
    run_main(flow_of([batches(n, 2) for n in range(0, 6, 2)], sink), epoch_interval=EVERY_EPOCH)


def test_delta_tables_may_be_in_a_store(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    root = f"s3://{bucket}/tables"
    run_into(DeltaSink(root, staging=tmp_path, roll_rows=3))
    rows = DeltaTable(f"{root}/results").to_pyarrow_table()
    assert sorted(rows.column("result_id").to_pylist()) == ids(6)


def test_a_store_that_is_away_is_an_error_of_one_plain_line(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "MAX_ATTEMPTS", 1)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    options = {"max_retries": "0"}
    sink = DeltaSink(f"s3://{bucket}/tables", staging=tmp_path, storage_options=options)
    part = sink.build_part("flow.out", "part-0000", None)
    with pytest.raises(SinkError, match=f"s3://{bucket}/tables, table results: ") as caught:
        part.write_batch(batches(0, 1))
    part.close()
    assert str(caught.value).isprintable()
    assert SECRET not in str(caught.value)


def test_iceberg_tables_may_be_in_a_store(bucket: str, s3_server: S3Server, tmp_path: Path) -> None:
    catalog = embedded_catalog(tmp_path / "catalog") | {
        "warehouse": f"s3://{bucket}/warehouse",
        "s3.endpoint": s3_server.endpoint,
        "s3.region": "us-east-1",
    }
    run_into(IcebergSink(catalog, staging=tmp_path / "staging", roll_rows=3))
    rows = load_catalog("overshoot", **catalog).load_table("overshoot.results").scan().to_arrow()
    assert sorted(rows.column("result_id").to_pylist()) == ids(6)
    assert SECRET not in text_files(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [
        {"type": "rest", "credential": f"id:{SECRET}"},
        {"type": "rest", "token": SECRET},
    ],
    ids=["credential", "token"],
)
def test_a_catalog_that_is_away_is_an_error_without_its_secret(
    settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "MAX_ATTEMPTS", 2)
    uri = f"http://127.0.0.1:{free_port()}"
    sink = IcebergSink({"uri": uri, **settings}, staging=tmp_path)
    part = sink.build_part("flow.out", "part-0000", None)
    with pytest.raises(SinkError, match="no commit in") as caught:
        part.write_batch(batches(0, 1))
    part.close()
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in f"{error!r}{error}"
        assert error.__suppress_context__ or error.__context__ is None or error.__cause__
        error = error.__cause__
    assert SECRET not in repr(vars(sink)["_rolling"]) + text_files(tmp_path)


@pytest.mark.parametrize(
    ("catalog", "namespace", "said"),
    [
        ({}, "overshoot", "no catalog; write"),
        ({"type": "rest", "uri": f"https://u:{SECRET}@host"}, "overshoot", "as its credential"),
        ("prod", "", "namespace is ''"),
        ("prod", "a..b", "namespace is 'a..b'"),
    ],
)
def test_impossible_catalogs_are_refused_at_once(
    catalog: Any, namespace: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)) as refused:
        IcebergSink(catalog, staging=tmp_path, namespace=namespace)
    assert SECRET not in str(refused.value)


def test_secrets_among_settings_never_stand_in_texts() -> None:
    settings: dict[str, Any] = {"s3.secret-access-key": 'a"b\\c', "uri": "http://x:y@host/"}
    text = without_secrets('error a"b\\c at http://x:y@host/path, "a\\"b\\\\c"', settings)
    assert text == 'error *** at http://***@host/path, "***"'


@pytest.mark.parametrize(
    ("settings", "text", "shown"),
    [
        ({"credential": f"me:{SECRET}"}, f"me said {SECRET}", "me said ***"),
        ({"header.Authorization": f"Bearer {SECRET}"}, f"{SECRET} of Bearer", "*** of ***"),
        ({"auth": {"basic": {"password": SECRET}}}, f"no {SECRET}", "no ***"),
        ({"token": "a:b"}, "a:b is a word", "*** is a word"),
    ],
    ids=["credential", "header", "settings in settings", "short parts"],
)
def test_each_part_of_a_secret_is_one(settings: dict[str, Any], text: str, shown: str) -> None:
    assert without_secrets(text, settings) == shown
