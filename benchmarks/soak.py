"""Sixteen cameras through the whole product under random faults, for as long as you like.

RTSP servers are killed, frozen and made to close their sessions; rooms, sockets, leases, requests
and answers of the service fail. The program is `soak_pipeline.py`: RtspSource, infer, to_arrow,
ParquetSink, with a state folder. At the end all is repaired, and when the cameras are back the
program is stopped by SIGTERM. Then the Parquet files must account for each camera's whole time from
start to stop, to one frame, and for each frame.

    python benchmarks/soak.py --minutes 20

The last line is `RESULT {json}`: `rss_slope_mib_per_h` is the slope of the resident memory over the
second half of the time with faults, `threads_*` and `fds_*` are counts before the first fault and
after the last one.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from camera_clip import ClipSpec, make_clip
from camera_services import KEY, CameraServer, Overshoot, running_overshoot
from process_tree import open_files, use_of
from soak_faults import Faults
from soak_timeline import frames_in, holes, rows_of, span_of

SERVERS = 4
CAMERAS_EACH = 4
CLIP = ClipSpec(width=320, height=180, fps=5, gop=5, bitrate=100_000, seconds=10)
FRAME_US = 1_000_000 // CLIP.fps
SAMPLE_INTERVAL_S = 2.0
PRINT_INTERVAL_S = 20.0
BEGIN_TIMEOUT_S = 90.0
RECOVERY_TIMEOUT_S = 90.0
QUIET_S = 15.0
"""After the last fault: rooms that were left close, sessions that broke off end."""
STOP_TIMEOUT_S = 90.0
_US_PER_S = 1_000_000


@dataclass
class Watch:
    """Samples of what the program uses, taken by a thread until `stop`; a line now and then."""

    pid: int
    rss: list[tuple[float, float]] = field(default_factory=list)  # monotonic s, MiB
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        begun_s = printed_s = time.monotonic()
        while not self._over.wait(SAMPLE_INTERVAL_S):
            now_s, use = time.monotonic(), use_of(self.pid)
            self.rss.append((now_s, use.rss_bytes / 2**20))
            if now_s - printed_s >= PRINT_INTERVAL_S:
                printed_s = now_s
                print(
                    f"{now_s - begun_s:5.0f} s: {use.rss_bytes / 2**20:.0f} MiB, "
                    f"{use.threads} threads, {open_files(self.pid)} files",
                    flush=True,
                )

    def slope_mib_per_h(self, from_s: float, until_s: float) -> float | None:
        within = [sample for sample in self.rss if from_s <= sample[0] <= until_s]
        if len(within) < 2:  # noqa: PLR2004 - a slope needs two
            return None
        times, sizes = zip(*within, strict=True)
        return statistics.linear_regression(times, sizes).slope * 3600


@contextmanager
def running_cameras(settings: dict[str, dict[str, Any]]) -> Iterator[list[CameraServer]]:
    servers = [CameraServer(settings) for _ in range(SERVERS)]
    try:
        yield servers
    finally:
        for server in servers:
            server.kill()


def answered(overshoot: Overshoot) -> int:
    """Return how many living streams have been answered about."""
    return sum(
        bool(stream["results"]) and stream["state"] == "active" for stream in overshoot.streams()
    )


def until_all_answered(
    overshoot: Overshoot, program: subprocess.Popen[str], timeout_s: float
) -> None:
    deadline_s = time.monotonic() + timeout_s
    while answered(overshoot) < SERVERS * CAMERAS_EACH:
        if program.poll() is not None:
            sys.exit(f"the program has ended with {program.returncode}")
        if time.monotonic() > deadline_s:
            print(f"only {answered(overshoot)} cameras are answered about after {timeout_s:g} s")
            return
        time.sleep(1)


def unaccounted(folder: Path, said: dict[str, Any]) -> tuple[float, int]:
    """Return the seconds and the frames that no row accounts for; print where."""
    seconds, frames = 0.0, 0
    rows = rows_of(folder / "out")
    for name, begun_us in said["begun_us"].items():
        own = rows.get(name, [])
        spans = filter(None, map(span_of, own))
        for start_us, end_us in holes(spans, said["stopped_us"] - begun_us, FRAME_US):
            print(f"  {name}: nothing from {start_us} to {end_us} µs")
            seconds += (end_us - start_us) / _US_PER_S
        missing = said["frames_emitted"][name] - frames_in(own)
        if missing:
            print(f"  {name}: {missing} frames of {said['frames_emitted'][name]} in no row")
            frames += abs(missing)
    return seconds, frames


def counts(pid: int) -> tuple[int, int]:
    return use_of(pid).threads, open_files(pid)


def soak(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run the program through the faults; return the keys of the RESULT line."""
    (folder / "clip").mkdir()
    settings: dict[str, dict[str, Any]] = {
        f"mount-{n}": {"clip": make_clip(folder / "clip", CLIP), "fps": CLIP.fps}
        for n in range(CAMERAS_EACH)
    }
    with (
        running_overshoot(2 * SERVERS * CAMERAS_EACH) as overshoot,
        running_cameras(settings) as servers,
        (folder / "log").open("w") as log,
    ):
        urls = {
            f"camera-{s}-{mount}": server.url(mount)
            for s, server in enumerate(servers)
            for mount in settings
        }
        script = Path(__file__).with_name("soak_pipeline.py")
        program = subprocess.Popen(
            [sys.executable, str(script), str(folder), overshoot.base_url, KEY, json.dumps(urls)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        watch = Watch(program.pid)
        watch.start()
        try:
            until_all_answered(overshoot, program, BEGIN_TIMEOUT_S)
            threads_start, fds_start = counts(program.pid)
            faults = Faults(servers, settings, overshoot, random.Random(options.seed))  # noqa: S311 - a schedule
            begun_s = time.monotonic()
            faults.make_until(
                begun_s + options.minutes * 60, goes_on=lambda: program.poll() is None
            )
            ended_s = time.monotonic()
            until_all_answered(overshoot, program, RECOVERY_TIMEOUT_S)
            time.sleep(QUIET_S)
            threads_end, fds_end = counts(program.pid)
            rss_end_mib = watch.rss[-1][1]
            watch.stop()
            program.send_signal(signal.SIGTERM)
            output, _ = program.communicate(timeout=STOP_TIMEOUT_S)
        finally:
            watch.stop()
            program.kill()
            program.wait()
            print((folder / "log").read_text()[-options.log_bytes :])
    if program.returncode != 0:
        sys.exit(f"the program has ended with {program.returncode}")
    said = json.loads(output.splitlines()[-1])
    seconds, frames = unaccounted(folder, said)
    slope = watch.slope_mib_per_h((begun_s + ended_s) / 2, ended_s)
    return {
        "minutes": options.minutes,
        "cameras": SERVERS * CAMERAS_EACH,
        "faults": dict(sorted(faults.made.items())),
        "rss_slope_mib_per_h": None if slope is None else round(slope, 1),
        "rss_end_mib": round(rss_end_mib, 1),
        "threads_start": threads_start,
        "threads_end": threads_end,
        "fds_start": fds_start,
        "fds_end": fds_end,
        "reconnects": said["reconnects"],
        "frames": sum(said["frames_emitted"].values()),
        "frames_unaccounted": frames,
        "unaccounted_seconds": round(seconds, 3),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=20, help="with faults")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log-bytes", type=int, default=2000, help="of the program's log to show")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = soak(Path(folder), options)
    print("RESULT", json.dumps(result))
    return 1 if result["unaccounted_seconds"] or result["frames_unaccounted"] else 0


if __name__ == "__main__":
    sys.exit(main())
