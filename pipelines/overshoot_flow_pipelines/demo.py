"""`make demo`: the whole way from a video to a table, on this machine alone.

Generates a video with readable text, starts the local Overshoot server with its text-reading
engine, runs the archive pipeline against it over the real LiveKit SDK, and reads the Parquet
files back. Everything runs in this process, so nothing can be left behind.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any, Final

import pyarrow.dataset as ds
from rich.console import Console
from rich.table import Table

from overshoot_flow.config import FrameMode, Inference, Secret, Service
from overshoot_flow.errors import OvershootFlowError
from overshoot_flow.local.running import running_server
from overshoot_flow.local.server import ServerConfig
from overshoot_flow.local.testvideo import VideoSpec, generate
from overshoot_flow.media.sampling import FramesPerSecond
from overshoot_flow_connectors.file import FileSource
from overshoot_flow_connectors.parquet import ParquetSink
from overshoot_flow_pipelines.archive import archive_flow, run_archive
from overshoot_flow_pipelines.progress import ArchiveProgress
from overshoot_flow_pipelines.summary import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    exit_code,
    summary_lines,
)
from overshoot_flow_pipelines.tally import Tally

FOLDER: Final = Path("demo-output")
KEY: Final = "ovs-demo"
VIDEO: Final = VideoSpec(width=1280, height=720, fps=30, duration_s=20, gop=60)
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "lane": {"type": ["integer", "null"]},
        "count": {"type": ["integer", "null"]},
        "plate": {"type": ["string", "null"]},
    },
    "required": ["text", "lane", "count", "plate"],
    "additionalProperties": False,
}


def main() -> int:
    """Run the demo; return the exit code."""
    console = Console()
    try:
        return _run(console)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except OvershootFlowError as error:
        console.print(f"[red]demo failed:[/red] {error}")
        return EXIT_FAILED


def _run(console: Console) -> int:
    answers = FOLDER / "answers"
    shutil.rmtree(answers, ignore_errors=True)
    FOLDER.mkdir(exist_ok=True)
    video = FOLDER / "lane.mp4"
    console.print(f"1. a {VIDEO.duration_s:g} s test video: {video}")
    generate(video, VIDEO)
    with running_server(ServerConfig(port=0, engine="ocr", keys={KEY: 100.0})) as server:
        console.print(f"2. a local Overshoot server: {server.base_url}")
        console.print("3. the archive pipeline, at the video's own pace")
        inference = Inference(
            prompt="Read the sign: lane, count and plate.",
            output_schema=SCHEMA,
            mode=FrameMode(interval_s=1.0),
        )
        service = Service(key=Secret(KEY), base_url=server.base_url)
        source = FileSource([video], sample=FramesPerSecond(10))
        tally = Tally()
        flow = archive_flow(source, inference, service, ParquetSink(answers), tally)
        names = {key: path.name for key, path in source.sources}
        duration_us = round(VIDEO.duration_s * 1_000_000)
        with ArchiveProgress(tally, names, lambda _: duration_us, console):
            report = run_archive(flow, source)
    console.print("4. what the Parquet files say")
    console.print(_table(answers / "results"))
    for line in summary_lines(report, tally.total, answers):
        console.print(line, highlight=False)
    if tally.total.results == 0 and not report.stopped:
        console.print("[red]no answer came[/red]")
        return EXIT_FAILED
    return exit_code(report, tally.total)


def _table(folder: Path) -> Table:
    table = Table("media time", "lane", "count", "plate", "text", "latency")
    if not folder.exists():
        return table
    rows = ds.dataset(folder, partitioning="hive").to_table().sort_by("media_start_us")
    for row in rows.to_pylist():
        output = row["output"]
        start_s, end_s = row["media_start_us"] / 1e6, row["media_end_us"] / 1e6
        table.add_row(
            f"{start_s:6.2f} to {end_s:5.2f} s",
            str(output["lane"]),
            str(output["count"]),
            str(output["plate"]),
            output["text"].replace("\n", " | "),
            f"{row['total_latency_ms']:.0f} ms",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
