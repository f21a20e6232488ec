"""Writes rows until the disk refuses; prints the last state, the rows in it and the error."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from outcome_samples import a_result

from overshoot_flow.errors import SinkError
from overshoot_flow.schema.records import RecordBuilder
from overshoot_flow_connectors.parquet_partition import ParquetPartition
from overshoot_flow_connectors.parquet_rolling import Rolling

FILE_BYTES = 60_000


def main(directory: str) -> None:
    """Let no file grow over `FILE_BYTES`: to a writer that is a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    rolling = Rolling(rows=10**9, log_bytes=10**9, interval_s=10**9, buffer_bytes=1 << 20)
    sink = ParquetPartition(Path(directory), "w", None, rolling, lambda: 0.0)
    builder = RecordBuilder(None)
    state, rows = sink.snapshot(), 0
    try:
        while True:
            sink.write_batch(builder.batches([a_result(result_id=f"{rows:05}")]))
            state, rows = sink.snapshot(), rows + 1
    except SinkError as error:
        sys.stdout.write(json.dumps({"state": state, "rows": rows, "error": str(error)}))


if __name__ == "__main__":
    main(sys.argv[1])
