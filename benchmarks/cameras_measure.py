"""Measures one program on some cameras, in a process of its own.

Usage: cameras_measure.py JOB, a JSON object with the fields of `Job`. Waits until all cameras are
under way, measures for some seconds, prints a JSON object, ends.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any

from cameras_product import ProductProgram
from cameras_vendor import VendorProgram
from process_tree import use_of

from overshoot_flow.config import Secret, Service

PASSTHROUGH, SAMPLED, VENDOR = "passthrough", "sampled", "vendor_pattern"
_BEGIN_TIMEOUT_S = 90.0
_POLL_INTERVAL_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is measured."""

    method: str
    urls: list[str]
    base_url: str
    key: str
    width: int
    height: int
    fps: int
    settle_s: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was used, and for how much video.

    Attributes:
        cpu_s: CPU seconds of the program and its children.
        seconds: Time that passed.
        camera_s: Seconds of camera video that were really delivered, all cameras together.
        rss_bytes: Resident memory at the end.
        threads: Threads at the end.
        passed_through: Cameras whose video was published as it is.
    """

    cpu_s: float
    seconds: float
    camera_s: float
    rss_bytes: int
    threads: int
    passed_through: int


def program_of(job: Job) -> ProductProgram | VendorProgram:
    service = Service(
        key=Secret(job.key),
        base_url=job.base_url,
        max_streams=len(job.urls),
        connect_timeout_s=60.0,
    )
    if job.method == VENDOR:
        return VendorProgram(job.urls, service, width=job.width, height=job.height, fps=job.fps)
    return ProductProgram(job.urls, service, is_sampled=job.method == SAMPLED)


def measure(program: ProductProgram | VendorProgram, job: Job) -> Measured | None:
    """Measure while `program` runs in another thread; None if its cameras do not get under way."""
    deadline_s = time.monotonic() + _BEGIN_TIMEOUT_S
    while not program.begun():
        if time.monotonic() > deadline_s:
            return None
        time.sleep(_POLL_INTERVAL_S)
    time.sleep(job.settle_s)
    before, from_us = use_of(os.getpid()), time.time_ns() // 1000
    time.sleep(job.seconds)
    after, until_us = use_of(os.getpid()), time.time_ns() // 1000
    seconds = (until_us - from_us) / 1_000_000
    rate = program.pictures_per_s(from_us, until_us) / program.expected_pictures_per_s(job.fps)
    return Measured(
        cpu_s=after.cpu_s - before.cpu_s,
        seconds=seconds,
        camera_s=rate * seconds,
        rss_bytes=after.rss_bytes,
        threads=after.threads,
        passed_through=program.passed_through(),
    )


def main() -> int:
    fields: dict[str, Any] = json.loads(sys.argv[1])
    job = Job(**fields)
    program = program_of(job)
    found: list[Measured | None] = []

    def measure_and_stop() -> None:
        try:
            found.append(measure(program, job))
        finally:
            program.stop()

    measuring = threading.Thread(target=measure_and_stop)
    measuring.start()
    program.run()
    measuring.join()
    if not found or found[0] is None:
        print(f"{job.method}: not all of {len(job.urls)} cameras got under way", file=sys.stderr)
        return 1
    print(json.dumps(asdict(found[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
