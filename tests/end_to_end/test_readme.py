"""The README's example runs as it is written, against the local server."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from end_to_end_support import KEY, Server

from overshoot_flow.local.testvideo import VideoSpec, generate

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.xdist_group("real time")
def test_the_annotated_example_runs(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    where = "Service(key=api_key())"
    assert where in code
    code = code.replace(where, f"Service(key=api_key(), base_url={server.base_url!r})")
    videos = tmp_path / "videos"
    videos.mkdir()
    generate(
        videos / "road.mp4", VideoSpec(width=320, height=180, fps=10, duration_s=3, text=False)
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OVERSHOOT_API_KEY", KEY)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})  # noqa: S102 - that is the test

    rows = ds.dataset(tmp_path / "answers" / "results", partitioning="hive").to_table()
    assert rows.num_rows >= 2
    assert all(isinstance(output["cars"], int) for output in rows["output"].to_pylist())
    assert server.alive() == []
