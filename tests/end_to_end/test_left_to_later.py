"""What an archive could not ask, for want of money or a good key, the same command asks later."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from end_to_end_support import STAMPS_SCHEMA, Server

from overshoot_flow.local.running import running_server
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.local.testvideo import VideoSpec, generate

RICH, POOR, WRONG = "ovs-rich", "ovs-poor", "ovs-wrong"
FILES, FPS = 6, 10
PLANS = ["1", "2/1", "1/2"]

pytestmark = [pytest.mark.xdist_group("real time"), pytest.mark.timeout(120)]


@pytest.fixture
def shop() -> Iterator[Server]:
    """A server where a key has credit for a few answers only."""
    config = ServerConfig(keys={RICH: 1000.0, POOR: 0.012}, allow_faults=True)
    with running_server(config) as running:
        yield Server(running.base_url)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short files: most of each is read before the first answer comes."""
    folder = tmp_path_factory.mktemp("short")
    for number in range(FILES):
        spec = VideoSpec(
            width=160, height=96, fps=FPS, duration_s=2.6 + 0.5 * number, gop=10, text=False
        )
        generate(folder / f"v{number}.mp4", spec)
    (folder / "schema.json").write_text(json.dumps(STAMPS_SCHEMA))
    return folder


def archive(server: Server, folder: Path, out: Path, key: str, *more: str) -> tuple[int, str]:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "overshoot_flow_pipelines.cli", "archive"),
            *(str(folder / "*.mp4"), "--prompt", "stamps?", "--out", str(out)),
            *("--schema", str(folder / "schema.json"), "--model", "local/pixels"),
            *("--delivery", "inline", "--base-url", f"{server.root}/v1", *more),
        ],
        env={**os.environ, "OVERSHOOT_API_KEY": key},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def rows(out: Path, dataset: str, columns: str) -> list[tuple[Any, ...]]:
    if not list(out.glob(f"{dataset}/**/*.parquet")):
        return []
    query = f"select {columns} from '{out}/{dataset}/**/*.parquet' order by all"  # noqa: S608
    return duckdb.sql(query).fetchall()


def answered(out: Path) -> list[tuple[Any, ...]]:
    return rows(out, "results", "result_id, raw_text, frames_covered, frames_between")


def chats(server: Server) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{server.root}/_local/chats", timeout=5) as answer:  # noqa: S310
        log: list[dict[str, Any]] = json.load(answer)
    return log


@pytest.mark.parametrize(("key", "window"), [(WRONG, "1"), *((POOR, plan) for plan in PLANS)])
def test_nothing_is_lost_to_a_service_that_answers_no_question(
    key: str, window: str, shop: Server, folder: Path, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert archive(shop, folder, whole, RICH, "--window", window)[0] == 0
    # All at once they would be asked before the first is charged.
    few = ("--max-in-flight", "2")
    code, said = archive(shop, folder, parts, key, "--window", window, *few)
    assert code == 1
    assert "the same command goes on with it" in said
    assert len(answered(parts)) < len(answered(whole))
    assert bool(answered(parts)) is (key == POOR)
    assert archive(shop, folder, parts, RICH, "--window", window)[0] == 0
    assert answered(parts) == answered(whole)
    assert rows(parts, "gaps", "reason") == []


@pytest.mark.parametrize("window", PLANS)
def test_a_greater_budget_asks_what_a_smaller_one_did_not(
    window: str, shop: Server, folder: Path, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert archive(shop, folder, whole, RICH, "--window", window)[0] == 0
    before = len(chats(shop))
    (cost_cents,) = rows(whole, "usage", "sum(cost_cents)")[0]
    for limit_cents in (cost_cents / 4, cost_cents / 2):
        limits = ("--max-cost", str(limit_cents), "--max-in-flight", "2")
        code, said = archive(shop, folder, parts, RICH, "--window", window, *limits)
        assert code == 0
        assert "the budget is spent" in said
        assert len(answered(parts)) < len(answered(whole))
    assert archive(shop, folder, parts, RICH, "--window", window)[0] == 0
    assert answered(parts) == answered(whole)
    assert rows(parts, "gaps", "reason") == []
    # Nothing was asked twice, and every answer's charge is on record.
    assert len(chats(shop)) - before == before
    charged = [identity for (identity,) in rows(parts, "usage", "result_id") if identity]
    assert len(charged) == before


@pytest.mark.parametrize("status", [404, 503])
def test_without_a_price_nothing_is_asked_under_a_budget(
    status: int, shop: Server, folder: Path, tmp_path: Path
) -> None:
    shop.fault("http_errors", status=status, path="/billing/pricing", count=1000)
    first = folder / "v0.mp4"
    one = tmp_path / "one"
    one.mkdir()
    (one / "v0.mp4").write_bytes(first.read_bytes())
    (one / "schema.json").write_text(json.dumps(STAMPS_SCHEMA))
    out = tmp_path / "out"
    code, said = archive(shop, one, out, RICH, "--window", "1", "--max-cost", "1")
    assert code == 1
    assert ("no price of 'local/pixels'" in said) is (status == 404)
    assert chats(shop) == []
    shop.fault("clear")
    assert archive(shop, one, out, RICH, "--window", "1", "--max-cost", "1")[0] == 0
    assert sum(covered for *_, covered, _ in answered(out)) == 26
