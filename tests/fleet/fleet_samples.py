"""A small right fleet that tests break, and the environment that it needs."""

from __future__ import annotations

ENVIRONMENT = {
    "KEY": "ovs-fleet-key",
    "OTHER_KEY": "ovs-other-key",
    "PASSWORD": "p@ss:/word",
    "CUT_URL": "rtsp://viewer:2024/hunter2@10.0.0.11/a",
}

SERVICE = """\
[[service]]
name = "main"
key = { env = "KEY" }
"""
CAMERA = """\
[[camera]]
name = "gate"
url = "rtsp://10.0.0.11/a"
prompt = "Is it open?"
"""
SMALL = SERVICE + CAMERA
"""Lines 1 to 3 are the service, 4 to 7 the camera; what a test adds begins at line 8."""
