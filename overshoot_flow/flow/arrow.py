"""The operator that turns outcomes into Arrow record batches."""

from __future__ import annotations

import bytewax.operators as op
from bytewax.dataflow import Stream
from bytewax.operators import KeyedStream

from overshoot_flow.config import Inference
from overshoot_flow.flow.running import RUN
from overshoot_flow.results import Heartbeat, Outcome
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.records import Dataset, RecordBatchOf, RecordBuilder


def to_arrow(
    step_id: str, outcomes: Stream[Outcome | Heartbeat], inference: Inference
) -> KeyedStream[RecordBatchOf]:
    """Turn outcomes into record batches of the declared schemas, keyed by stream key.

    A heartbeat becomes batches without rows. In a flow that `overshoot_flow.flow.run` runs there
    is one for every partition of the flow's sinks, under the keys of `heartbeat_keys`; elsewhere
    one under the stream key.

    Args:
        step_id: Unique name of this step.
        outcomes: What `infer` emits.
        inference: What was asked: its output schema types the `output` column.
    """
    schema = None if inference.output_schema is None else OutputSchema(inference.output_schema)
    builder = RecordBuilder(schema)

    def convert(batch: list[Outcome | Heartbeat]) -> list[tuple[str, RecordBatchOf]]:
        beating = dict.fromkeys(each.stream_key for each in batch if isinstance(each, Heartbeat))
        keys = RUN.heartbeat_keys or tuple(beating) if beating else ()
        said = [each for each in batch if not isinstance(each, Heartbeat)]
        return [
            *((key, builder.empty(Dataset.RESULTS, key)) for key in keys),
            *((rows.stream_key, rows) for rows in builder.batches(said)),
        ]

    return op.flat_map_batch(step_id, outcomes, convert)
