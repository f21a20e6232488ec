"""One cell of `rooms.py`, in a process of its own.

Usage: rooms_child.py CELL, a JSON object with the fields of `Cell`. Prints a JSON object.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, Self

from livekit import rtc
from process_tree import open_files, use_of

from overshoot_flow.config import FrameMode, Inference, Secret, Service
from overshoot_flow.media.frames import Frame
from overshoot_flow.protocol import v02
from overshoot_flow.timer_slack import EXACT_US, set_timer_slack
from overshoot_flow.transport import joining, livekit_publisher
from overshoot_flow.transport.http import OvershootHttp
from overshoot_flow.transport.livekit_publisher import LiveKitPublisher
from overshoot_flow.transport.rooms_left import ROOMS_LEFT

AS_IS, LOG_IN_PYTHON, HELD, AT_ONCE = "as_is", "log_in_python", "held", "at_once"
WARMING_UP_ROOMS = 15
PICTURES = 10
_PICTURE_INTERVAL_S = 0.04
_OPEN_FILES_INTERVAL_S = 0.02
_CONNECT_TIMEOUT_S = 60.0
_WIDTH, _HEIGHT = 640, 360
_QUESTION = Inference(prompt="?", mode=FrameMode(interval_s=1.0))


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is measured.

    Attributes:
        variant: One of the four.
        rooms: How many.
        seats: How many may join at the same time.
        base_url: The service.
        key: Its key.
    """

    variant: str
    rooms: int
    seats: int
    base_url: str
    key: str


class MostOpenFiles:
    """Counts the process's open files in a thread while the block runs."""

    def __init__(self) -> None:
        self.most = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_OPEN_FILES_INTERVAL_S):
            self.most = max(self.most, open_files(os.getpid()))


def change_publisher(variant: str, seats: int) -> None:
    """Take away what the publisher does about it."""
    joining.JOINS_AT_ONCE = seats  # type: ignore[misc]
    if variant == LOG_IN_PYTHON:
        livekit_publisher.keep_native_logs_out = lambda: False  # type: ignore[assignment]
    if variant == HELD:
        rtc.Room.off = lambda *_: None  # type: ignore[method-assign]
        gc.disable()


def picture(index: int) -> Frame:
    return Frame(
        stream_key="rooms",
        source="benchmark",
        pts_us=index * 40_000,
        duration_us=40_000,
        width=_WIDTH,
        height=_HEIGHT,
        data=bytes([(index * 16) % 256]) * (_WIDTH * _HEIGHT * 3 // 2),
    )


async def join(http: OvershootHttp) -> tuple[str, LiveKitPublisher]:
    """Lease a stream and join its room."""
    created = await http.create_stream(_QUESTION, v02.NativeSource())
    if created.livekit is None:
        msg = "the service gave no room"
        raise RuntimeError(msg)
    room = created.livekit
    publisher = LiveKitPublisher(room.url, room.token, connect_timeout_s=_CONNECT_TIMEOUT_S)
    await publisher.connect(picture(0))
    return created.stream_id, publisher


async def leave(http: OvershootHttp, stream_id: str, publisher: LiveKitPublisher) -> None:
    await publisher.leave()
    await http.close_stream(stream_id)


async def one_after_the_other(http: OvershootHttp, rooms: int, variant: str) -> dict[str, Any]:
    """Join, send, leave; return what a room costs after warming up."""
    rss_kib: list[float] = []
    cpu_s = 0.0
    for index in range(WARMING_UP_ROOMS + rooms):
        if index == WARMING_UP_ROOMS:
            cpu_s = use_of(os.getpid()).cpu_s
        stream_id, publisher = await join(http)
        for number in range(1, PICTURES + 1):
            await publisher.capture(picture(number))
            await asyncio.sleep(_PICTURE_INTERVAL_S)
        await leave(http, stream_id, publisher)
        if variant != HELD:
            ROOMS_LEFT.free_if_many()
        if index >= WARMING_UP_ROOMS:
            rss_kib.append(use_of(os.getpid()).rss_bytes / 1024)
    cpu_s = use_of(os.getpid()).cpu_s - cpu_s
    slope = statistics.linear_regression(range(len(rss_kib)), rss_kib).slope
    return {"cpu_s_per_room": round(cpu_s / rooms, 3), "rss_kib_per_room": round(slope)}


async def at_once(http: OvershootHttp, rooms: int) -> dict[str, Any]:
    """Join all, then leave all; return what joining took."""
    await leave(http, *await join(http))
    with MostOpenFiles() as files:
        begun_s = time.monotonic()
        joined = await asyncio.gather(*(join(http) for _ in range(rooms)))
        joining_s = time.monotonic() - begun_s
    for stream_id, publisher in joined:
        await leave(http, stream_id, publisher)
    return {"open_files_most": files.most, "joining_s": round(joining_s, 2)}


async def measure(cell: Cell) -> dict[str, Any]:
    set_timer_slack(EXACT_US)
    change_publisher(cell.variant, cell.seats)
    http = OvershootHttp(
        Service(key=Secret(cell.key), base_url=cell.base_url, max_streams=cell.rooms + 1)
    )
    try:
        if cell.variant == AT_ONCE:
            return await at_once(http, cell.rooms)
        return await one_after_the_other(http, cell.rooms, cell.variant)
    finally:
        await http.aclose()


def main() -> int:
    fields: dict[str, Any] = json.loads(sys.argv[1])
    print(json.dumps(asyncio.run(measure(Cell(**fields)))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
