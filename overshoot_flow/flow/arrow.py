"""The operator that turns outcomes into Arrow record batches."""

from __future__ import annotations

import bytewax.operators as op
from bytewax.dataflow import Stream
from bytewax.operators import KeyedStream

from overshoot_flow.config import Inference
from overshoot_flow.flow.running import RUN
from overshoot_flow.results import Heartbeat, Outcome
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.keyed_records import KeyedRecordBuilder
from overshoot_flow.schema.records import Dataset, RecordBatchOf, RecordBuilder
from overshoot_flow.schema.second_answers import SecondAnswers


def to_arrow(
    step_id: str, outcomes: Stream[Outcome | Heartbeat], inference: Inference | None = None
) -> KeyedStream[RecordBatchOf]:
    """Turn outcomes into record batches, keyed by stream key.

    A heartbeat becomes batches without rows. In a flow that `overshoot_flow.flow.run` runs there
    is one for every partition of the flow's sinks, under the keys of `heartbeat_keys`; elsewhere
    one under the stream key.

    Args:
        step_id: Unique name of this step.
        outcomes: What `infer` emits.
        inference: What was asked: its output schema types the `output` column of all results.
            None where streams are asked different questions, or the question changes: every
            result is typed by the schema that it was checked with, and its batch has the
            `schema_key` of that.

    Raises:
        UnsupportedSchemaError: The output schema has no typed column form; it names the path.
        ConfigurationError: While the flow runs: a result has another schema than `inference`.
    """
    builder = KeyedRecordBuilder() if inference is None else _declared(inference)
    # Of a dataset that has one schema in any case.
    no_rows = RecordBuilder(None, declared=False)

    def convert(batch: list[Outcome | Heartbeat]) -> list[tuple[str, RecordBatchOf]]:
        beating = dict.fromkeys(each.stream_key for each in batch if isinstance(each, Heartbeat))
        keys = RUN.heartbeat_keys or tuple(beating) if beating else ()
        said = [each for each in batch if not isinstance(each, Heartbeat)]
        return [
            *((key, no_rows.empty(Dataset.GAPS, key)) for key in keys),
            *((rows.stream_key, rows) for rows in builder.batches(said)),
        ]

    return op.flat_map_batch(step_id, outcomes, convert)


def _declared(inference: Inference) -> RecordBuilder:
    then = inference.then
    second = None if then is None else SecondAnswers(_compiled(then.inference))
    return RecordBuilder(_compiled(inference), second)


def _compiled(inference: Inference) -> OutputSchema | None:
    return None if inference.json_schema is None else OutputSchema(inference.json_schema)
