"""An archive is asked about until its budget is spent, and gone on with under a greater one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import bytewax.operators as op
import duckdb
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink
from end_to_end_support import KEY, Run, Server

from overshoot_flow.config import FrameMode, Inference
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow import infer, run
from overshoot_flow.local.running import running_server
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.media.sampling import FramesPerSecond
from overshoot_flow.results import GapReason
from overshoot_flow.session.ledger import LEDGER
from overshoot_flow.spending import Budget
from overshoot_flow_connectors.file import FileSource

pytestmark = pytest.mark.xdist_group("real time")


@pytest.fixture
def dear_server() -> Iterator[Server]:
    """A cent a second, charged every second."""
    config = ServerConfig(
        keys={KEY: 1000.0}, allow_faults=True, price_cents_per_s=1.0, lease_ttl_s=3.0
    )
    with running_server(config) as running:
        yield Server(running.base_url)


def test_a_stream_ends_before_its_budget_is_exceeded(
    dear_server: Server, video: Callable[[float], Path]
) -> None:
    done = Run()
    flow = Dataflow("dear")
    source = FileSource([video(12.0)], sample=FramesPerSecond(10))
    inference = Inference(prompt="?", mode=FrameMode(interval_s=0.25))
    frames = op.input("files", flow, source)
    outcomes = infer("ask", frames, inference, dear_server.service(), budget=Budget(run_cents=3.0))
    kept = op.inspect("keep", outcomes, lambda _, outcome: done.outcomes.append(outcome))
    op.output("kept", kept, TestingSink([]))
    run(flow)
    spent_cents = sum(usage.cost_cents or 0.0 for usage in done.usage)
    # What is above it was in flight: the answers due, and the last charge.
    assert 1.0 < spent_cents < 6.0
    assert done.results
    assert [gap.reason for gap in done.gaps] == [GapReason.BUDGET]
    assert done.frames_settled == sum(LEDGER.frames_emitted(key) for key, _ in source.sources)
    # The rest of the file was not even read.
    assert done.gaps[0].media_end_us < 12_000_000
    assert dear_server.alive() == []


def test_the_budget_of_a_run_holds_over_its_parts(
    server: Server, video: Callable[[float], Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def archive(max_cost_cents: float | None) -> tuple[float, str]:
        """Run the command; return what all its runs have cost, and what it said."""
        limit = [] if max_cost_cents is None else ["--max-cost", str(max_cost_cents)]
        done = subprocess.run(
            [
                *(sys.executable, "-m", "overshoot_flow_pipelines.cli", "archive"),
                *(str(video(12.0)), "--prompt", "?", "--out", str(out), "--delivery", "inline"),
                *("--every", "0.5", "--max-in-flight", "1", "--base-url", f"{server.root}/v1"),
                *limit,
            ],
            env={**os.environ, "OVERSHOOT_API_KEY": KEY},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        rows = duckdb.sql(f"select sum(cost_cents) from '{out}/usage/**/*.parquet'")  # noqa: S608
        return float(rows.fetchall()[0][0]), done.stdout

    limit_cents = 0.02
    for _ in range(3):
        spent_cents, said = archive(limit_cents)
        # One question at a time is under way.
        assert 0.5 * limit_cents < spent_cents < 1.3 * limit_cents
        assert "the budget is spent" in said
    whole_cents, said = archive(None)
    assert whole_cents > 2 * limit_cents
    assert "the budget is spent" not in said


@pytest.mark.parametrize("limits", [{"run_cents": 0.0}, {"stream_cents": -1.0}])
def test_a_budget_of_nothing_is_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="must be above 0"):
        Budget(**limits)
