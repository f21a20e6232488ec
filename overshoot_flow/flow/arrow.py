"""The operator that turns outcomes into Arrow record batches."""

from __future__ import annotations

import bytewax.operators as op
from bytewax.dataflow import Stream
from bytewax.operators import KeyedStream

from overshoot_flow.config import Inference
from overshoot_flow.results import Outcome
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.records import RecordBatchOf, RecordBuilder


def to_arrow(
    step_id: str, outcomes: Stream[Outcome], inference: Inference
) -> KeyedStream[RecordBatchOf]:
    """Turn outcomes into record batches of the declared schemas, keyed by stream key.

    Args:
        step_id: Unique name of this step.
        outcomes: What `infer` emits.
        inference: What was asked: its output schema types the `output` column.
    """
    schema = None if inference.output_schema is None else OutputSchema(inference.output_schema)
    builder = RecordBuilder(schema)

    def convert(batch: list[Outcome]) -> list[tuple[str, RecordBatchOf]]:
        return [(rows.stream_key, rows) for rows in builder.batches(batch)]

    return op.flat_map_batch(step_id, outcomes, convert)
