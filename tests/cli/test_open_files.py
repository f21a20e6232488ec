"""A run may have as many files open as the system allows it, not as few as it begins with."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

SOFT, HARD = 200, 600
OPENING = f"""
import resource
from overshoot_flow_pipelines.open_files import allow_many_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, ({SOFT}, {HARD}))
assert allow_many_open_files() == {HARD}
assert allow_many_open_files() == {HARD}
files = [open("/dev/null") for _ in range({SOFT} + 100)]
print(len(files))
"""
FLOW = """
import resource
import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource

def make_flow():
    print(*resource.getrlimit(resource.RLIMIT_NOFILE))
    flow = Dataflow("nothing")
    op.output("out", op.input("in", flow, TestingSource([])), TestingSink([]))
    return flow
"""


def test_more_files_than_the_soft_limit_can_be_opened() -> None:
    told = subprocess.run(
        [sys.executable, "-c", OPENING], capture_output=True, text=True, timeout=60, check=False
    )
    assert told.returncode == 0, told.stderr
    assert int(told.stdout) == SOFT + 100


def test_the_run_command_raises_the_limit(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limited = (
        "import os, resource, sys; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({SOFT}, {hard})); "
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    arguments = ["-m", "overshoot_flow_pipelines.cli", "run", f"{tmp_path / 'flow.py'}:make_flow"]
    told = subprocess.run(
        [sys.executable, "-c", limited, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.split() == [str(hard), str(hard)]
