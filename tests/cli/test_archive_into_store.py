"""The archive command with its output in an object store."""

from __future__ import annotations

import io
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from archive_command_support import KEY, asked, ended, slow_down, started, wait_until
from pyarrow.fs import FileSelector, FileSystem, FileType
from s3_support import SECRET, bucket, s3_server, text_files

from overshoot_flow.local.running import RunningServer, running_server
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.local.testvideo import VideoSpec, generate
from overshoot_flow_pipelines.cli import main

__all__ = ["bucket", "s3_server"]

pytestmark = pytest.mark.xdist_group("s3")

FPS, DURATION_S = 10, 20
SPEC = VideoSpec(
    width=320, height=180, fps=FPS, duration_s=DURATION_S, gop=10, b_frames=0, text=False
)


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with running_server(ServerConfig(keys={KEY: 100.0}, allow_faults=True)) as running:
        slow_down(running, 0.1)
        yield running


def begun(server: RunningServer, video: str, *arguments: str) -> subprocess.Popen[str]:
    command = [video, "--prompt", "Which stamps?", "--base-url", f"{server.root_url}/v1"]
    command += ["--epoch", "0.2", "--roll", "0.3", "--window", "1", "--delivery", "inline"]
    return started(*command, "--max-in-flight", "2", *arguments)


def done(process: subprocess.Popen[str]) -> str:
    said = ended(process)
    assert process.returncode == 0, said
    assert "MISMATCH" not in said
    return said


def kill_after(process: subprocess.Popen[str], server: RunningServer, questions: int) -> None:
    before = asked(server)
    try:
        wait_until(lambda: asked(server) >= before + questions, process)
    finally:
        process.kill()
        process.communicate()


def rows(place: str, store: FileSystem | None = None) -> list[tuple[int, int, str]]:
    """What the answers say about which stretch of media."""
    table = ds.dataset(f"{place}/results", filesystem=store, partitioning="hive").to_table()
    return sorted(
        (row["media_start_us"], row["media_end_us"], row["raw_text"]) for row in table.to_pylist()
    )


def whole_objects(bucket: str, store: FileSystem) -> list[str]:
    """Their names; every object must be a whole Parquet file."""
    found = store.get_file_info(FileSelector(bucket, recursive=True))
    paths = [each.path for each in found if each.type is FileType.File]
    for path in paths:
        assert path.endswith(".parquet")
        with store.open_input_file(path) as file:
            pq.ParquetFile(io.BytesIO(file.read())).read()
    return paths


def test_a_killed_run_into_a_store_ends_with_the_rows_of_one_on_the_disk(
    bucket: str, server: RunningServer, tmp_path: Path
) -> None:
    chance = random.Random(1)  # noqa: S311 - repeatable on purpose
    video, state = tmp_path / "v.mp4", tmp_path / "state"
    generate(video, SPEC)
    store, _ = FileSystem.from_uri(f"s3://{bucket}")
    url = f"s3://{bucket}/answers"
    arguments = [str(video), "--out", f"{url}?region=us-east-1", "--state", str(state)]
    for _ in range(3):
        kill_after(begun(server, *arguments), server, chance.randrange(2, 7))
        whole_objects(bucket, store)
    said = done(begun(server, *arguments))
    assert f"records          {url}\n" in said
    assert SECRET not in said
    done(begun(server, str(video), "--out", str(tmp_path / "out")))

    assert rows(f"{bucket}/answers", store) == rows(str(tmp_path / "out"))
    assert len(rows(f"{bucket}/answers", store)) == DURATION_S
    objects = whole_objects(bucket, store)
    assert not list(state.rglob("*.parquet"))
    # The same command again finds nothing left to ask, and puts nothing.
    before = asked(server)
    done(begun(server, *arguments))
    assert asked(server) == before
    assert whole_objects(bucket, store) == objects
    assert SECRET not in text_files(tmp_path)


def test_the_state_may_be_in_the_staging_folder_and_processes_share_it(
    bucket: str, server: RunningServer, tmp_path: Path
) -> None:
    videos, staging = tmp_path / "videos", tmp_path / "staging"
    videos.mkdir()
    for name in ("a.mp4", "b.mp4"):
        generate(videos / name, SPEC)
    arguments = ["--out", f"s3://{bucket}", "--staging", str(staging), "--processes", "2"]
    done(begun(server, str(videos), *arguments))
    store, _ = FileSystem.from_uri(f"s3://{bucket}")
    assert len(rows(bucket, store)) == 2 * DURATION_S
    assert (staging / "_run" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "s3://b/answers"], "name a folder with --state DIR"),
        (["--out", "answers", "--staging", "x"], "--staging is for an --out in an object store"),
        (["--out", f"s3://me:{SECRET}@b/x", "--state", "x"], "URL has credentials"),
        (["--out", "s3://", "--state", "x"], "names no bucket"),
    ],
)
@pytest.mark.parametrize("processes", ["1", "2"])
def test_places_that_do_not_go_together_are_refused(
    *,
    arguments: list[str],
    words: str,
    processes: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OVERSHOOT_API_KEY", KEY)
    (tmp_path / "v.mp4").touch()
    whole = ["archive", "v.mp4", "--prompt", "?", "--processes", processes, *arguments]
    assert main(whole) == 2
    said = capsys.readouterr().err
    assert words in said
    assert SECRET not in said
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]
