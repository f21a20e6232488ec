"""Connects in vain thousands of times in its own process; prints what the later times added."""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from pathlib import Path

from rtsp_watching import Watcher

from overshoot_flow.media.reconnecting import ReconnectPlan
from overshoot_flow_connectors.rtsp import Camera

WARM_ATTEMPTS = 200
ATTEMPTS = 2200


def use() -> dict[str, int]:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "threads": threading.active_count(),
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "resident_kib": pages * os.sysconf("SC_PAGE_SIZE") // 1024,
    }


def main(url: str) -> None:
    plan = ReconnectPlan(tiers=((10**6, 0.0001),))
    with Watcher(Camera(url=url), reconnect=plan) as watched:
        watched.until(lambda: watched.status.attempts > WARM_ATTEMPTS)
        before = use()
        watched.until(lambda: watched.status.attempts > ATTEMPTS)
        added = {name: count - before[name] for name, count in use().items()}
    print(json.dumps(added | {"gaps": [gap.reason.value for gap in watched.gaps()]}))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
