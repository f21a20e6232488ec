"""The cameras that tests of the check share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from check_support import PASSWORD, USER
from rtsp_support import CameraServer, rtsp_available

__all__ = ["cameras", "locked_cameras", "rtsp_available"]


@pytest.fixture(scope="session")
def cameras(
    rtsp_available: None,  # noqa: ARG001 - a fixture asks for another one by name
) -> Iterator[str]:
    """Address of a server with the cameras `gate`, `yard`, `roof`, `cut`, `radio` and `jpeg`."""
    server = CameraServer(
        {
            "gate": {"key_interval": 10},
            "yard": {"width": 640, "height": 360, "fps": 10, "key_interval": 5},
            "roof": {"key_interval": 12, "b_frames": 2},
            # Its payloader repeats the parameter sets before each of them.
            "cut": {"key_interval": 10, "slices": 4},
            "radio": {"codec": "audio"},
            "jpeg": {"codec": "mjpeg", "width": 160, "height": 120, "fps": 10},
        }
    )
    yield f"127.0.0.1:{server.port}"
    server.kill()


@pytest.fixture(scope="session")
def locked_cameras(
    rtsp_available: None,  # noqa: ARG001 - a fixture asks for another one by name
) -> Iterator[str]:
    """Address of a server with the camera `safe`, which wants `USER` and `PASSWORD`."""
    server = CameraServer({"safe": {"key_interval": 10}}, (USER, PASSWORD))
    yield f"127.0.0.1:{server.port}"
    server.kill()
