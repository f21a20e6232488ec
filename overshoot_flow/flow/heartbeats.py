"""Keys under which heartbeats reach every partition of a flow's sinks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bytewax.dataflow import Dataflow
from bytewax.outputs import FixedPartitionedSink

from overshoot_flow.flow.graph import steps_of

_TRIES_PER_PARTITION: Final = 100
"""A hash that spreads evenly misses one of n partitions in 100 n tries with a chance of e^-100."""


def heartbeat_keys(flow: Dataflow) -> tuple[str, ...]:
    """Return keys that together are routed to every partition of every sink of `flow`.

    The engine routes an item by its key alone, so the keys are found by asking the sinks. A sink
    that routes by its own rule gets them as well and must know what to do with a key of this form.
    """
    keys: dict[str, None] = {}
    for step in steps_of(flow):
        sink = getattr(step, "sink", None)
        if isinstance(sink, FixedPartitionedSink):
            keys.update(dict.fromkeys(_keys_for(sink)))
    return tuple(keys)


def _keys_for(sink: FixedPartitionedSink[object, object]) -> Iterator[str]:
    partitions = len(sink.list_parts())
    reached: set[int] = set()
    for number in range(_TRIES_PER_PARTITION * partitions):
        key = f"heartbeat-{number}"
        partition = sink.part_fn(key) % partitions
        if partition not in reached:
            reached.add(partition)
            yield key
        if len(reached) == partitions:
            return
