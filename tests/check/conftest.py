"""The cameras that tests of the check share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from check_support import (
    PASSWORD,
    USER,
    motion_jpeg,
    plain,
    require_gstreamer,
    rtsp_server,
    with_b_frames,
)


@pytest.fixture(scope="session")
def cameras() -> Iterator[str]:
    """Address of a server with the cameras `gate`, `yard`, `roof` and `jpeg`."""
    require_gstreamer()
    mounts = {
        "gate": plain(),
        "yard": plain(width=640, height=360, fps=10, gop=5),
        "roof": with_b_frames(),
        "jpeg": motion_jpeg(),
    }
    with rtsp_server(mounts) as address:
        yield address


@pytest.fixture(scope="session")
def locked_cameras() -> Iterator[str]:
    """Address of a server with the camera `safe`, which wants `USER` and `PASSWORD`."""
    require_gstreamer()
    with rtsp_server({"safe": plain()}, USER, PASSWORD) as address:
        yield address
