"""Watching real cameras."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping

import pytest
from check_support import PASSWORD, USER, fleet_text, meeting_server, mute_server, nobody

from overshoot_flow.errors import ConfigurationError, MediaError
from overshoot_flow_connectors.fleet import parse_fleet
from overshoot_flow_connectors.fleet_model import Fleet, FleetCamera
from overshoot_flow_pipelines.check_camera import CheckLimits, watch_camera
from overshoot_flow_pipelines.check_facts import CameraFacts
from overshoot_flow_pipelines.commands.check import check_fleet

pytestmark = pytest.mark.xdist_group("real time")

ENVIRONMENT = {"CHECK_KEY": "ovs-key", "RIGHT": PASSWORD, "WRONG": "wrong-hunter3"}
NO_SERVICE = "http://127.0.0.1:9/v0.2"


def fleet_of(cameras: Mapping[str, str]) -> Fleet:
    return parse_fleet(fleet_text(cameras, NO_SERVICE), environment=ENVIRONMENT)


def camera_at(address: str, more: str = "") -> FleetCamera:
    (camera,) = fleet_of({"it": f'"rtsp://{address}"\n{more}'}).cameras
    return camera


def watch(camera: FleetCamera, *, timeout_s: float = 10, watch_s: float = 15) -> CameraFacts:
    limits = CheckLimits(timeout_s=timeout_s, watch_s=watch_s)
    return watch_camera(camera, limits, threading.Event())


def problem_of(camera: FleetCamera, timeout_s: float = 10) -> str:
    with pytest.raises(MediaError) as caught:
        watch(camera, timeout_s=timeout_s)
    # PyAV's exceptions have the URL with its password in their text.
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_a_plain_camera(cameras: str) -> None:
    facts = watch(camera_at(f"{cameras}/gate"))
    assert (facts.codec, facts.width, facts.height) == ("h264", 320, 240)
    assert facts.fps == pytest.approx(25, rel=0.01)
    assert facts.gop_pictures == 10
    assert not facts.has_b_frames
    assert facts.clock_basis == "ntp"
    assert facts.passthrough_refusal is None


def test_b_frames_are_found(cameras: str) -> None:
    facts = watch(camera_at(f"{cameras}/roof"))
    assert facts.has_b_frames
    assert facts.passthrough_refusal == "it has B-frames"
    assert facts.fps == pytest.approx(25, rel=0.01)
    assert facts.gop_pictures == 12


def test_key_frames_that_come_in_pieces_are_whole_pictures(cameras: str) -> None:
    facts = watch(camera_at(f"{cameras}/cut"))
    assert (facts.codec, facts.width, facts.height) == ("h264", 320, 240)
    assert facts.gop_pictures == 10
    assert facts.passthrough_refusal is None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("fps = 2", "a step or a sampling plan looks at pixels"),
        ('sample = "every"', "a step or a sampling plan looks at pixels"),
        ("max_height = 120", "pictures are scaled"),
        ("freeze_timeout_s = 30", "frozen pictures are looked for"),
        ("mask = [[[0, 0], [1, 0], [0, 1]]]", "pictures are edited"),
    ],
)
def test_what_the_file_asks_for_is_decoded(cameras: str, line: str, why: str) -> None:
    camera = camera_at(f"{cameras}/gate", line)
    assert watch(camera, watch_s=0.5).passthrough_refusal == why


def test_motion_jpeg_is_decoded(cameras: str) -> None:
    facts = watch(camera_at(f"{cameras}/jpeg"))
    assert (facts.codec, facts.width, facts.height, facts.gop_pictures) == ("mjpeg", 160, 120, 1)
    assert facts.passthrough_refusal == "mjpeg is not known to be taken by the service"


def test_credentials(locked_cameras: str) -> None:
    def credentials(variable: str) -> str:
        return f'user = "{USER}"\npassword = {{ env = "{variable}" }}'

    safe = f"{locked_cameras}/safe"
    assert watch(camera_at(safe, credentials("RIGHT"))).codec == "h264"
    refused = "the camera refuses the user name or the password"
    assert problem_of(camera_at(safe, credentials("WRONG"))) == refused
    assert problem_of(camera_at(safe)) == refused


def test_what_is_not_there(cameras: str) -> None:
    assert problem_of(camera_at(f"{cameras}/cellar")) == "the camera has no stream of this path"
    with nobody() as address:
        problem = problem_of(camera_at(f"{address}/gate"))
    assert problem == "the camera cannot be read: Connection refused"


def test_what_ffmpeg_says_no_clear_word_about(cameras: str) -> None:
    problem = problem_of(camera_at(f"{cameras}/radio"))
    assert "perhaps it sends no video" in problem
    problem = problem_of(camera_at("no-such-camera.invalid/gate"))
    assert "perhaps the host's name cannot be resolved" in problem
    problem = problem_of(camera_at(f"{cameras}/gate", 'transport = "tls"'))
    assert "speaks no TLS" in problem


def test_a_mute_camera_is_given_up() -> None:
    with mute_server() as address:
        assert problem_of(camera_at(f"{address}/gate"), 0.5) == "the camera does not answer in time"


def test_a_mute_camera_keeps_nobody_who_does_not_wait_any_more() -> None:
    limits, stopping = CheckLimits(timeout_s=20), threading.Event()
    stopping.set()
    begun_s = time.monotonic()
    with mute_server() as address, pytest.raises(MediaError):
        watch_camera(camera_at(f"{address}/gate"), limits, stopping)
    assert time.monotonic() - begun_s < limits.timeout_s


def test_all_cameras_are_asked_at_once() -> None:
    count = 12
    with meeting_server(count) as address:
        fleet = fleet_of({f"c{index}": f'"rtsp://{address}/{index}"' for index in range(count)})
        check = asyncio.run(check_fleet(fleet, CheckLimits(timeout_s=10)))
    problems = {each.problem for each in check.cameras}
    assert len(check.cameras) == count
    # One that was asked alone would have waited in vain.
    assert "the camera does not answer in time" not in problems
    assert None not in problems


@pytest.mark.parametrize("limits", [{"timeout_s": 0}, {"watch_s": -1}, {"watch_s": 3601}])
def test_limits_have_limits(limits: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="must be above 0"):
        CheckLimits(**limits)
