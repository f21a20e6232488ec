"""Walking over the steps and streams of a dataflow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bytewax.dataflow import MultiPort


def steps_of(parent: Any) -> Iterator[Any]:  # noqa: ANN401 - the engine has no common type
    """Yield all steps of a dataflow, those inside of others too."""
    for step in parent.substeps:
        yield step
        yield from steps_of(step)


def streams_of(step: Any, port_names: Sequence[str]) -> Iterator[str]:  # noqa: ANN401 - see above
    """Yield the ids of the streams at some of a step's ports: `ups_names` or `dwn_names`."""
    for name in port_names:
        port = getattr(step, name)
        if isinstance(port, MultiPort):
            yield from port.stream_ids.values()
        else:
            yield port.stream_id
