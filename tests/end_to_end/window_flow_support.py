"""Runs of v1 and v1beta over leased streams, and which frames each window ought to have shown."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from bytewax.dataflow import Stream
from end_to_end_support import KEY, STAMPS_SCHEMA, Run, Server, run_flow

from overshoot_flow.config import Inference, Secret, Service
from overshoot_flow.flow import map_frames
from overshoot_flow.flow.items import Item
from overshoot_flow.local.running import running_server
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.local.stamp import read
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.sampling import EveryFrame
from overshoot_flow.protocol.windows import Window, WindowPlan
from overshoot_flow.results import Outcome, Result
from overshoot_flow_connectors.file import FileSource


@dataclass(frozen=True)
class WindowServer(Server):
    """The local server as a client of v1 or v1beta sees it."""

    def windows_service(self, api: str = "v1", **settings: Any) -> Service:
        return Service(key=Secret(KEY), base_url=f"{self.root}/{api}", **settings)

    def chats(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.root}/_local/chats", timeout=30) as answer:  # noqa: S310
            chats: list[dict[str, Any]] = json.load(answer)
        return chats


@contextmanager
def window_server(**knobs: Any) -> Iterator[WindowServer]:
    """Run a server with faults."""
    config = ServerConfig(keys={KEY: 1000.0}, allow_faults=True, **knobs)
    with running_server(config) as running:
        yield WindowServer(running.base_url)


def question(plan: WindowPlan, **settings: Any) -> Inference:
    return Inference(prompt="stamps?", output_schema=STAMPS_SCHEMA, windows=plan, **settings)


@dataclass
class Sampled:
    """The stamps of the frames that a source gave, by pts; where the last one ends."""

    stamps: dict[int, int] = field(default_factory=dict)
    end_us: int = 0

    def note(self, frame: Frame) -> Frame:
        size = frame.width * frame.height
        luma = np.frombuffer(frame.data, np.uint8, size).reshape(frame.height, frame.width)
        stamp = read(luma)
        assert stamp is not None
        self.stamps[frame.pts_us] = stamp
        self.end_us = max(self.end_us, frame.pts_us + frame.duration_us)
        return frame

    def ideal(self, plan: WindowPlan) -> list[tuple[int, int, list[int]]]:
        """Each window with true bounds, and the stamps that it shows, by definition."""
        held: dict[tuple[int, int], list[int]] = {}
        last_us = plan.last_start_us(self.end_us)
        for pts_us, following_us in pairwise([*sorted(self.stamps), self.end_us]):
            for window in plan.windows_of(pts_us, following_us - pts_us):
                if window.start_us <= last_us:
                    bounds = window.start_us, min(window.end_us, self.end_us)
                    held.setdefault(bounds, []).append(pts_us)
        return [
            (*bounds, [self.stamps[pts_us[n]] for n in plan.choose(Window(*bounds), pts_us)])
            for bounds, pts_us in sorted(held.items())
        ]


def run_windows(
    path: Path,
    inference: Inference,
    service: Service,
    *,
    sample: Any = None,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
) -> tuple[Run, Sampled]:
    """Run file → infer; return what came out and which frames went in."""
    sampled = Sampled()

    def noting(frames: Stream[Item]) -> Stream[Item]:
        return map_frames("note", frames, sampled.note)

    source = FileSource(path, sample=sample or EveryFrame())
    done = run_flow(
        [path], inference, service, source=source, between=noting, on_outcome=on_outcome
    )
    return done, sampled


def seen(results: list[Result]) -> list[tuple[int, int, list[int]]]:
    """Bounds and stamps of answered windows, in their order."""
    return [(r.media_start_us, r.media_end_us, r.output["stamps"]) for r in results]
