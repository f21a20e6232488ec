"""Watches one camera as the engine would, and checks that nothing is left out."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import pytest

from overshoot_flow.media.access_units import AccessUnit, Picture
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.live_queue import LiveGap
from overshoot_flow.media.live_sink import EditPicture
from overshoot_flow.media.reconnecting import ReconnectPlan
from overshoot_flow.media.sampling import FramesPerSecond, SamplingPlan
from overshoot_flow.results import GapReason
from overshoot_flow.session.clock import SteadyUtc, SystemClock
from overshoot_flow_connectors.rtsp import Camera, CameraStatus, RtspSettings
from overshoot_flow_connectors.rtsp_reader import RtspReader

QUICK = ReconnectPlan(tiers=((1000, 0.2),), longest_s=60.0)
"""Tests do not wait for the tiers; those are tested by themselves."""

TEN_PER_SECOND = FramesPerSecond(10)


class Watcher:
    """A reader, polled by the test's own thread; a context manager."""

    def __init__(
        self,
        camera: Camera,
        *,
        plan: SamplingPlan | None = TEN_PER_SECOND,
        edit: EditPicture | None = None,
        predecessor: RtspReader | None = None,
        **settings: Any,
    ) -> None:
        self.clock = SteadyUtc(SystemClock())
        self.anchor_us = self.clock.now_us()
        self.reader = RtspReader(
            camera,
            plan,
            RtspSettings(**{"reconnect": QUICK, "open_timeout_s": 5.0, **settings}),
            clock=self.clock,
            start_us=0,
            anchor_us=self.anchor_us,
            edit=edit,
            predecessor=predecessor,
        )
        self.items: list[Picture | LiveGap] = []
        self.ended_us = 0

    @property
    def now_us(self) -> int:
        return self.clock.now_us() - self.anchor_us

    @property
    def status(self) -> CameraStatus:
        return self.reader.status

    @property
    def frames(self) -> list[Frame]:
        return [item for item in self.items if isinstance(item, Frame)]

    @property
    def access_units(self) -> list[AccessUnit]:
        return [item for item in self.items if isinstance(item, AccessUnit)]

    @property
    def pictures(self) -> list[Picture]:
        return [item for item in self.items if not isinstance(item, LiveGap)]

    def gaps(self, *reasons: GapReason) -> list[LiveGap]:
        found = [item for item in self.items if isinstance(item, LiveGap)]
        return [gap for gap in found if not reasons or gap.reason in reasons]

    def poll(self) -> None:
        self.items += self.reader.poll(100, 100, self.now_us)

    def until(self, condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                pytest.fail(f"not true within {timeout_s} s; {self.status}")
            self.poll()
            time.sleep(0.01)

    def for_frames(self, count: int) -> None:
        """Watch until `count` more frames have come."""
        wanted = len(self.frames) + count
        self.until(lambda: len(self.frames) >= wanted)

    def for_access_units(self, count: int) -> None:
        wanted = len(self.access_units) + count
        self.until(lambda: len(self.access_units) >= wanted)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.ended_us = self.now_us
        self.reader.stop(self.ended_us, GapReason.STOPPED, "the test is over")
        self.reader.close()
        self.poll()
        if exception is None:
            self.check()

    def check(self) -> None:
        """Frames and gaps cover everything, without a hole; capture time grows."""
        assert self.reader.exhausted
        covered_us = 0
        for item in self.items:
            start_us = item.start_us if isinstance(item, LiveGap) else item.pts_us
            end_us = item.end_us if isinstance(item, LiveGap) else item.pts_us + item.duration_us
            assert start_us <= covered_us
            assert end_us > covered_us
            covered_us = end_us
        # The newest frame may stand for up to a sample's distance after its own moment.
        assert self.ended_us <= covered_us <= self.ended_us + 250_000
        captured = [picture.captured_at_us or 0 for picture in self.pictures]
        assert captured == sorted(set(captured))
