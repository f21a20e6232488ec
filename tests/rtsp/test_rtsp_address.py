"""Credentials of cameras: taken apart once, and shown nowhere."""

from __future__ import annotations

import pickle

import pytest

from overshoot_flow.config import Secret
from overshoot_flow.errors import ConfigurationError
from overshoot_flow_connectors.rtsp import Camera, RtspSource


def test_credentials_in_the_url_are_split_off() -> None:
    camera = Camera(url="rtsp://us%20er:p%40ss%2Fw%3A@cam.example:8554/live?token=hidden")
    assert camera.url == "rtsp://cam.example:8554/live"
    assert camera.name == "cam.example:8554/live"
    assert camera.user == "us er"
    assert camera.password == Secret("p@ss/w:")
    shown = f"{camera!r} {camera}"
    assert "p@ss" not in shown
    assert "p%40" not in shown
    assert "hidden" not in shown
    assert camera.secret_url().reveal() == (
        "rtsp://us%20er:p%40ss%2Fw%3A@cam.example:8554/live?token=hidden"
    )


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (
            "/user=admin&password=hidden&channel=1&stream=0.sdp",
            "/user=admin&password=***&channel=1&stream=0.sdp",
        ),
        (
            "/user=admin_password=hid_den_channel=1_stream=0.sdp",
            "/user=admin_password=***_channel=1_stream=0.sdp",
        ),
        ("/live;access_token=hidden", "/live;access_token=***"),
    ],
)
def test_a_password_that_the_path_names_is_hidden(path: str, shown: str) -> None:
    camera = Camera(url=f"rtsp://u:p@cam:554{path}?a=b")
    assert camera.url == f"rtsp://cam:554{shown}"
    assert camera.name == f"cam:554{shown}"
    assert "hid" not in repr(camera)
    assert camera.secret_url().reveal() == f"rtsp://u:p@cam:554{path}?a=b"
    other = path.replace("hid", "bid")
    assert Camera(url=f"rtsp://u:p@cam:554{other}?a=b") != camera


@pytest.mark.parametrize("path", ["/user=admin&password=&channel=1", "/monkey=1", "/a@b"])
def test_a_path_without_a_secret_is_shown(path: str) -> None:
    camera = Camera(url=f"rtsp://cam{path}")
    assert camera.url == camera.secret_url().reveal() == f"rtsp://cam{path}"


def test_credentials_beside_the_url_are_the_same_camera() -> None:
    beside = Camera(url="rtsp://cam/live", user="u", password=Secret("p"))
    assert beside == Camera(url="rtsp://u:p@cam/live")


def test_an_address_of_ipv6_keeps_its_brackets() -> None:
    assert Camera(url="rtsp://u:p@[::1]:554/a").secret_url().reveal() == "rtsp://u:p@[::1]:554/a"


@pytest.mark.parametrize(
    "camera", [{"url": "rtsps://cam/a"}, {"url": "rtsp://cam/a", "transport": "tls"}]
)
def test_tls_is_asked_for_by_scheme_or_setting(camera: dict[str, str]) -> None:
    made = Camera(**camera)  # type: ignore[arg-type]
    assert (made.url, made.transport) == ("rtsps://cam/a", "tls")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"url": "http://cam/a"}, "must be rtsp://"),
        ({"url": "rtsp:///a"}, "must be rtsp://"),
        ({"url": "rtsp://u:hidden/pass@cam/a"}, "percent-encode"),
        ({"url": "rtsp://u:2024/hidden@cam/a"}, "percent-encode"),
        ({"url": "rtsp://u:2024#hidden@cam/a"}, "percent-encode"),
        ({"url": "rtsp://u:2024?hidden@cam/a"}, "percent-encode"),
        ({"url": "rtsp://u:2024@5/hidden@cam/a"}, "percent-encode"),
        ({"url": "rtsp://cam:99999/a"}, "percent-encode"),
        ({"url": "rtsp://u:hidden@cam/a b"}, "spaces"),
        ({"url": "rtsp://u:hidden@cam/a", "user": "u"}, "give one"),
        ({"url": "rtsp://cam/a", "user": "u"}, "both"),
        ({"url": "rtsp://cam/a", "password": Secret("hidden")}, "both"),
        ({"url": f"rtsp://u:{'hidden' * 21}@cam/a"}, "too long"),
        ({"url": "rtsp://cam/a", "transport": "http"}, "transport"),
    ],
)
def test_what_cannot_work_is_refused_without_showing_secrets(
    settings: dict[str, str], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says) as refused:
        Camera(**settings)  # type: ignore[arg-type]
    assert "hidden" not in str(refused.value)


def test_a_camera_with_a_password_is_never_pickled() -> None:
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(Camera(url="rtsp://u:p@cam/a"))


def test_a_source_refuses_two_sessions_with_one_camera() -> None:
    with pytest.raises(ConfigurationError, match="same address"):
        RtspSource([Camera(url="rtsp://u:p@cam/a", name="x"), Camera(url="rtsp://cam/a", name="y")])


def test_a_source_refuses_a_name_that_is_there_twice() -> None:
    with pytest.raises(ConfigurationError, match="called 'x'"):
        RtspSource([Camera(url="rtsp://cam/a", name="x"), Camera(url="rtsp://cam/b", name="x")])


def test_a_source_without_cameras_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no camera"):
        RtspSource([])


def test_partitions_are_named_after_cameras() -> None:
    source = RtspSource(["rtsp://u:p@cam/a", Camera(url="rtsp://cam/b", name="door")])
    assert source.list_parts() == ["cam/a", "door"]
    assert source.statuses() == {}
