"""The program that `soak.py` watches: cameras, infer, Parquet, until SIGTERM.

Usage: soak_pipeline.py FOLDER BASE_URL KEY CAMERAS, the last a JSON object: URLs by name. At the
end it prints a JSON object: when each camera's record began and the run was told to stop, in µs of
UTC; how many frames each camera emitted; how often cameras were connected to again.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from overshoot_flow.config import FrameMode, Inference, Secret, Service
from overshoot_flow.flow import infer, run, to_arrow
from overshoot_flow.flow.live_partition import LivePartition
from overshoot_flow.flow.partition import ReaderState
from overshoot_flow.flow.stopping import STOP
from overshoot_flow.media.reconnecting import ReconnectPlan
from overshoot_flow.session.ledger import LEDGER
from overshoot_flow_connectors.parquet import ParquetSink
from overshoot_flow_connectors.rtsp import Camera, RtspSettings, RtspSource

SETTINGS = RtspSettings(
    open_timeout_s=5.0, stall_timeout_s=4.0, reconnect=ReconnectPlan(tiers=((1_000_000, 1.0),))
)


class NotingSource(RtspSource):
    """Notes when each camera's record begins, in µs of UTC."""

    begun_us: dict[str, int]

    def build_part(
        self, step_id: str, for_part: str, resume_state: ReaderState | None
    ) -> LivePartition:
        part = super().build_part(step_id, for_part, resume_state)
        self.begun_us[for_part] = time.time_ns() // 1000
        return part


def note_stop(stopped_us: list[int]) -> None:
    STOP.wait()
    stopped_us.append(time.time_ns() // 1000)


def main() -> None:
    folder, base_url, key, cameras = sys.argv[1:]
    urls: dict[str, str] = json.loads(cameras)
    source = NotingSource(
        [Camera(url=url, name=name) for name, url in urls.items()], settings=SETTINGS
    )
    source.begun_us = {}
    inference = Inference(prompt="What is there?", mode=FrameMode(interval_s=1.0))
    service = Service(
        key=Secret(key), base_url=base_url, max_streams=len(urls), connect_timeout_s=30.0
    )
    flow = Dataflow("soak")
    outcomes = infer("ask", op.input("cameras", flow, source), inference, service)
    sink = ParquetSink(Path(folder) / "out", roll_interval=timedelta(seconds=30))
    op.output("parquet", to_arrow("arrow", outcomes, inference), sink)
    stopped_us: list[int] = []
    threading.Thread(target=note_stop, args=(stopped_us,), daemon=True).start()
    run(flow, state=Path(folder) / "state")
    print(
        json.dumps(
            {
                "begun_us": source.begun_us,
                "stopped_us": stopped_us[0],
                "frames_emitted": {name: LEDGER.frames_emitted(name) for name in urls},
                "reconnects": sum(
                    max(0, status.connections - 1) for status in source.statuses().values()
                ),
            }
        )
    )


if __name__ == "__main__":
    main()
