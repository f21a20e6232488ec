"""Many cameras behind one partition of the engine, which come and go while it runs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bytewax.inputs import StatefulSourcePartition

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.items import Item, Tick
from overshoot_flow.flow.live_partition import LiveReader
from overshoot_flow.flow.partition import ReaderState
from overshoot_flow.flow.stopping import STOP
from overshoot_flow.session.ledger import LEDGER
from overshoot_flow.session.runtime import RUNTIME
from overshoot_flow.spending import Spending
from overshoot_flow_connectors.fleet_member import FleetMember, MemberState, OpenCamera
from overshoot_flow_connectors.fleet_model import Fleet
from overshoot_flow_connectors.fleet_plan import CameraPlan, camera_plans

STATE_VERSION: Final = 1
MAX_REMEMBERED: Final = 10_000
"""Cameras that are gone and would go on where they were; beyond it the oldest are forgotten."""

_AWAKE_INTERVAL: Final = timedelta(milliseconds=15)
_CLOSING_THREADS: Final = 8

_logger = logging.getLogger(__name__)


class FleetPartition(StatefulSourcePartition[Item, ReaderState]):
    """Emits what the cameras of its share of a fleet emit.

    Whenever the fleet is another object than before, cameras are begun, removed, connected to
    anew or given another question, each for itself. A camera that has ended by itself, because
    what was asked about it cannot be, begins again when its part of the file changes.

    The state is that of every camera, also of those that are gone: one that comes back goes on
    with its media time, and the time between is a gap.

    Args:
        name: Key of this partition.
        fleet: Returns the present fleet; the same object until it changes.
        owns: Whether a camera of the given name belongs to this partition.
        open_camera: Starts a camera's reader.
        spending: What all cameras of the process spend in the run; what the cameras of the state
            have spent before is added.
        state: What `snapshot` returned in the part of the run before, or None.
        on_close: Called once when the partition has closed.

    Raises:
        ConfigurationError: The state is another version's, or no fleet's.
    """

    def __init__(
        self,
        name: str,
        fleet: Callable[[], Fleet],
        *,
        owns: Callable[[str], bool],
        open_camera: OpenCamera,
        spending: Spending,
        state: ReaderState | None = None,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        # Camera names have no colon.
        self._tick_key = f"fleet:{name}"
        self._read_fleet = fleet
        self._owns = owns
        self._open_camera = open_camera
        self._on_close = on_close
        self._members: dict[str, FleetMember] = {}
        self._gone: dict[str, MemberState] = _cameras_in(state, name)
        self._spending = spending
        spending.spend(sum(each.spent_cents for each in self._gone.values()))
        self._ended_by_itself: dict[str, CameraPlan] = {}
        self._frames_of_ended: Counter[str] = Counter()
        self._closing: dict[Future[None], FleetMember] = {}
        self._closers = ThreadPoolExecutor(_CLOSING_THREADS, thread_name_prefix="camera close")
        self._epoch_has_tick = False
        self._fleet: Fleet | None = None
        self._plans: dict[str, CameraPlan] = {}
        self._follow()
        self._settle_the_unfinished()
        self._begin_missing()

    def next_batch(self) -> list[Item]:
        """Return what the cameras emit; the end comes when the run stops and all have ended."""
        self._follow()
        self._reap()
        items: list[Item] = []
        for name, member in list(self._members.items()):
            try:
                items += member.partition.next_batch()
            except StopIteration:
                self._take_leave(name, member)
        if not STOP.is_set():
            self._begin_missing()
        if self._members:
            return items
        if STOP.is_set():
            raise StopIteration
        if not self._epoch_has_tick:
            # Sinks end an epoch with what comes to them, so something must.
            self._epoch_has_tick = True
            items.append(Tick(stream_key=self._tick_key, frames_emitted=0, pieces=()))
        return items

    def _follow(self) -> None:
        """Bring the cameras that are here in line with the present fleet."""
        fleet = self._read_fleet()
        if fleet is self._fleet:
            return
        self._fleet = fleet
        self._plans = {
            name: plan
            for name, plan in camera_plans(fleet, self._spending).items()
            if self._owns(name)
        }
        for name, member in self._members.items():
            plan = self._plans.get(name)
            if plan is None:
                member.remove()
            else:
                member.change(plan)

    def _settle_the_unfinished(self) -> None:
        """What cameras that are in the file no more had not finished must become gaps too."""
        for name, gone in list(self._gone.items()):
            if name not in self._plans and gone.is_unfinished and self._fleet is not None:
                del self._gone[name]
                self._members[name] = FleetMember.without_camera(name, gone, self._fleet)

    def _begin_missing(self) -> None:
        for name, plan in self._plans.items():
            if name in self._members or self._ended_by_itself.get(name) == plan:
                continue
            if self._is_being_left(plan.address):
                # It has another name now. Cameras take few sessions, so it waits for its end.
                continue
            if self._ended_by_itself.pop(name, None) is not None:
                RUNTIME.failures.pop(name, None)
            self._members[name] = FleetMember(
                plan, self._open_camera, self._gone.pop(name, None), self._last_reader(plan.address)
            )

    def _is_being_left(self, address: tuple[object, ...]) -> bool:
        return any(each.plan.address == address for each in self._members.values())

    def _last_reader(self, address: tuple[object, ...]) -> LiveReader | None:
        """Return the reader of this address whose thread may still be about to end."""
        for member in reversed(self._closing.values()):
            if member.plan.address == address:
                return member.reader
        return None

    def _take_leave(self, name: str, member: FleetMember) -> None:
        del self._members[name]
        self._frames_of_ended[name] += LEDGER.frames_emitted(name)
        self._gone[name] = member.snapshot()
        if not member.is_removed and not STOP.is_set():
            self._ended_by_itself[name] = member.plan
            _logger.error(
                "camera %s: ended; it begins again when its part of the file changes", name
            )
        while len(self._gone) > MAX_REMEMBERED:
            forgotten = next(iter(self._gone))
            del self._gone[forgotten]
            _logger.warning("camera %s: forgotten; it would begin anew", forgotten)
        # A thread that waits for a name server ends when that answers; the others must not wait.
        self._closing[self._closers.submit(member.partition.close)] = member

    def _reap(self) -> None:
        for done in [each for each in self._closing if each.done()]:
            del self._closing[done]
            done.result()

    def readers(self) -> Mapping[str, LiveReader | None]:
        """Return the newest reader of each camera that is here; any thread may ask."""
        return {name: member.reader for name, member in list(self._members.items())}

    def frames_read(self) -> Mapping[str, int]:
        """Return how many frames each camera has emitted in this part of the run."""
        frames = Counter(self._frames_of_ended)
        for name in list(self._members):
            frames[name] += LEDGER.frames_emitted(name)
        return frames

    def next_awake(self) -> datetime:
        """Ask to be activated again shortly: frames, answers and changes come at any time."""
        return datetime.now(UTC) + _AWAKE_INTERVAL

    def snapshot(self) -> ReaderState:
        """Return the states of all cameras, of those that are gone too."""
        self._epoch_has_tick = False
        cameras = {name: gone.to_document() for name, gone in self._gone.items()}
        for name, member in self._members.items():
            cameras[name] = member.snapshot().to_document()
        return {"fleet": STATE_VERSION, "cameras": cameras}

    def close(self) -> None:
        """Stop all cameras, then wait for all; streams that are still open are deleted."""
        for member in self._members.values():
            member.stop()
        try:
            for member in self._members.values():
                member.partition.close()
            self._members.clear()
            self._closers.shutdown()
            self._reap()
        finally:
            self._on_close()


def _cameras_in(state: ReaderState | None, name: str) -> dict[str, MemberState]:
    if state is None:
        return {}
    if state.get("fleet") != STATE_VERSION:
        raise ConfigurationError(
            f"the recovery state of {name!r} is not of a fleet, or of another version of this "
            "library: finish the run with what began it, or begin anew with an empty state folder "
            "and an empty output"
        )
    documents: Mapping[str, Mapping[str, Any]] = state["cameras"]
    return {camera: MemberState.from_document(each) for camera, each in documents.items()}
