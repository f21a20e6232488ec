"""The short version of the kill loop; `benchmarks/kill_loop.py --kills 200` is the long one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

KILL_LOOP = Path(__file__).parents[2] / "benchmarks" / "kill_loop.py"


@pytest.mark.xdist_group("real time")
@pytest.mark.parametrize("workers", [1, 2])
def test_kills_leave_every_row_once_in_the_parquet_files(workers: int) -> None:
    done = subprocess.run(
        [sys.executable, str(KILL_LOOP), "--kills", "4", "--workers", str(workers)],
        capture_output=True,
        text=True,
        timeout=230,
        check=False,
    )
    last_line = (done.stdout.splitlines() or [""])[-1]
    assert last_line.startswith("RESULT "), done.stderr
    result = json.loads(last_line.removeprefix("RESULT "))
    assert done.returncode == 0, result
    assert result["kills"] == 4
    assert result["rows_ideal"] > 0
    assert (result["lost"], result["doubled"], result["reader_anomalies"]) == (0, 0, 0)
