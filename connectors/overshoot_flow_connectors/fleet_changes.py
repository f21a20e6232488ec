"""What changed between two fleets, as a pure function: the plan of a live reload."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Protocol, TypeVar

from overshoot_flow_connectors.fleet_model import Fleet, FleetCamera, FleetService


class Change(StrEnum):
    """What differs in a camera that is in both fleets under one name."""

    ADDRESS = "address"
    """It was re-pointed: URL, credentials or transport."""
    PROMPT = "prompt"
    SCHEMA = "schema"
    MODEL = "model"
    WINDOWS = "windows"
    """Mode, lengths and intervals, or the cap of an answer's length."""
    SERVICE = "service"
    """Which service is asked, or that service's URL or key."""
    SAMPLE = "sample"
    """Which pictures are looked at, their size, and when a camera counts as frozen."""
    LABELS = "labels"
    PRIORITY = "priority"
    MASK = "mask"
    BUDGET = "budget"


_NEEDS_NEW_STREAM: Final = frozenset({Change.SCHEMA, Change.MODEL, Change.WINDOWS, Change.SERVICE})


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraChange:
    """One camera before and after.

    Attributes:
        before: As it was.
        after: As it is to be; its name is the same.
        changes: What differs; not empty.
    """

    before: FleetCamera
    after: FleetCamera
    changes: frozenset[Change]

    @property
    def needs_reconnect(self) -> bool:
        """Whether the connection with the camera must be made anew."""
        return Change.ADDRESS in self.changes

    @property
    def needs_new_stream(self) -> bool:
        """Whether the service fixes what changed when a stream is created."""
        return bool(self.changes & _NEEDS_NEW_STREAM)

    @property
    def needs_prompt_update(self) -> bool:
        """Whether the running stream can be told the new prompt, without a gap."""
        return Change.PROMPT in self.changes and not self.needs_new_stream


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetChanges:
    """Everything that differs between two fleets, in the newer one's order.

    Attributes:
        added: Cameras that are new.
        removed: Cameras that are gone, as they were.
        changed: Cameras that are in both and differ.
        services_added: Services that are new.
        services_removed: Services that are gone, as they were.
        services_changed: Services that differ, as they are to be.
        sinks: Whether the sinks differ.
        budget: Whether the budget of the run differs.
        dwell: Whether the time differs that a camera keeps its slot.
        metrics: Whether the place differs at which metrics are served.
    """

    added: tuple[FleetCamera, ...] = ()
    removed: tuple[FleetCamera, ...] = ()
    changed: tuple[CameraChange, ...] = ()
    services_added: tuple[FleetService, ...] = ()
    services_removed: tuple[FleetService, ...] = ()
    services_changed: tuple[FleetService, ...] = ()
    sinks: bool = False
    budget: bool = False
    dwell: bool = False
    metrics: bool = False

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return self != FleetChanges()


def compare(before: Fleet, after: Fleet) -> FleetChanges:
    """Say what must be done to turn `before` into `after`.

    Cameras and services are the same if their names are. Their order in the file means nothing.
    """
    old, new = _by_name(before.cameras), _by_name(after.cameras)
    old_services, new_services = _by_name(before.services), _by_name(after.services)
    changes = [
        CameraChange(before=old[name], after=camera, changes=kinds)
        for name, camera in new.items()
        if name in old
        and (kinds := frozenset(_differences(old[name], camera, old_services, new_services)))
    ]
    return FleetChanges(
        added=_missing_in(old, after.cameras),
        removed=_missing_in(new, before.cameras),
        changed=tuple(changes),
        services_added=_missing_in(old_services, after.services),
        services_removed=_missing_in(new_services, before.services),
        services_changed=tuple(
            service
            for name, service in new_services.items()
            if name in old_services and old_services[name] != service
        ),
        sinks=before.sinks != after.sinks,
        budget=before.budget_cents != after.budget_cents,
        dwell=before.dwell_s != after.dwell_s,
        metrics=before.metrics_listen != after.metrics_listen,
    )


def _differences(
    old: FleetCamera,
    new: FleetCamera,
    old_services: Mapping[str, FleetService],
    new_services: Mapping[str, FleetService],
) -> Iterator[Change]:
    asked, asks = old.inference, new.inference
    pairs = {
        Change.ADDRESS: (old.address, new.address),
        Change.PROMPT: (asked.prompt, asks.prompt),
        Change.SCHEMA: (
            (asked.output_schema, asked.repair),
            (asks.output_schema, asks.repair),
        ),
        Change.MODEL: ((asked.model, asked.backend), (asks.model, asks.backend)),
        Change.WINDOWS: (
            (asked.mode, asked.max_output_tokens),
            (asks.mode, asks.max_output_tokens),
        ),
        Change.SERVICE: (_asked_at(old, old_services), _asked_at(new, new_services)),
        Change.SAMPLE: (
            (old.sample, old.max_height, old.freeze_timeout_s),
            (new.sample, new.max_height, new.freeze_timeout_s),
        ),
        Change.LABELS: (old.labels, new.labels),
        Change.PRIORITY: (old.priority, new.priority),
        Change.MASK: (old.mask, new.mask),
        Change.BUDGET: (old.budget_cents, new.budget_cents),
    }
    return (change for change, (was, becomes) in pairs.items() if was != becomes)


def _asked_at(camera: FleetCamera, services: Mapping[str, FleetService]) -> object:
    """Return what a camera's stream depends on: not how many other streams the key may have."""
    if camera.service is None:
        return None
    named = services[camera.service]
    return replace(named, service=replace(named.service, max_streams=1))


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_NamedT = TypeVar("_NamedT", bound=_Named)


def _by_name(each: Sequence[_NamedT]) -> dict[str, _NamedT]:
    return {one.name: one for one in each}


def _missing_in(known: Mapping[str, object], each: Sequence[_NamedT]) -> tuple[_NamedT, ...]:
    return tuple(one for one in each if one.name not in known)
