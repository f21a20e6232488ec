"""Runs file → windows of v1 → a log that is truncated on resume; a test kills it."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from resume_child import LogSink

from overshoot_flow.config import Inference, Service, api_key
from overshoot_flow.flow import infer, run
from overshoot_flow.media.sampling import FramesPerSecond
from overshoot_flow.protocol.windows import Windows
from overshoot_flow_connectors.file import FileSource


def main(base_url: str, state: str, log: str, video: str) -> None:
    """Run until the end; the key comes from the environment."""
    flow = Dataflow("resume")
    frames = op.input("files", flow, FileSource([video], sample=FramesPerSecond(10)))
    inference = Inference(prompt="?", windows=Windows(1, 0.5))
    outcomes = infer("ask", frames, inference, Service(key=api_key(), base_url=base_url))
    op.output("log", op.key_on("key", outcomes, lambda o: o.stream_key), LogSink(Path(log)))
    run(flow, state=state, epoch_interval=timedelta(seconds=0.2))


if __name__ == "__main__":
    main(*sys.argv[1:])
