"""Makes the fixtures of the end-to-end tests known."""

from __future__ import annotations

from access_unit_support import encoded
from end_to_end_support import server, video
from kafka_support import kafka, kafka_session, topic_prefix
from rtsp_support import camera_servers, rtsp_available
from s3_support import bucket, s3_server
from v1_fault_support import clip, v1_server

__all__ = [
    "bucket",
    "camera_servers",
    "clip",
    "encoded",
    "kafka",
    "kafka_session",
    "rtsp_available",
    "s3_server",
    "server",
    "topic_prefix",
    "v1_server",
    "video",
]
