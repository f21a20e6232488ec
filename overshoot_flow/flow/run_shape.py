"""What of a dataflow must stay the same between the parts of one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource
from bytewax.outputs import FixedPartitionedSink

_ADVICE = (
    "Go on with the flow as it was, or begin anew with an empty state folder and an empty output."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunShape:
    """The parts of a flow that hold recovery state, or whose names state is kept under.

    Attributes:
        flow_id: Name of the flow.
        steps: Ids of all steps.
        sources: Partition keys by source step.
        sinks: Partition keys by sink step.
    """

    flow_id: str
    steps: tuple[str, ...]
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sinks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """Return plain values for the manifest."""
        return {
            "flow_id": self.flow_id,
            "steps": list(self.steps),
            "sources": {step: list(keys) for step, keys in self.sources.items()},
            "sinks": {step: list(keys) for step, keys in self.sinks.items()},
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read `to_document`'s values."""
        return cls(
            flow_id=document["flow_id"],
            steps=tuple(document["steps"]),
            sources={step: tuple(keys) for step, keys in document["sources"].items()},
            sinks={step: tuple(keys) for step, keys in document["sinks"].items()},
        )

    def change_since(self, before: RunShape) -> str | None:
        """Say what makes a run that began as `before` unfit to go on as this, or None.

        The engine itself ends with an unclear error when a partition is missing, and silently
        begins anew when a step has another name. Added partitions begin at their beginning.
        """
        if self.flow_id != before.flow_id:
            return f"the flow is called {self.flow_id!r}, it was {before.flow_id!r}. {_ADVICE}"
        if set(self.steps) != set(before.steps):
            gone = sorted(set(before.steps) - set(self.steps))
            new = sorted(set(self.steps) - set(before.steps))
            return f"steps are gone: {gone}, steps are new: {new}. {_ADVICE}"
        for step_id, keys in before.sources.items():
            gone = sorted(set(keys) - set(self.sources.get(step_id, ())))
            if gone:
                return (
                    f"step {step_id}: sources of the run are not there any more: "
                    f"{', '.join(gone[:5])}{' …' if len(gone) > 5 else ''}. "  # noqa: PLR2004
                    f"Bring them back. {_ADVICE}"
                )
        for step_id, keys in before.sinks.items():
            now = self.sinks.get(step_id, ())
            if keys != now:
                return (
                    f"step {step_id}: the sink has {len(now)} partitions, it had {len(keys)}. "
                    f"{_ADVICE}"
                )
        return None


def shape_of(flow: Dataflow) -> RunShape:
    """Derive the shape of a dataflow; asks its sources and sinks for their partitions."""
    steps: list[str] = []
    sources: dict[str, tuple[str, ...]] = {}
    sinks: dict[str, tuple[str, ...]] = {}
    for step in _steps_of(flow):
        steps.append(step.step_id)
        source, sink = getattr(step, "source", None), getattr(step, "sink", None)
        if isinstance(source, FixedPartitionedSource):
            sources[step.step_id] = tuple(source.list_parts())
        if isinstance(sink, FixedPartitionedSink):
            sinks[step.step_id] = tuple(sink.list_parts())
    return RunShape(flow_id=flow.flow_id, steps=tuple(steps), sources=sources, sinks=sinks)


def _steps_of(parent: Any) -> Iterator[Any]:  # noqa: ANN401 - the engine has no common type
    for step in parent.substeps:
        yield step
        yield from _steps_of(step)
