"""The archive command with windows whose pictures travel in the questions."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from archive_command_support import KEY, asked, ended, slow_down, started, wait_until

from overshoot_flow.local.running import RunningServer, running_server
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.local.testvideo import VideoSpec, generate
from overshoot_flow_pipelines.cli import main

FPS, DURATION_S = 10, 16
SCHEMA = {
    "type": "object",
    "properties": {"stamps": {"type": "array", "items": {"type": "integer"}}},
    "required": ["stamps"],
    "additionalProperties": False,
}


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with running_server(ServerConfig(keys={KEY: 100.0}, allow_faults=True)) as running:
        yield running


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--window", "1"], "windows can be asked of v1 and v1beta only"),
        (["--every", "1"], "windows can be asked of v1 and v1beta only"),
        (["--memory", "1"], "memory can be asked of v1 and v1beta only"),
        (["--system", "Be brief."], "system can be asked of v1 and v1beta only"),
        (["--delivery", "inline"], "v1 and v1beta only: give the base URL of one of them"),
        (["--max-fps", "2"], "--max-fps is about the frames of a --window"),
        (["--window", "1/0"], "stride_s must be a number above 0"),
        (["--jpeg-quality", "0", "--delivery", "inline"], "it must be 1 to 100"),
    ],
)
def test_what_cannot_be_asked_fails_before_the_run(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OVERSHOOT_API_KEY", KEY)
    video = tmp_path / "v.mp4"
    generate(video, VideoSpec(width=160, height=90, fps=10, duration_s=0.5))
    whole = ["archive", str(video), "--prompt", "?", "--out", str(tmp_path / "out"), *arguments]
    assert main(whole) == 2
    assert words in capsys.readouterr().err


def test_a_killed_and_a_stopped_run_go_on_and_each_window_is_there_once(
    server: RunningServer, tmp_path: Path
) -> None:
    video, schema, out = tmp_path / "v.mp4", tmp_path / "schema.json", tmp_path / "out"
    # Overlapping windows, of which some begin with a key frame and travel as video.
    spec = VideoSpec(
        width=320, height=180, fps=FPS, duration_s=DURATION_S, gop=30, b_frames=0, text=False
    )
    generate(video, spec)
    schema.write_text(json.dumps(SCHEMA))
    slow_down(server, 0.2)
    arguments = [str(video), "--prompt", "Which stamps?", "--schema", str(schema)]
    arguments += ["--out", str(out), "--base-url", f"{server.root_url}/v1", "--epoch", "0.2"]
    arguments += ["--window", "2/1", "--delivery", "inline", "--max-in-flight", "2"]

    killed = started(*arguments)
    wait_until(lambda: asked(server) >= 6, killed)
    killed.kill()
    ended(killed)
    stopped = started(*arguments)
    before = asked(server)
    wait_until(lambda: asked(server) >= before + 4, stopped)
    stopped.send_signal(signal.SIGTERM)
    said = ended(stopped)
    assert stopped.returncode == 0, said
    assert "stopped early" in said
    last = started(*arguments)
    said += ended(last)
    assert last.returncode == 0, said
    assert "MISMATCH" not in said

    table = ds.dataset(out / "results", partitioning="hive").to_table()
    rows = sorted(table.to_pylist(), key=lambda row: int(row["media_start_us"]))
    seen = [(row["media_start_us"], row["media_end_us"], row["output"]["stamps"]) for row in rows]
    assert seen == [
        (start_s * 10**6, (start_s + 2) * 10**6, [*range(start_s * FPS, (start_s + 2) * FPS)])
        for start_s in range(DURATION_S - 1)
    ]
    assert len({row["result_id"] for row in rows}) == len(rows)
    assert not list(out.glob("gaps/**/*.parquet"))
