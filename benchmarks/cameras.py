"""CPU seconds per camera-second of video that was really delivered, three ways, interleaved.

- `passthrough`: `RtspSource` publishes what the camera sends as it is, without decoding.
- `sampled`: it decodes, takes 6 pictures a second, and WebRTC encodes them.
- `vendor_pattern`: FFmpeg decodes every picture into a pipe, LiveKit's SDK encodes all of them
  (see `cameras_vendor.py`).

The cameras are one GStreamer RTSP server that sends H.264 which was encoded before; the service is
the local Overshoot server, which decodes key frames alone. Both run in processes of their own and
are not counted, nor is what a program does before all of its cameras are under way. Counted is
user and system time of the program and its children.

What is delivered: pictures that left the sender, divided by the rate that was asked for. A program
that wants more than the machine has delivers less video, so the cost stays comparable; its work on
pictures that it then dropped is in it. Where passing through delivers less than 95 %, the machine
was too busy with other things for the figures to mean much; the output says so.

The last line is `RESULT {json}`. Resident memory counts pages shared between processes for each.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from camera_clip import ClipSpec, make_clip
from camera_services import KEY, CameraServer, Overshoot, running_overshoot
from cameras_measure import PASSTHROUGH, SAMPLED, VENDOR, Job, Measured

MOST_CAMERAS = 32
BESIDE_S = 240.0
"""For the start, the warming up and the end of a measured program."""
ENOUGH_DELIVERED = 0.95
PLAN = (
    (PASSTHROUGH, 1),
    (SAMPLED, 1),
    (VENDOR, 1),
    (PASSTHROUGH, 16),
    (SAMPLED, 16),
    (VENDOR, 16),
    (PASSTHROUGH, 8),
    (PASSTHROUGH, 32),
)
SIZES = {
    "720p": ClipSpec(width=1280, height=720, bitrate=1_500_000),
    "1080p": ClipSpec(width=1920, height=1080, bitrate=2_500_000),
}

Found = Mapping[tuple[str, int], Sequence[Measured]]


@contextmanager
def running_cameras(pattern: str, fps: int) -> Iterator[CameraServer]:
    """Serve as many cameras as are ever needed; one that nobody watches costs nothing."""
    cameras = CameraServer(
        {f"camera-{n}": {"clip": pattern, "fps": fps} for n in range(MOST_CAMERAS)}
    )
    try:
        yield cameras
    finally:
        cameras.kill()


def measure(job: Job) -> Measured | None:
    """Run one measurement in a fresh process; None if it failed, which is printed."""
    script = Path(__file__).with_name("cameras_measure.py")
    completed = subprocess.run(
        [sys.executable, str(script), json.dumps(asdict(job))],
        check=False,
        capture_output=True,
        text=True,
        timeout=job.settle_s + job.seconds + BESIDE_S,
    )
    if completed.returncode != 0:
        print(f"  failed: {' '.join(completed.stderr.split())[-300:]}")
        return None
    fields: dict[str, Any] = json.loads(completed.stdout.splitlines()[-1])
    return Measured(**fields)


def describe(method: str, cameras: int, found: Measured) -> str:
    delivered = found.camera_s / (found.seconds * cameras)
    cost = found.cpu_s / found.camera_s if found.camera_s else float("nan")
    text = (
        f"{method:14} {cameras:3} cameras: {cost:.4f} core per camera, "
        f"{found.cpu_s / found.seconds:.2f} cores used, {delivered:.0%} delivered, "
        f"{found.rss_bytes / cameras / 2**20:.0f} MiB per camera, {found.threads} threads"
    )
    if method == PASSTHROUGH:
        if found.passed_through != cameras:
            text += f"; ONLY {found.passed_through} PASSED THROUGH"
        if delivered < ENOUGH_DELIVERED:
            text += "; THE MACHINE IS TOO BUSY"
    return text


def measure_all(
    overshoot: Overshoot, cameras: CameraServer, spec: ClipSpec, options: argparse.Namespace
) -> Found:
    """Measure everything as often as asked, the ways taking turns."""
    found: defaultdict[tuple[str, int], list[Measured]] = defaultdict(list)
    for _ in range(options.repeats):
        for method, count in PLAN:
            job = Job(
                method=method,
                urls=[cameras.url(f"camera-{n}") for n in range(count)],
                base_url=overshoot.base_url,
                key=KEY,
                width=spec.width,
                height=spec.height,
                fps=spec.fps,
                settle_s=options.settle,
                seconds=options.seconds,
            )
            measured = measure(job)
            if measured is not None:
                found[method, count].append(measured)
                print(describe(method, count, measured), flush=True)
    return found


def summarize(found: Found) -> dict[str, float | None]:
    """Turn measurements into the keys of the RESULT line: medians, None where all failed."""
    result: dict[str, float | None] = {}
    for (method, count), measured in found.items():
        costs = [one.cpu_s / one.camera_s for one in measured if one.camera_s]
        result[f"core_per_camera_{method}_{count}"] = statistics.median(costs) if costs else None
        rss = statistics.median(one.rss_bytes for one in measured) / count / 2**20
        prefix = "" if method == PASSTHROUGH else f"{method}_"
        result[f"{prefix}rss_mib_per_camera_{count}"] = rss
        shares = [one.camera_s / (one.seconds * count) for one in measured]
        result[f"delivered_{method}_{count}"] = statistics.median(shares)

    def ratio(over: str, under: str) -> float | None:
        above, below = result.get(over), result.get(under)
        return above / below if above is not None and below else None

    for count in (1, 16):
        result[f"ratio_vendor_over_passthrough_{count}"] = ratio(
            f"core_per_camera_{VENDOR}_{count}", f"core_per_camera_{PASSTHROUGH}_{count}"
        )
    result["cost_per_camera_32_over_1"] = ratio(
        f"core_per_camera_{PASSTHROUGH}_32", f"core_per_camera_{PASSTHROUGH}_1"
    )
    return {
        key: None if value is None else round(value, 4) for key, value in sorted(result.items())
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="1080p", help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--settle", type=float, default=3, help="seconds before it")
    parser.add_argument("--repeats", type=int, default=1, help="measurements per median")
    options = parser.parse_args()
    spec = SIZES[options.size]
    print(
        f"cameras: {spec.width}x{spec.height} at {spec.fps} fps, H.264 of "
        f"{spec.bitrate / 1e6:g} Mbit/s, a key frame every {spec.gop / spec.fps:g} s; "
        f"{os.cpu_count()} processors",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        pattern = make_clip(Path(folder), spec)
        with (
            running_overshoot(MOST_CAMERAS) as overshoot,
            running_cameras(pattern, spec.fps) as cameras,
        ):
            found = measure_all(overshoot, cameras, spec, options)
    result = summarize(found)
    print("RESULT", json.dumps(result))
    return 0 if set(found) == set(PLAN) else 1


if __name__ == "__main__":
    sys.exit(main())
