"""The camera fixtures are the ones of `rtsp_support`."""

from __future__ import annotations

from rtsp_support import camera_servers, rtsp_available

__all__ = ["camera_servers", "rtsp_available"]
