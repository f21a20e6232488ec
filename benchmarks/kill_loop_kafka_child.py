"""A run that can be killed: numbered answers from two sources into Kafka.

Every life makes batches of other sizes and other texts, as a model would.
"""

from __future__ import annotations

import argparse
import sys
from datetime import timedelta
from pathlib import Path
from typing import Final

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from kill_loop_numbers import Numbers

from overshoot_flow.flow import run, to_arrow
from overshoot_flow_connectors.kafka import KafkaSink

EPOCH: Final = timedelta(milliseconds=200)


def main() -> int:
    """Run until all answers are written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("bootstrap")
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=20, help="largest batch of answers")
    parser.add_argument("--delivery", default="transactional")
    parser.add_argument("--partitions", type=int, default=1)
    options = parser.parse_args()
    flow = Dataflow("numbers")
    numbers = op.input("numbers", flow, Numbers(options.folder, options.records, options.batch))
    sink = KafkaSink(
        options.bootstrap,
        topic_prefix="loop-",
        delivery=options.delivery,
        partitions=options.partitions,
    )
    op.output("kafka", to_arrow("arrow", numbers), sink)
    run(flow, state=options.folder / "state", epoch_interval=EPOCH)
    return 0


if __name__ == "__main__":
    sys.exit(main())
