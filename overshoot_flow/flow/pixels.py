"""Tells sources that some step looks at pixels, so that they decode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from bytewax.dataflow import Stream

from overshoot_flow.flow.items import Item


@runtime_checkable
class PassthroughSource(Protocol):
    """A source that emits access units unless it is told that pixels are wanted."""

    def decode_always(self) -> None:
        """Emit frames only. Called while the flow is built, any number of times."""
        ...


def ask_for_pixels(frames: Stream[Item]) -> None:
    """Tell every source that `frames` comes from that pixels are wanted."""
    steps = list(_steps_of(frames.flow()))
    producers = {
        stream_id: step for step in steps for stream_id in _streams_of(step, step.dwn_names)
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
        waiting.extend(_streams_of(step, step.ups_names))


def _steps_of(parent: Any) -> Iterator[Any]:  # noqa: ANN401 - the engine has no common type
    for step in parent.substeps:
        yield step
        yield from _steps_of(step)


def _streams_of(step: Any, port_names: list[str]) -> Iterator[str]:  # noqa: ANN401 - see above
    for name in port_names:
        port = getattr(step, name)
        if hasattr(port, "stream_id"):
            yield port.stream_id
        else:
            yield from port.stream_ids.values()
