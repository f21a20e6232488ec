"""Several cameras in one flow, one of them dead; and thousands of attempts leave nothing behind."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink
from rtsp_support import CameraServer, free_port

from overshoot_flow.flow import run
from overshoot_flow.flow.items import Item, MediaGap
from overshoot_flow.flow.stopping import STOP
from overshoot_flow.media.access_units import AccessUnit
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.sampling import FramesPerSecond
from overshoot_flow.results import GapReason
from overshoot_flow_connectors.rtsp import Camera, RtspSettings, RtspSource

pytestmark = pytest.mark.xdist_group("real time")

FPS = 5
CAMERA_FPS = 10
SECONDS = 4


class SilentListener:
    """Accepts connections and never answers; the slowest kind of a dead camera."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    def close(self) -> None:
        self._socket.close()


def camera_threads() -> int:
    return sum(thread.name.startswith("camera ") for thread in threading.enumerate())


@pytest.mark.parametrize(("sample", "fps"), [(FramesPerSecond(FPS), FPS), (None, CAMERA_FPS)])
def test_a_dead_camera_holds_up_none_of_the_others(
    camera_servers: Callable[..., CameraServer], sample: FramesPerSecond | None, fps: int
) -> None:
    names = [f"cam{number}" for number in range(7)]
    server = camera_servers(
        {name: {"width": 160, "height": 120, "fps": CAMERA_FPS} for name in names}
    )
    silent = SilentListener()
    cameras = [Camera(url=f"rtsp://127.0.0.1:{silent.port}/dead", name="dead")]
    cameras += [Camera(url=server.url(name), name=name) for name in names]
    source = RtspSource(cameras, sample=sample, settings=RtspSettings(open_timeout_s=1.0))
    begun_s = time.monotonic()
    items: list[Item] = []
    threads_while_running: list[int] = []

    def collect(_step_id: str, item: Item) -> None:
        items.append(item)
        if time.monotonic() - begun_s > SECONDS:
            threads_while_running.append(camera_threads())
            STOP.set()

    flow = Dataflow("fleet")
    seen = op.inspect("collect", op.input("cameras", flow, source), collect)
    op.output("kept", seen, TestingSink([]))
    run(flow)
    assert camera_threads() == 0
    assert threads_while_running[0] == len(cameras)

    for name in names:
        frames = [
            item
            for item in items
            if isinstance(item, Frame | AccessUnit) and item.stream_key == name
        ]
        assert {type(item) for item in frames} == {AccessUnit if sample is None else Frame}
        watched_s = (frames[-1].pts_us - frames[0].pts_us) / 1e6
        assert frames[0].pts_us < 2_000_000
        assert len(frames) - 1 == pytest.approx(watched_s * fps, rel=0.01, abs=0.5)
    dead = [item for item in items if item.stream_key == "dead"]
    assert not any(isinstance(item, Frame | AccessUnit) for item in dead)
    (gap,) = [item for item in dead if isinstance(item, MediaGap)]
    assert gap.reason is GapReason.OUTAGE
    assert gap.start_us == 0
    assert gap.end_us > SECONDS * 0.9e6
    silent.close()


def test_attempts_leave_no_threads_files_or_memory_behind() -> None:
    # Nobody listens there: an attempt costs a millisecond.
    url = f"rtsp://u:p@127.0.0.1:{free_port()}/a"
    command = [sys.executable, str(Path(__file__).with_name("attempts_child.py")), url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    added = json.loads(done.stdout)
    assert added["threads"] == 0
    assert added["files"] <= 1
    assert added["resident_kib"] < 2048
    assert added["gaps"] == [GapReason.OUTAGE]
