"""Runs file → infer → a log that is truncated on resume; a test kills it. Arguments: see `main`."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from overshoot_flow.config import FrameMode, Inference, Service, api_key
from overshoot_flow.flow import infer, run
from overshoot_flow.media.sampling import FramesPerSecond
from overshoot_flow.results import Heartbeat, Outcome
from overshoot_flow_connectors.file import FileSource


class LogSink(FixedPartitionedSink[Outcome | Heartbeat, int]):
    """Appends outcomes as JSON lines; its state is the length of the log."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def list_parts(self) -> list[str]:
        return ["log"]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> _Log:
        return _Log(self.log, resume_state or 0)


class _Log(StatefulSinkPartition[Outcome | Heartbeat, int]):
    def __init__(self, log: Path, length: int) -> None:
        self.file = log.open("ab")
        self.file.truncate(length)

    def write_batch(self, values: list[Outcome | Heartbeat]) -> None:
        for said in values:
            if not isinstance(said, Heartbeat):
                line = json.dumps({"kind": type(said).__name__, **asdict(said)})
                self.file.write(line.encode() + b"\n")

    def snapshot(self) -> int:
        self.file.flush()
        os.fsync(self.file.fileno())
        return self.file.seek(0, os.SEEK_END)

    def close(self) -> None:
        self.file.close()


def main(base_url: str, state: str, log: str, workers: str, *videos: str) -> None:
    """Run until the end; the key comes from the environment."""
    flow = Dataflow("resume")
    frames = op.input("files", flow, FileSource(list(videos), sample=FramesPerSecond(10)))
    inference = Inference(prompt="?", mode=FrameMode(interval_s=0.25))
    outcomes = infer("ask", frames, inference, Service(key=api_key(), base_url=base_url))
    op.output("log", op.key_on("key", outcomes, lambda o: o.stream_key), LogSink(Path(log)))
    run(flow, state=state, workers=int(workers), epoch_interval=timedelta(seconds=0.2))


if __name__ == "__main__":
    main(*sys.argv[1:])
