"""How much faster than real time an archive is answered whose windows travel in the questions.

A generated stamped file is asked about in windows; the server runs in a process of its own, and
its engine takes 200 ms for every answer. Each answer says which stamps it saw first and last, so
that the windows are checked while they are counted. Generation is not timed. Prints one line
`RESULT {json}`; the goal is `speedup_over_real_time` >= 15 and `windows_asked` == `windows_ideal`.

    python benchmarks/inline_archive.py --minutes 10
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink

from overshoot_flow.config import Inference, Secret, Service
from overshoot_flow.flow import infer, run
from overshoot_flow.local.engines.base import EngineAnswer, Question, SeenFrame
from overshoot_flow.local.engines.pixels import luma_plane
from overshoot_flow.local.server import LocalServer
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.local.stamp import read
from overshoot_flow.local.testvideo import VideoSpec, generate
from overshoot_flow.local.v1.config import V1Config
from overshoot_flow.protocol.windows import Windows
from overshoot_flow.results import Heartbeat, Outcome, Result
from overshoot_flow.transport_config import Inline
from overshoot_flow_connectors.file import FileSource

KEY = "ovs-benchmark"
IN_FLIGHT = 16
ANSWER_S = 0.2


class SlowEngine:
    """Takes its time, and says which frames it saw."""

    name = "slow"

    def answer(
        self,
        frames: Sequence[SeenFrame],
        question: Question,  # noqa: ARG002 - the engine's signature
    ) -> EngineAnswer:
        """Answer with the number of frames and the stamps at both ends."""
        time.sleep(ANSWER_S)
        ends = [read(luma_plane(frame.image)) for frame in (frames[0], frames[-1])]
        return EngineAnswer(json.dumps([len(frames), *ends]))


async def serve() -> None:
    """Serve until standard input ends."""
    config = ServerConfig(
        keys={KEY: 1e6},
        engine=SlowEngine(),
        engine_threads=2 * IN_FLIGHT,
        v1=V1Config(requests_per_window=1000),
    )
    async with LocalServer(config) as server:
        print(f"{server.root_url}/v1", flush=True)
        await asyncio.to_thread(sys.stdin.read)


@contextmanager
def server_process() -> Iterator[str]:
    """Yield the base URL of a server in another process."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process.stdout.readline().strip() if process.stdout is not None else ""
    finally:
        process.communicate()


def asked(
    path: Path, windows: Windows, base_url: str, *, encoded: bool
) -> tuple[list[Result], float, float]:
    """Return the results, the seconds that the run took, and the CPU seconds of this process."""
    said: list[Outcome | Heartbeat] = []
    service = Service(
        key=Secret(KEY), base_url=base_url, transport=Inline(), max_in_flight=IN_FLIGHT
    )
    flow = Dataflow("inline_archive")
    frames = op.input("file", flow, FileSource(path, encoded=encoded))
    outcomes = infer("ask", frames, Inference(prompt="?", windows=windows), service)
    op.output("kept", outcomes, TestingSink(said))
    began_s, cpu_began_s = time.monotonic(), time.process_time()
    run(flow)
    took_s, cpu_s = time.monotonic() - began_s, time.process_time() - cpu_began_s
    return [each for each in said if isinstance(each, Result)], took_s, cpu_s


def expected(spec: VideoSpec, windows: Windows) -> dict[int, list[int]]:
    """Number of frames, first and last stamp of every window, by its start."""
    pts_us = [int(index * 1_000_000 / spec.fps) for index in range(spec.frames)]
    found = {}
    for window in windows.until(int(spec.frames * 1_000_000 / spec.fps)):
        inside = [n for n, at in enumerate(pts_us) if window.start_us <= at < window.end_us]
        found[window.start_us] = [len(inside), inside[0], inside[-1]]
    return found


def measured(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Generate, run and check."""
    spec = VideoSpec(
        width=640,
        height=360,
        fps=options.fps,
        duration_s=options.minutes * 60,
        gop=2 * options.fps,
        b_frames=0,
        text=False,
    )
    path = generate(folder / "archive.mp4", spec).path
    windows = Windows(options.window, options.stride)
    ideal = expected(spec, windows)
    with server_process() as base_url:
        results, took_s, cpu_s = asked(path, windows, base_url, encoded=options.encoded)
    right = sum(json.loads(each.raw_text) == ideal.get(each.media_start_us) for each in results)
    return {
        "speedup_over_real_time": round(options.minutes * 60 / took_s, 1),
        "windows_asked": len(results),
        "windows_right": right,
        "windows_ideal": len(ideal),
        "cpu_s_per_media_minute": round(cpu_s / options.minutes, 3),
        "took_s": round(took_s, 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--fps", type=int, default=10)
    parser.add_argument("--window", type=float, default=2)
    parser.add_argument("--stride", type=float)
    parser.add_argument(
        "--encoded",
        action="store_true",
        help="cut videos out of the file where a window begins with a key frame",
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return 0
    with tempfile.TemporaryDirectory() as folder:
        result = measured(Path(folder), options)
    print("RESULT", json.dumps(result))
    return 0 if result["windows_right"] == result["windows_ideal"] else 1


if __name__ == "__main__":
    sys.exit(main())
