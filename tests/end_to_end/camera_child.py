"""Runs camera → infer → a log that is truncated on resume; a test kills it."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from resume_child import LogSink

from overshoot_flow.config import FrameMode, Inference, Service, api_key
from overshoot_flow.flow import infer, run
from overshoot_flow.media.reconnecting import ReconnectPlan
from overshoot_flow.media.sampling import FramesPerSecond
from overshoot_flow_connectors.rtsp import Camera, RtspSettings, RtspSource


def main(base_url: str, state: str, log: str) -> None:
    """Run until a signal comes; the camera's URL and the key come from the environment."""
    camera = Camera(url=os.environ["CAMERA_URL"], name="door")
    settings = RtspSettings(reconnect=ReconnectPlan(tiers=((1000, 0.2),)))
    flow = Dataflow("cameras")
    source = RtspSource(camera, sample=FramesPerSecond(5), settings=settings)
    frames = op.input("cameras", flow, source)
    inference = Inference(prompt="?", mode=FrameMode(interval_s=0.25))
    outcomes = infer("ask", frames, inference, Service(key=api_key(), base_url=base_url))
    op.output("log", op.key_on("key", outcomes, lambda o: o.stream_key), LogSink(Path(log)))
    run(flow, state=state, epoch_interval=timedelta(seconds=0.2))


if __name__ == "__main__":
    main(*sys.argv[1:])
