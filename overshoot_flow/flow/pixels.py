"""Tells sources that some step looks at pixels, so that they decode."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from bytewax.dataflow import Stream

from overshoot_flow.flow.graph import steps_of, streams_of
from overshoot_flow.flow.items import Item


@runtime_checkable
class PassthroughSource(Protocol):
    """A source that emits access units unless it is told that pixels are wanted."""

    def decode_always(self) -> None:
        """Emit frames only. Called while the flow is built, any number of times."""
        ...


def ask_for_pixels(frames: Stream[Item]) -> None:
    """Tell every source that `frames` comes from that pixels are wanted."""
    steps = list(steps_of(frames.flow()))
    producers = {
        stream_id: step for step in steps for stream_id in streams_of(step, step.dwn_names)
    }
    # A step and its substeps give out the same stream: whichever stands here leads upstream.
    waiting, seen = [frames.stream_id], set[str]()
    while waiting:
        stream_id = waiting.pop()
        step = producers.get(stream_id)
        if step is None or stream_id in seen:
            continue
        seen.add(stream_id)
        source = getattr(step, "source", None)
        if isinstance(source, PassthroughSource):
            source.decode_always()
        waiting.extend(streams_of(step, step.ups_names))
