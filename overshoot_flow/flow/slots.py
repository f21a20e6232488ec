"""Whether the streams that a flow holds at once can starve each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource

from overshoot_flow.config import Service
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.graph import steps_of, streams_of
from overshoot_flow.flow.inference import InferStep


@dataclass(frozen=True, slots=True)
class _Asking:
    """An `infer` step and the source steps whose frames it gets."""

    step_id: str
    service: Service
    sources: frozenset[str]


def check_slots(flow: Dataflow, processes: int = 1) -> None:
    """Refuse a flow in which every stream could wait for a slot that another one holds.

    With several `infer` steps a source goes on only when all of them take its frames. When every
    source has streams for all of its steps but one, and the key has no slot left, none can go on.

    Args:
        flow: The dataflow.
        processes: How many run it together; each reads as many sources at once.

    Raises:
        ConfigurationError: That can happen; the text says what would help.
    """
    asking_by_key: dict[tuple[str, str], list[_Asking]] = defaultdict(list)
    for asking in _asking(flow):
        place = (asking.service.base_url, asking.service.key.reveal())
        asking_by_key[place].append(asking)
    for asking_with_key in asking_by_key.values():
        _check_key(flow, asking_with_key, processes)


def _check_key(flow: Dataflow, asking: list[_Asking], processes: int) -> None:
    slots = min(each.service.max_streams for each in asking)
    held_by_waiting = 0
    for step_id, at_once in _partitions_at_once(flow, processes):
        steps = sum(step_id in each.sources for each in asking)
        held_by_waiting += at_once * max(0, steps - 1)
    if held_by_waiting and held_by_waiting >= slots:
        raise ConfigurationError(
            f"the steps {', '.join(each.step_id for each in asking)} share an API key with "
            f"{slots} streams, and {held_by_waiting} can be held by sources that wait for one "
            "more: they would wait for ever. Read fewer files or cameras at once (`concurrent` of "
            "the source), give the steps keys of their own, or set `max_streams` of the service "
            "if the key may have more"
        )


def _asking(flow: Dataflow) -> Iterator[_Asking]:
    sources_of: dict[str, frozenset[str]] = {}
    for step in steps_of(flow):
        sources = frozenset[str]()
        for stream_id in streams_of(step, step.ups_names):
            sources |= sources_of.get(stream_id, frozenset())
        if hasattr(step, "source"):
            sources = frozenset({step.step_id})
        for stream_id in streams_of(step, step.dwn_names):
            sources_of[stream_id] = sources
        mapper = getattr(step, "mapper", None)
        # Whoever is assigned to while it runs lets others have its slot, so nobody starves.
        if isinstance(mapper, InferStep) and mapper.assignment is not None:
            yield _Asking(mapper.step_id, mapper.assignment.services[0], sources)


def _partitions_at_once(flow: Dataflow, processes: int) -> Iterator[tuple[str, int]]:
    for step in steps_of(flow):
        source = getattr(step, "source", None)
        if isinstance(source, FixedPartitionedSource):
            streams = len(source.list_parts()) * getattr(source, "streams_per_partition", 1)
            yield (
                step.step_id,
                min(streams, processes * getattr(source, "concurrent", streams)),
            )
