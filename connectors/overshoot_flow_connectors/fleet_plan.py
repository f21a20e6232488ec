"""What a fleet file means for each of its cameras: pure decisions, without a clock or a disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from overshoot_flow.assignment import Assignment
from overshoot_flow.spending import RunBudget, Spending
from overshoot_flow_connectors.fleet_changes import FleetChanges
from overshoot_flow_connectors.fleet_model import Fleet, FleetCamera


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraPlan:
    """One camera and everything that is asked about it.

    Attributes:
        camera: The camera, as the file has it.
        assignment: What is asked, where, and on what terms.
    """

    camera: FleetCamera
    assignment: Assignment

    @property
    def address(self) -> tuple[object, ...]:
        """What no two cameras have in common."""
        return (self.camera.address.url, self.camera.address.query)

    def reads_like(self, other: CameraPlan) -> bool:
        """Whether the same reader serves both plans."""
        return self._reading() == other._reading()

    def _reading(self) -> tuple[object, ...]:
        camera = self.camera
        return (
            camera.address,
            camera.sample,
            camera.max_height,
            camera.freeze_timeout_s,
            camera.mask,
        )


def camera_plans(fleet: Fleet, spending: Spending) -> dict[str, CameraPlan]:
    """Return the plan of every camera by its name, in the file's order.

    Args:
        fleet: The fleet.
        spending: What all cameras spend together, for the budget of the run.
    """
    budget = None if fleet.budget_cents is None else RunBudget(fleet.budget_cents, spending)
    by_name = {each.name: each.service for each in fleet.services}
    every = tuple(by_name.values())
    return {
        camera.name: CameraPlan(
            camera=camera,
            assignment=Assignment(
                inference=camera.inference,
                services=every if camera.service is None else (by_name[camera.service],),
                priority=camera.priority,
                dwell_s=fleet.dwell_s,
                budget_cents=camera.budget_cents,
                run_budget=budget,
                labels=camera.labels,
            ),
        )
        for camera in fleet.cameras
    }


def partition_of(camera_name: str, partitions: int) -> int:
    """Return which of the partitions a camera belongs to: in every process and run the same."""
    digest = hashlib.sha256(camera_name.encode()).digest()
    return int.from_bytes(digest[:8]) % partitions


def without_slot(fleet: Fleet) -> tuple[str, ...]:
    """Return the cameras that find no free stream when all are connected, last ones first to wait.

    Cameras of a higher priority take their streams first, among equals those that come first in
    the file.
    """
    free = {each.name: each.service.max_streams for each in fleet.services}
    waiting: list[str] = []
    # Who may be asked anywhere must not take the place of one who may not.
    for camera in sorted(fleet.cameras, key=lambda each: (-each.priority, each.service is None)):
        places = list(free) if camera.service is None else [camera.service]
        place = next((name for name in places if free[name] > 0), None)
        if place is None:
            waiting.append(camera.name)
        else:
            free[place] -= 1
    return tuple(waiting)


def told(changes: FleetChanges) -> str:
    """Say in one line what a reload changes."""
    return "; ".join(_parts(changes))


def _parts(changes: FleetChanges) -> Iterator[str]:
    names: Mapping[str, list[str]] = {
        "new cameras": [each.name for each in changes.added],
        "cameras removed": [each.name for each in changes.removed],
        "new services": [each.name for each in changes.services_added],
        "services removed": [each.name for each in changes.services_removed],
        "services changed": [each.name for each in changes.services_changed],
    }
    for what, found in names.items():
        if found:
            yield f"{what}: {', '.join(found)}"
    for change in changes.changed:
        yield f"{change.before.name}: {', '.join(sorted(change.changes))}"
    if changes.budget:
        yield "the budget of the run"
    if changes.dwell:
        yield "dwell_s"
