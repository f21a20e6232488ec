"""Cameras whose pictures are handed on as they are, and when they are decoded instead."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import av
import pytest
from rtsp_support import CameraServer
from rtsp_watching import Watcher

from overshoot_flow.media.access_units import AccessUnit
from overshoot_flow.media.annex_b import split_annex_b
from overshoot_flow.media.sampling import EveryFrame, Keyframes
from overshoot_flow.results import GapReason
from overshoot_flow_connectors.rtsp import Camera, RtspSource

pytestmark = pytest.mark.xdist_group("real time")

Servers = Callable[..., CameraServer]


def decoded(units: list[AccessUnit]) -> int:
    """Decode; how many pictures came out of it without an error."""
    decoder = av.CodecContext.create("h264", "r")
    pictures = [picture for unit in units for picture in decoder.decode(av.Packet(unit.data))]
    pictures += decoder.decode(None)
    assert not any(picture.is_corrupt for picture in pictures)
    return len(pictures)


def test_every_picture_comes_as_it_is_from_a_key_frame_on(camera_servers: Servers) -> None:
    server = camera_servers({"a": {}})
    with Watcher(Camera(url=server.url("a")), plan=None) as watched:
        watched.for_access_units(60)
        status = watched.status
    assert watched.frames == []
    assert watched.access_units[0].is_keyframe
    assert sum(unit.is_keyframe for unit in watched.access_units) >= 2
    assert decoded(watched.access_units) == len(watched.access_units)
    distances_us = [after.pts_us - at.pts_us for at, after in pairwise(watched.access_units)]
    assert max(distances_us) < 100_000
    assert {(unit.width, unit.height) for unit in watched.access_units} == {(320, 240)}
    assert next(gap.reason for gap in watched.gaps()) is GapReason.OUTAGE
    assert watched.gaps(GapReason.STALLED, GapReason.DROPPED, GapReason.DECODE) == []
    assert (status.passes_through, status.decoded_because) == (True, None)
    assert (status.codec, status.size) == ("h264", (320, 240))
    assert status.fps == pytest.approx(25, rel=0.5)
    assert status.pictures >= 60
    assert status.packets >= 60
    assert status.bytes_in >= sum(len(unit.data) for unit in watched.access_units) * 0.9


@pytest.mark.parametrize(
    ("camera", "settings", "because"),
    [
        ({"b_frames": 2}, {}, "B-frames"),
        ({"codec": "h265"}, {}, "hevc"),
        ({}, {"plan": EveryFrame()}, "looks at pixels"),
        ({}, {"plan": Keyframes()}, "looks at pixels"),
        ({}, {"max_height": 120}, "scaled"),
        ({}, {"freeze_timeout_s": 5.0}, "frozen"),
        ({}, {"edit": lambda _planes, _width, _height: None}, "edited"),
    ],
)
def test_what_makes_pictures_be_decoded(
    camera_servers: Servers, camera: dict[str, Any], settings: dict[str, Any], because: str
) -> None:
    server = camera_servers({"a": {"key_interval": 5, **camera}})
    with Watcher(Camera(url=server.url("a")), **{"plan": None, **settings}) as watched:
        watched.for_frames(10)
        assert because in (watched.status.decoded_because or "")
        assert not watched.status.passes_through
    assert watched.access_units == []


def test_a_step_that_looks_at_pixels_makes_the_source_decode() -> None:
    source = RtspSource("rtsp://127.0.0.1:9/a")
    before = source.plan
    source.decode_always()
    assert (before, source.plan) == (None, EveryFrame())
    sampled = RtspSource("rtsp://127.0.0.1:9/a", sample=Keyframes())
    sampled.decode_always()
    assert sampled.plan == Keyframes()


def test_after_an_outage_it_begins_with_a_key_frame(camera_servers: Servers) -> None:
    server = camera_servers({"a": {"key_interval": 50}})
    with Watcher(Camera(url=server.url("a")), plan=None) as watched:
        watched.for_access_units(10)
        server.kill()
        watched.until(lambda: watched.status.attempts >= 3)
        assert not watched.status.passes_through
        server.start()
        watched.for_access_units(10)
        assert watched.status.passes_through
    after = max(gap.end_us for gap in watched.gaps(GapReason.OUTAGE))
    assert next(unit for unit in watched.access_units if unit.pts_us >= after).is_keyframe


def test_a_camera_may_change_its_size_and_begin_to_reorder(camera_servers: Servers) -> None:
    server = camera_servers({"a": {}})
    with Watcher(Camera(url=server.url("a")), plan=None) as watched:
        watched.for_access_units(10)
        server.command("set", camera="a", settings={"width": 640, "height": 360})
        watched.until(lambda: watched.status.connections == 2)
        watched.for_access_units(10)
        assert watched.status.size == (640, 360)
        server.command("set", camera="a", settings={"b_frames": 2, "key_interval": 5})
        watched.for_frames(10)
        server.command("set", camera="a", settings={})
        watched.until(lambda: watched.status.connections == 4)
        watched.for_access_units(10)
    sizes = list(dict.fromkeys((unit.width, unit.height) for unit in watched.access_units))
    assert sizes == [(320, 240), (640, 360)]


def test_a_mute_camera_stalls_though_nothing_is_decoded(camera_servers: Servers) -> None:
    server = camera_servers({"a": {}})
    with Watcher(Camera(url=server.url("a")), plan=None, stall_timeout_s=1.5) as watched:
        watched.for_access_units(5)
        server.command("mute", camera="a", muted=True)
        watched.until(lambda: watched.status.stalls == 1)
        server.command("mute", camera="a", muted=False)
        watched.for_access_units(5)
    assert watched.gaps(GapReason.STALLED)


def test_time_stamps_that_jump_back_go_on_growing(camera_servers: Servers) -> None:
    server = camera_servers({"a": {}})
    with Watcher(Camera(url=server.url("a")), plan=None) as watched:
        watched.for_access_units(100)
        server.command("jump", camera="a", seconds=-3)
        watched.for_access_units(25)
        assert watched.status.clock.segments == 2
        assert watched.status.passes_through
    assert watched.status.attempts == 1
    assert decoded(watched.access_units) == len(watched.access_units)


def test_nobody_polling_costs_whole_groups_of_pictures(camera_servers: Servers) -> None:
    server = camera_servers({"a": {}})
    camera = Camera(url=server.url("a"))
    with Watcher(camera, plan=None, queue_access_units=10) as watched:
        watched.for_access_units(5)
        seen = watched.status.frames
        until_us = watched.now_us + 10_000_000
        while watched.status.frames < seen + 40 and watched.now_us < until_us:
            time.sleep(0.01)
        polled = len(watched.items)
        watched.for_access_units(30)
        assert watched.status.attempts == 1
        (dropped,) = watched.gaps(GapReason.DROPPED)
        assert dropped.frames_lost == watched.status.given_up[GapReason.DROPPED] >= 25
    after = [item for item in watched.items[polled:] if isinstance(item, AccessUnit)]
    assert after[0].is_keyframe
    assert decoded(after) == len(after)


@pytest.mark.parametrize("plan", [None, EveryFrame()])
def test_key_frames_whose_slices_come_apart_are_joined(
    camera_servers: Servers, plan: EveryFrame | None
) -> None:
    # This server repeats the parameter sets before every slice of a key frame.
    server = camera_servers({"a": {"slices": 3, "key_interval": 10}})
    with Watcher(Camera(url=server.url("a")), plan=plan) as watched:
        watched.until(lambda: len(watched.pictures) >= 45)
        assert watched.status.damaged == 0
        assert watched.status.passes_through == (plan is None)
    assert watched.gaps(GapReason.DECODE, GapReason.STALLED, GapReason.DROPPED) == []
    units = watched.access_units
    assert decoded(units) == len(units)
    slices = [
        sum(nal[0] & 31 == 5 for nal in split_annex_b(u.data)) for u in units if u.is_keyframe
    ]
    assert set(slices) <= {3}
