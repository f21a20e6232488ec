"""Cameras behind a real RTSP server that dies, freezes, goes mute, changes and jumps."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from itertools import pairwise
from urllib.parse import quote

import pytest
from rtsp_support import CameraServer
from rtsp_watching import Watcher

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.media.sampling import EveryFrame, Keyframes
from overshoot_flow.results import GapReason
from overshoot_flow_connectors.rtsp import Camera, RtspSettings

pytestmark = pytest.mark.xdist_group("real time")

Servers = Callable[..., CameraServer]


def test_frames_carry_both_times_and_reports_become_their_basis(camera_servers: Servers) -> None:
    server = camera_servers({"a": {}})
    with Watcher(Camera(url=server.url("a"))) as watched:
        watched.until(lambda: any(f.capture_basis == "ntp" for f in watched.frames))
        watched.for_frames(10)
    bases = [frame.capture_basis for frame in watched.frames]
    assert bases[0] == "arrival"
    assert bases == sorted(bases)
    for frame in watched.frames:
        assert frame.captured_at_us is not None
        assert abs(frame.captured_at_us - watched.anchor_us - frame.pts_us) < 500_000
        assert (frame.width, frame.height) == (320, 240)
        assert frame.source == server.url("a")
    assert [gap.reason for gap in watched.gaps()][:1] == [GapReason.OUTAGE]
    assert watched.status.connections == 1


def test_a_server_that_dies_is_an_outage_until_it_is_back(camera_servers: Servers) -> None:
    server = camera_servers({"a": {}})
    with Watcher(Camera(url=server.url("a"))) as watched:
        watched.for_frames(5)
        dead_from_us = watched.now_us
        server.kill()
        watched.until(lambda: watched.status.attempts >= 3)
        dead_until_us = watched.now_us
        server.start()
        watched.for_frames(5)
    _, outage = watched.gaps(GapReason.OUTAGE)
    assert outage.start_us == pytest.approx(dead_from_us, abs=1_000_000)
    assert outage.end_us > dead_until_us
    assert watched.status.connections == 2


def test_a_frozen_server_is_left_after_the_time_out(camera_servers: Servers) -> None:
    server = camera_servers({"a": {}})
    camera = Camera(url=server.url("a"))
    with Watcher(camera, stall_timeout_s=1.5, open_timeout_s=1.0) as watched:
        watched.for_frames(5)
        frozen_from_us = watched.now_us
        server.freeze()
        watched.until(lambda: watched.status.stalls == 1)
        assert watched.now_us - frozen_from_us >= 1_400_000
        watched.until(lambda: watched.status.attempts >= 3)
        server.thaw()
        watched.for_frames(5)
    stalled = watched.gaps(GapReason.STALLED)[0]
    assert stalled.start_us == pytest.approx(frozen_from_us, abs=1_000_000)
    assert watched.gaps(GapReason.OUTAGE)[-1].start_us == stalled.end_us


def test_a_mute_camera_is_connected_to_anew(camera_servers: Servers) -> None:
    server = camera_servers({"a": {}})
    with Watcher(Camera(url=server.url("a")), stall_timeout_s=1.5) as watched:
        watched.for_frames(5)
        server.command("mute", camera="a", muted=True)
        watched.until(lambda: watched.status.stalls == 1)
        server.command("mute", camera="a", muted=False)
        watched.for_frames(5)
        assert server.command("sessions")["sessions"] == 1
    stalled = watched.gaps(GapReason.STALLED)[0]
    assert stalled.end_us - stalled.start_us > 1_000_000


def test_a_short_pause_is_a_gap_and_no_reconnect(camera_servers: Servers) -> None:
    server = camera_servers({"a": {}})
    with Watcher(Camera(url=server.url("a")), stall_timeout_s=8.0) as watched:
        watched.for_frames(15)
        server.command("mute", camera="a", muted=True)
        time.sleep(1.5)  # the pause itself
        server.command("mute", camera="a", muted=False)
        watched.for_frames(5)
    (pause,) = watched.gaps(GapReason.STALLED)
    assert 1_000_000 < pause.end_us - pause.start_us < 2_500_000
    assert watched.status.attempts == 1


def test_another_codec_and_size_after_a_restart_of_the_camera(camera_servers: Servers) -> None:
    server = camera_servers({"a": {}})
    with Watcher(Camera(url=server.url("a"))) as watched:
        watched.for_frames(5)
        for settings in ({"codec": "h265", "width": 640}, {"codec": "mjpeg", "height": 480}):
            server.command("set", camera="a", settings=settings)
            watched.for_frames(5)
    sizes = list(dict.fromkeys((f.width, f.height) for f in watched.frames))
    assert sizes == [(320, 240), (640, 240), (320, 480)]
    assert watched.status.connections == 3


def test_time_stamps_that_jump_back_begin_a_segment(camera_servers: Servers) -> None:
    server = camera_servers({"a": {}})
    with Watcher(Camera(url=server.url("a"))) as watched:
        watched.for_frames(45)
        server.command("jump", camera="a", seconds=-3)
        watched.for_frames(15)
        assert watched.status.clock.segments == 2
    assert watched.status.attempts == 1
    pts = [frame.pts_us for frame in watched.frames]
    assert max(later - earlier for earlier, later in pairwise(pts)) < 500_000


def test_a_wrong_password_is_one_clear_error_and_no_storm(
    camera_servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    server = camera_servers({"a": {}}, credentials=("us er", "right/@:%"))
    camera = Camera(url=server.url("a", "us%20er:hidden-wrong@"))
    with caplog.at_level(logging.DEBUG), Watcher(camera) as watched:
        watched.until(lambda: watched.status.problem != "not connected yet")
        time.sleep(1.0)  # with the other pauses there would be five attempts
        assert watched.status.attempts == 1
    assert watched.status.problem == "the camera refuses the user name or the password"
    (error,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert error.levelno == logging.ERROR
    assert "hidden" not in caplog.text
    right = Camera(url=server.url("a", f"us%20er:{quote('right/@:%', safe='')}@"))
    with Watcher(right) as watched:
        watched.for_frames(3)


def test_a_failure_keeps_no_url_with_a_password(camera_servers: Servers) -> None:
    server = camera_servers({"a": {}})
    camera = Camera(url=server.url("not-there", "u:hidden@"))
    with Watcher(camera) as watched:
        watched.until(lambda: watched.status.attempts >= 2)
    assert "no stream of this path" in (watched.status.problem or "")
    assert "hidden" not in f"{watched.status!r} {watched.items!r}"


def test_repeated_pictures_are_frozen_when_asked_for(camera_servers: Servers) -> None:
    server = camera_servers({"a": {"pattern": "black"}})
    with Watcher(Camera(url=server.url("a")), freeze_timeout_s=1.0) as watched:
        watched.until(lambda: watched.status.freezes == 1)
        watched.until(lambda: watched.status.connections == 2)
        watched.until(lambda: watched.status.given_up.get("frozen", 0) > 0)
        server.command("set", camera="a", settings={})
        watched.for_frames(5)
    frozen = watched.gaps(GapReason.FROZEN)
    assert frozen
    assert sum(gap.frames_lost for gap in frozen) == watched.status.given_up["frozen"]
    assert watched.frames[-1].data != watched.frames[0].data


def test_nobody_polling_costs_frames_and_nothing_else(camera_servers: Servers) -> None:
    server = camera_servers({"a": {}})
    camera = Camera(url=server.url("a"))
    with Watcher(camera, plan=EveryFrame(), queue_frames=8, stall_timeout_s=1.0) as watched:
        watched.for_frames(5)
        seen = watched.status.frames
        blocked_until = time.monotonic() + 10.0
        while watched.status.frames < seen + 60 and time.monotonic() < blocked_until:
            time.sleep(0.01)
        watched.for_frames(8)
        assert watched.status.attempts == 1
    (dropped,) = watched.gaps(GapReason.DROPPED)
    assert 50 <= dropped.frames_lost <= 60
    assert dropped.frames_lost == watched.status.given_up["dropped"]


def test_key_frames_alone(camera_servers: Servers) -> None:
    server = camera_servers({"a": {"key_interval": 10}})
    with Watcher(Camera(url=server.url("a")), plan=Keyframes()) as watched:
        watched.for_frames(5)
    assert watched.status.pictures < 10
    distances = {frame.duration_us // 10_000 for frame in watched.frames[1:-1]}
    assert all(38 <= distance <= 42 for distance in distances)


def test_pictures_that_are_reordered_come_in_order(camera_servers: Servers) -> None:
    server = camera_servers({"a": {"b_frames": 2}})
    with Watcher(Camera(url=server.url("a")), plan=EveryFrame()) as watched:
        watched.for_frames(50)
    assert watched.status.damaged == 0
    assert watched.status.clock.segments == 1


def test_udp(camera_servers: Servers) -> None:
    server = camera_servers({"a": {}})
    with Watcher(Camera(url=server.url("a"), transport="udp")) as watched:
        watched.for_frames(10)
    assert watched.status.connections == 1


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigurationError, match="stall_timeout_s"):
        RtspSettings(stall_timeout_s=0)
