"""A whole run with a state folder. Arguments: folder, largest size of a file in bytes (0: any)."""

from __future__ import annotations

import resource
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from outcome_samples import a_result

from overshoot_flow.config import Inference
from overshoot_flow.errors import OvershootFlowError
from overshoot_flow.flow import run, to_arrow
from overshoot_flow.results import Heartbeat, Outcome
from overshoot_flow_connectors.parquet import ParquetSink

ROWS = 100
ROW_BYTES = 100_000


class Numbered(FixedPartitionedSource[Outcome | Heartbeat, int]):
    """Large results, one after the other."""

    def list_parts(self) -> list[str]:
        return ["numbered"]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> _NumberedPart:
        return _NumberedPart(resume_state or 0)


class _NumberedPart(StatefulSourcePartition[Outcome | Heartbeat, int]):
    def __init__(self, number: int) -> None:
        self.number = number

    def next_batch(self) -> list[Outcome | Heartbeat]:
        if self.number == ROWS:
            raise StopIteration
        self.number += 1
        text = f"{self.number:05}" * (ROW_BYTES // 5)
        return [a_result(result_id=f"{self.number:05}", raw_text=text)]

    def next_awake(self) -> datetime:
        return datetime.now(UTC) + timedelta(milliseconds=1)

    def snapshot(self) -> int:
        return self.number


def main(folder: Path, file_bytes: int) -> int:
    """Let no file grow over `file_bytes`: to a writer that is a full disk."""
    if file_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    flow = Dataflow("full_disk")
    outcomes = op.input("numbered", flow, Numbered())
    sink = ParquetSink(folder / "out")
    op.output("parquet", to_arrow("arrow", outcomes, Inference(prompt="?")), sink)
    try:
        run(flow, state=folder / "state", epoch_interval=timedelta(milliseconds=5))
    except OvershootFlowError as error:
        sys.stderr.write(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
