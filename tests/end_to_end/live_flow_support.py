"""A live source without cameras: pictures come by the clock; the test says what is asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource
from bytewax.testing import TestingSink
from end_to_end_support import Run

from overshoot_flow.assignment import Assignment
from overshoot_flow.flow import infer, run
from overshoot_flow.flow.items import Item
from overshoot_flow.flow.live_partition import LivePartition
from overshoot_flow.flow.partition import ReaderState
from overshoot_flow.flow.stopping import STOP
from overshoot_flow.media.access_units import Picture
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.live_queue import LiveGap, LiveQueue
from overshoot_flow.results import Failure, Gap, GapReason, Outcome, Result
from overshoot_flow.session.ledger import LEDGER
from overshoot_flow.session.runtime import RUNTIME

WIDTH, HEIGHT = 320, 180
FRAME_US = 100_000


class PlayedCamera:
    """Puts a grey picture into its queue every 100 ms, unless it is silent."""

    def __init__(self, stream_key: str, start_us: int) -> None:
        self._stream_key = stream_key
        self._queue = LiveQueue(start_us, max_frames=16, max_bytes=10**8)
        self._next_us = start_us
        self.is_silent = False

    def poll(self, max_frames: int, max_gaps: int, now_us: int) -> list[Picture | LiveGap]:
        while self._next_us + FRAME_US <= now_us:
            if self.is_silent:
                self._queue.lose(self._next_us, GapReason.OUTAGE, "silent")
            else:
                self._queue.put(self._frame(self._next_us))
            self._next_us += FRAME_US
        return list(self._queue.poll(max_frames, max_gaps, now_us))

    def _frame(self, pts_us: int) -> Frame:
        luma = bytes([16 + pts_us // FRAME_US * 7 % 200]) * (WIDTH * HEIGHT)
        return Frame(
            stream_key=self._stream_key,
            source="played",
            pts_us=pts_us,
            duration_us=FRAME_US,
            width=WIDTH,
            height=HEIGHT,
            data=luma + bytes([128]) * (WIDTH * HEIGHT // 2),
        )

    def pause(self, now_us: int, reason: GapReason, detail: str) -> None:
        self._queue.pause(now_us, reason, detail)

    def go_on(self) -> None:
        self._queue.go_on()

    def stop(self, now_us: int, reason: GapReason, detail: str) -> None:
        self._queue.end(now_us, reason, detail)

    @property
    def exhausted(self) -> bool:
        return self._queue.exhausted

    def close(self) -> None:
        """Nothing is open."""


class PlayedCameras(FixedPartitionedSource[Item, ReaderState]):
    """One partition per camera; each is assigned to before it begins."""

    def __init__(
        self, assignments: dict[str, Assignment], camera: type[PlayedCamera] = PlayedCamera
    ) -> None:
        self._camera = camera
        self._assignments = assignments
        self.partitions: dict[str, LivePartition] = {}
        self.cameras: dict[str, PlayedCamera] = {}

    def list_parts(self) -> list[str]:
        return list(self._assignments)

    def build_part(
        self, step_id: str, for_part: str, resume_state: ReaderState | None
    ) -> LivePartition:
        def open_reader(start_us: int, _anchor_us: int) -> PlayedCamera:
            self.cameras[for_part] = self._camera(for_part, start_us)
            return self.cameras[for_part]

        partition = LivePartition(for_part, "played", open_reader, state=resume_state)
        partition.assign(self._assignments[for_part])
        self.partitions[for_part] = partition
        return partition


class Watched(Run):
    """A run that another thread watches."""

    def of(self, stream_key: str) -> list[Result]:
        return [result for result in self.results if result.stream_key == stream_key]

    def gaps_of(self, stream_key: str, reason: GapReason) -> list[Gap]:
        return [g for g in self.gaps if (g.stream_key, g.reason) == (stream_key, reason)]

    def holes(self, stream_key: str) -> list[tuple[int, int]]:
        """Stretches of a stream that no outcome accounts for."""
        spans = []
        for each in self.outcomes:
            if each.stream_key != stream_key:
                continue
            if isinstance(each, Gap):
                spans.append((each.media_start_us, each.media_end_us))
            elif isinstance(each, Result | Failure) and each.settled_start_us is not None:
                assert each.settled_end_us is not None
                spans.append((each.settled_start_us, each.settled_end_us))
        covered_us, found = 0, []
        for start_us, end_us in sorted(spans):
            if start_us > covered_us:
                found.append((covered_us, start_us))
            covered_us = max(covered_us, end_us)
        return found


def until(condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it never came"
        time.sleep(0.02)


@contextmanager
def watching(source: PlayedCameras) -> Iterator[Watched]:
    """Run source → infer in this thread's stead while the test looks; leaving stops the run."""
    done = Watched()
    RUNTIME.failures.clear()
    flow = Dataflow("live")
    outcomes = infer("ask", op.input("cameras", flow, source))

    def collect(_step_id: str, outcome: Outcome) -> None:
        done.outcomes.append(outcome)

    op.output("kept", op.inspect("collect", outcomes, collect), TestingSink([]))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, flow, epoch_interval=timedelta(seconds=0.2))
        try:
            yield done
        finally:
            STOP.set()
            running.result()
    done.frames_emitted = sum(map(LEDGER.frames_emitted, source.list_parts()))
    assert done.frames_settled == done.frames_emitted
    for stream_key in source.list_parts():
        assert done.holes(stream_key) == []
