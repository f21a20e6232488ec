"""Runs requests → windows of v1 → a log that is truncated on resume; a test kills it."""

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
from overshoot_flow.transport_config import Inline
from overshoot_flow_connectors.kafka_clips import KafkaClipSource


def main(bootstrap: str, topic: str, base_url: str, state: str, log: str) -> None:
    """Run until the end of the topic; the key comes from the environment."""
    source = KafkaClipSource(
        bootstrap, topic, sample=FramesPerSecond(10), concurrent=2, stop_at_end=True
    )
    flow = Dataflow("clips")
    frames = op.input("requests", flow, source)
    service = Service(key=api_key(), base_url=base_url, transport=Inline())
    outcomes = infer("ask", frames, Inference(prompt="?", windows=Windows(1)), service)
    op.output("log", op.key_on("key", outcomes, lambda o: o.stream_key), LogSink(Path(log)))
    run(flow, state=state, epoch_interval=timedelta(seconds=0.2))


if __name__ == "__main__":
    main(*sys.argv[1:])
