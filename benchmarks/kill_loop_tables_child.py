"""A run that can be killed: numbered answers into tables."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from kill_loop_numbers import Numbers

from overshoot_flow.flow import run, to_arrow
from overshoot_flow_connectors.delta import DeltaSink
from overshoot_flow_connectors.iceberg import IcebergSink, embedded_catalog
from overshoot_flow_connectors.parquet import ParquetSink
from overshoot_flow_connectors.two_phase_sink import TwoPhaseSink

ICEBERG_KINDS: Final = ("iceberg", "iceberg-rest")
KINDS: Final = (*ICEBERG_KINDS, "delta", "s3")
EPOCH: Final = timedelta(milliseconds=100)
BUCKET: Final = "kill-loop"
REST_URI: Final = "KILL_LOOP_REST_URI"
"""The variable that says where the REST catalog is."""
ROLL: Final = timedelta(milliseconds=300)


def catalog_of(kind: str, folder: Path) -> Mapping[str, str]:
    """Return the settings of the Iceberg catalog."""
    if kind == "iceberg-rest":
        return {"type": "rest", "uri": os.environ[REST_URI]}
    return embedded_catalog(folder / "tables")


def sink_of(kind: str, folder: Path, partitions: int) -> TwoPhaseSink:
    """Return the sink of that kind, with everything in the folder."""
    staging = folder / "staging"
    if kind in ICEBERG_KINDS:
        catalog = catalog_of(kind, folder)
        return IcebergSink(catalog, staging=staging, partitions=partitions, roll_interval=ROLL)
    if kind == "s3":
        url = f"s3://{BUCKET}/out"
        return ParquetSink(url, staging=staging, partitions=partitions, roll_interval=ROLL)
    return DeltaSink(folder / "tables", staging=staging, partitions=partitions, roll_interval=ROLL)


def main() -> int:
    """Run until all answers are written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--partitions", type=int, required=True)
    options = parser.parse_args()
    flow = Dataflow("numbers")
    numbers = op.input("numbers", flow, Numbers(options.folder, options.records, options.batch))
    sink = sink_of(options.kind, options.folder, options.partitions)
    op.output("tables", to_arrow("arrow", numbers), sink)
    run(flow, state=options.folder / "state", epoch_interval=EPOCH, workers=options.partitions)
    return 0


if __name__ == "__main__":
    sys.exit(main())
