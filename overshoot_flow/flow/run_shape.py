"""What of a dataflow must stay the same between the parts of one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self, runtime_checkable

from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource
from bytewax.outputs import FixedPartitionedSink

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.graph import steps_of

_SHOWN: Final = 5
_OR_ANEW: Final = "or begin anew with an empty state folder and an empty output"


@runtime_checkable
class IdentifiedSource(Protocol):
    """A partitioned source that can tell what is behind its partition keys."""

    def identities(self) -> Mapping[str, str]:
        """Return by partition key what is read: for people, without credentials.

        A run does not go on when a key stands for something else. What may change within a run,
        such as a camera's address, is no part of it.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunShape:
    """The parts of a flow that hold recovery state, or whose names state is kept under.

    Attributes:
        flow_id: Name of the flow.
        steps: Ids of all steps.
        sources: By source step, what is read under each partition key; None where the source
            does not tell.
        sinks: Partition keys by sink step.
    """

    flow_id: str
    steps: tuple[str, ...]
    sources: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    sinks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """Return plain values for the manifest."""
        return {
            "flow_id": self.flow_id,
            "steps": list(self.steps),
            "sources": {step: dict(identities) for step, identities in self.sources.items()},
            "sinks": {step: list(keys) for step, keys in self.sinks.items()},
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read `to_document`'s values.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: These are no such values.
        """
        return cls(
            flow_id=document["flow_id"],
            steps=tuple(document["steps"]),
            sources={step: dict(keys) for step, keys in document["sources"].items()},
            sinks={step: tuple(keys) for step, keys in document["sinks"].items()},
        )

    def change_since(self, before: RunShape) -> str | None:
        """Say what makes a run that began as `before` unfit to go on as this, or None.

        What the engine does by itself: with a source's or a sink's partition gone it panics
        ("not in this worker's routing map"); with more sink partitions it goes on with keys in
        other partitions than before; a step of another name begins anew without a word, so that
        a renamed source repeats everything and a renamed sink cuts or repeats its output. Added
        source partitions begin at their beginning, which is what one wants.
        """
        if self.flow_id != before.flow_id:
            return (
                f"the flow is called {self.flow_id!r} now, it was {before.flow_id!r}: give it its "
                f"old name, {_OR_ANEW}"
            )
        return (
            _changed_steps(before.steps, self.steps)
            or self._changed_sources(before)
            or self._changed_sinks(before)
        )

    def _changed_sources(self, before: RunShape) -> str | None:
        for step_id, identities in before.sources.items():
            now = self.sources.get(step_id, {})
            gone = [f"{key} ({was})" if was else key for key, was in identities.items()]
            gone = [shown for shown, key in zip(gone, identities, strict=True) if key not in now]
            if gone:
                return (
                    f"step {step_id}: sources of the run are not there any more: {_some(gone)}. "
                    f"Bring them back (what is finished is not read again), {_OR_ANEW}"
                )
            for key, was in identities.items():
                if was and now[key] and now[key] != was:
                    return (
                        f"step {step_id}: the source {key} is {now[key]} now, it was {was}: give "
                        f"the new one a key of its own beside the old one, {_OR_ANEW}"
                    )
        return None

    def _changed_sinks(self, before: RunShape) -> str | None:
        for step_id, keys in before.sinks.items():
            now = self.sinks.get(step_id, ())
            if len(now) != len(keys):
                return (
                    f"step {step_id}: the sink has {len(now)} partitions, it had {len(keys)}: set "
                    f"it back to {len(keys)}, {_OR_ANEW}"
                )
            if set(now) != set(keys):
                return (
                    f"step {step_id}: the sink's partitions are called {_some(sorted(now))} now, "
                    f"they were {_some(sorted(keys))}: give them their old names, {_OR_ANEW}"
                )
        return None


def shape_of(flow: Dataflow) -> RunShape:
    """Derive the shape of a dataflow; asks its sources and sinks for their partitions.

    Raises:
        ConfigurationError: A source or sink names a partition twice, or identifies a partition
            that it does not have; the engine would leave one of the two out.
    """
    steps: list[str] = []
    sources: dict[str, Mapping[str, str | None]] = {}
    sinks: dict[str, tuple[str, ...]] = {}
    for step in steps_of(flow):
        steps.append(step.step_id)
        source, sink = getattr(step, "source", None), getattr(step, "sink", None)
        if isinstance(source, FixedPartitionedSource):
            keys = _distinct(step.step_id, source.list_parts())
            known = source.identities() if isinstance(source, IdentifiedSource) else {}
            sources[step.step_id] = {key: known.get(key) for key in keys}
        if isinstance(sink, FixedPartitionedSink):
            sinks[step.step_id] = _distinct(step.step_id, sink.list_parts())
    return RunShape(flow_id=flow.flow_id, steps=tuple(steps), sources=sources, sinks=sinks)


def _distinct(step_id: str, keys: list[str]) -> tuple[str, ...]:
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise ConfigurationError(
            f"step {step_id}: several partitions are called {_some(twice)}: give each a name of "
            "its own"
        )
    return tuple(keys)


def _changed_steps(before: tuple[str, ...], now: tuple[str, ...]) -> str | None:
    gone = _outermost(set(before) - set(now))
    new = _outermost(set(now) - set(before))
    if not gone and not new:
        return None
    if len(gone) == len(new) == 1:
        return f"step {gone[0]} is called {new[0]} now: give it its old name, {_OR_ANEW}"
    changes = [
        f"{verb} {_some(steps)}" for verb, steps in (("without", gone), ("with new", new)) if steps
    ]
    return f"the flow is {' and '.join(changes)} now: bring back the steps as they were, {_OR_ANEW}"


def _outermost(step_ids: set[str]) -> list[str]:
    """Leave out the steps inside of others: they came and went with these."""
    return sorted(step_id for step_id in step_ids if step_id.rpartition(".")[0] not in step_ids)


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN))
