"""Makes the fixtures of the end-to-end tests known."""

from __future__ import annotations

from access_unit_support import encoded
from end_to_end_support import server, video
from rtsp_support import camera_servers, rtsp_available

__all__ = ["camera_servers", "encoded", "rtsp_available", "server", "video"]
