"""The wheel holds the three typed packages and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGES = {"overshoot_flow", "overshoot_flow_connectors", "overshoot_flow_pipelines"}
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "-w",
            str(folder),
            str(ROOT),
        ],
        check=True,
        timeout=110,
    )
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_there_are_exactly_the_three_packages(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES


def test_every_package_is_typed(wheel: zipfile.ZipFile) -> None:
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(wheel.namelist())


def test_every_source_file_is_in_it(wheel: zipfile.ZipFile) -> None:
    roots = {
        "overshoot_flow": ROOT / "overshoot_flow",
        "overshoot_flow_connectors": ROOT / "connectors" / "overshoot_flow_connectors",
        "overshoot_flow_pipelines": ROOT / "pipelines" / "overshoot_flow_pipelines",
    }
    sources = {
        f"{package}/{file.relative_to(root).as_posix()}"
        for package, root in roots.items()
        for file in root.rglob("*.py")
    }
    packed = {name for name in wheel.namelist() if name.endswith(".py")}
    assert packed == sources


def test_the_command_is_declared(wheel: zipfile.ZipFile) -> None:
    (entry_points,) = [n for n in wheel.namelist() if n.endswith("entry_points.txt")]
    text = wheel.read(entry_points).decode()
    assert "overshoot-flow = overshoot_flow_pipelines.cli:main" in text
