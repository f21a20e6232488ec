"""A dataflow of two cameras for `overshoot-flow run`; addresses come from the environment."""

from __future__ import annotations

import os

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink

from overshoot_flow.config import FrameMode, Inference, Service, api_key
from overshoot_flow.flow import infer
from overshoot_flow.media.sampling import FramesPerSecond
from overshoot_flow_connectors.rtsp import Camera, RtspSource


def flow() -> Dataflow:
    """Build it."""
    cameras = [
        Camera(url=os.environ["DOOR_URL"], name="door"),
        Camera(url=os.environ["LOCKED_URL"], name="locked"),
    ]
    observed = Dataflow("observed")
    frames = op.input("cameras", observed, RtspSource(cameras, sample=FramesPerSecond(5)))
    inference = Inference(prompt="?", mode=FrameMode(interval_s=0.25))
    service = Service(key=api_key(), base_url=os.environ["BASE_URL"])
    op.output("kept", infer("ask", frames, inference, service), TestingSink([]))
    return observed
