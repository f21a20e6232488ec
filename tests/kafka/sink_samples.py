"""Partitions of a `KafkaSink` as the engine makes them, and what to give them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from outcome_samples import a_result

from overshoot_flow.results import Outcome
from overshoot_flow.schema.records import RecordBatchOf, RecordBuilder
from overshoot_flow_connectors.kafka import KafkaSink


def a_part(sink: KafkaSink, state: Any = None) -> Any:
    return sink.build_part("flow.kafka", "part-0000", state)


def batches(outcomes: Iterable[Outcome]) -> list[RecordBatchOf]:
    return RecordBuilder(None).batches(outcomes)


def results(*numbers: int) -> list[RecordBatchOf]:
    return batches(a_result(result_id=str(number)) for number in numbers)
