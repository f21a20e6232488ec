"""Real cameras for the check: GStreamer's RTSP server, a port where nobody is, and a mute one."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

SERVER: Final = Path(__file__).with_name("launch_rtsp_server.py")
SYSTEM_PYTHON: Final = "/usr/bin/python3"
USER, PASSWORD = "viewer", "right:p@ss-hunter2"
"""What the locked cameras want."""
INSTALL: Final = (
    "GStreamer's RTSP server is missing: apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi "
    "gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad "
    "gstreamer1.0-plugins-ugly"
)
PROBE: Final = """
import gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
missing = [e for e in ("x264enc", "h264parse", "rtph264pay", "jpegenc", "rtpjpegpay")
           if Gst.ElementFactory.find(e) is None]
raise SystemExit(f"no {missing}" if missing else 0)
"""
PICTURES: Final = (
    "videotestsrc is-live=true pattern=ball ! "
    "video/x-raw,format=I420,width={width},height={height},framerate={fps}/1 ! "
)
H264: Final = " ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1"
_ENVIRONMENT: Final = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
"""The virtual environment's modules are not for the system's Python."""


def plain(*, width: int = 320, height: int = 240, fps: int = 25, gop: int = 10) -> str:
    pictures = PICTURES.format(width=width, height=height, fps=fps)
    return (
        f"{pictures} x264enc tune=zerolatency speed-preset=ultrafast threads=1 key-int-max={gop}"
        + H264
    )


def with_b_frames() -> str:
    pictures = PICTURES.format(width=320, height=240, fps=25)
    encoder = (
        "x264enc speed-preset=veryfast threads=1 rc-lookahead=4 key-int-max=12 bframes=2 "
        "b-adapt=false"
    )
    # Without a profile the elements agree on the baseline one, which has no B-frames.
    return f"{pictures} {encoder} ! video/x-h264,profile=main{H264}"


def motion_jpeg() -> str:
    pictures = PICTURES.format(width=160, height=120, fps=10)
    return f"{pictures} jpegenc ! rtpjpegpay name=pay0 pt=26"


def require_gstreamer() -> None:
    """Skip where the server cannot be run."""
    if not Path(SYSTEM_PYTHON).exists():
        pytest.skip(INSTALL)
    probe = subprocess.run(
        [SYSTEM_PYTHON, "-c", PROBE], capture_output=True, env=_ENVIRONMENT, check=False
    )
    if probe.returncode:
        pytest.skip(INSTALL)


@contextlib.contextmanager
def rtsp_server(mounts: Mapping[str, str], *credentials: str) -> Iterator[str]:
    """Serve pipelines by mount name; yield `host:port`."""
    process = subprocess.Popen(
        [SYSTEM_PYTHON, str(SERVER), json.dumps(mounts), *credentials],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=_ENVIRONMENT,
    )
    try:
        assert process.stdout is not None
        yield f"127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def nobody() -> Iterator[str]:
    """A port that refuses connections while the block runs."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@contextlib.contextmanager
def mute_server() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as open_:
        stopping = threading.Event()
        listening.settimeout(0.05)

        def take() -> None:
            while not stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    open_.enter_context(listening.accept()[0])

        taking = threading.Thread(target=take)
        taking.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            stopping.set()
            taking.join()


@contextlib.contextmanager
def meeting_server(count: int) -> Iterator[str]:
    """A server that is mute until `count` clients are there at once; then it sends all away."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(30)

        def meet() -> None:
            with contextlib.ExitStack() as open_, contextlib.suppress(TimeoutError):
                for _ in range(count):
                    open_.enter_context(listening.accept()[0])

        meeting = threading.Thread(target=meet)
        meeting.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            meeting.join()


def fleet_text(cameras: Mapping[str, str], base_url: str, more: str = "") -> str:
    """Write a fleet of cameras by name, each with its url and further lines."""
    lines = ["[defaults]", 'prompt = "What is there?"', "[[service]]", 'name = "main"']
    lines += [f'base_url = "{base_url}"', 'key = { env = "CHECK_KEY" }', more]
    for name, camera in cameras.items():
        lines += ["[[camera]]", f'name = "{name}"', f"url = {camera}"]
    return "\n".join(lines)
