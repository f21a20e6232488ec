"""A camera that nobody looks at for a while stays connected, costs little, and goes on at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rtsp_support import CameraServer
from rtsp_watching import TEN_PER_SECOND, Watcher

from overshoot_flow.media.sampling import SamplingPlan
from overshoot_flow.results import GapReason
from overshoot_flow_connectors.rtsp import Camera

pytestmark = pytest.mark.xdist_group("real time")

Servers = Callable[..., CameraServer]


def pause(watched: Watcher, detail: str = "no slot") -> int:
    at_us = watched.now_us
    watched.reader.pause(at_us, GapReason.SLOT, detail)
    return at_us


def for_passing_by(watched: Watcher, pictures: int) -> None:
    wanted = watched.status.pictures + pictures
    watched.until(lambda: watched.status.pictures >= wanted)


@pytest.mark.parametrize("plan", [None, TEN_PER_SECOND])
def test_a_pause_is_one_gap_that_the_next_key_frame_ends(
    camera_servers: Servers, plan: SamplingPlan | None
) -> None:
    server = camera_servers({"a": {"key_interval": 10}})
    with Watcher(Camera(url=server.url("a")), plan=plan, stall_timeout_s=1.0) as watched:
        watched.until(lambda: len(watched.pictures) >= 5)
        paused_us = pause(watched)
        assert watched.status.paused
        handed_on = watched.status.frames
        for_passing_by(watched, 40)
        assert watched.status.frames <= handed_on + 1
        assert watched.status.connected
        watched.reader.go_on()
        went_on_us, before = watched.now_us, len(watched.pictures)
        assert not watched.status.paused
        watched.until(lambda: len(watched.pictures) >= before + 5)
        assert (watched.status.attempts, watched.status.damaged) == (1, 0)
    (gap,) = watched.gaps(GapReason.SLOT)
    assert gap.start_us == pytest.approx(paused_us, abs=1_000_000)
    assert went_on_us - 1_000_000 < gap.end_us < went_on_us + 3_000_000


def test_an_outage_in_a_pause_is_an_outage_and_then_a_pause_again(camera_servers: Servers) -> None:
    server = camera_servers({"a": {}})
    with Watcher(Camera(url=server.url("a")), plan=None) as watched:
        watched.for_access_units(5)
        pause(watched)
        for_passing_by(watched, 10)
        server.kill()
        watched.until(lambda: watched.status.attempts >= 3)
        server.start()
        watched.until(lambda: watched.status.connections == 2)
        for_passing_by(watched, 10)
        assert watched.status.paused
        watched.reader.go_on()
        watched.for_access_units(5)
    reasons = [gap.reason for gap in watched.gaps() if gap.reason is not GapReason.STOPPED]
    assert reasons == [GapReason.OUTAGE, GapReason.SLOT, GapReason.OUTAGE, GapReason.SLOT]


def test_a_paused_camera_is_watched_for_stalls_and_not_for_frozen_pictures(
    camera_servers: Servers,
) -> None:
    server = camera_servers({"a": {"pattern": "black"}})
    camera = Camera(url=server.url("a"))
    with Watcher(camera, freeze_timeout_s=1.0, stall_timeout_s=1.5) as watched:
        watched.for_frames(3)
        pause(watched)
        for_passing_by(watched, 50)
        assert (watched.status.freezes, watched.status.attempts) == (0, 1)
        server.command("mute", camera="a", muted=True)
        watched.until(lambda: watched.status.stalls == 1)
    assert watched.gaps(GapReason.SLOT)
    assert watched.gaps(GapReason.STALLED)
    assert watched.gaps(GapReason.FROZEN) == []
