"""One camera of a fleet while it runs: its partition, its readers, and its state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from overshoot_flow.assignment import Assignment
from overshoot_flow.config import Inference
from overshoot_flow.flow.live_partition import LivePartition, LiveReader, OpenReader
from overshoot_flow.flow.partition import ReaderState
from overshoot_flow.flow.unfinished import unfinished
from overshoot_flow.media.access_units import Picture
from overshoot_flow.media.live_queue import LiveGap
from overshoot_flow.results import GapReason
from overshoot_flow.session.clock import SteadyUtc, SystemClock
from overshoot_flow.session.position import Position
from overshoot_flow_connectors.fleet_model import Fleet, FleetCamera
from overshoot_flow_connectors.fleet_plan import CameraPlan
from overshoot_flow_connectors.rtsp_address import Camera

_REMOVED = "the camera was taken out of the fleet file"


class OpenCamera(Protocol):
    """Starts the reader of a camera; it must not wait for the camera."""

    def __call__(
        self,
        camera: FleetCamera,
        predecessor: LiveReader | None,
        *,
        clock: SteadyUtc,
        start_us: int,
        anchor_us: int,
        first_gap: GapReason,
    ) -> LiveReader:
        """Start it.

        Args:
            camera: The camera, and how it is watched.
            predecessor: The reader before, which has ended its record; the new one closes it.
            clock: The partition's clock.
            start_us: Media time at which the record begins, in µs.
            anchor_us: UTC in µs at media time 0.
            first_gap: Why there is no picture before the camera was tried.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberState:
    """A camera's part of the recovery state.

    Attributes:
        source: The camera as people read it, without credentials.
        partition: The state of its `LivePartition`.
    """

    source: str
    partition: ReaderState

    @property
    def spent_cents(self) -> float:
        """What was spent on the camera in this run."""
        spent_cents: float = self.partition["spent_cents"]
        return spent_cents

    @property
    def is_unfinished(self) -> bool:
        """Whether there is time before the camera's end that no row accounts for."""
        end = self.partition["end"]
        if end is None:
            return True
        positions = [Position.from_state(each) for each in self.partition["steps"].values()]
        return bool(unfinished(positions, end[0], None))

    def to_document(self) -> dict[str, Any]:
        """Return plain values for the recovery store."""
        return {"source": self.source, "partition": self.partition}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read `to_document`'s values."""
        return cls(source=document["source"], partition=document["partition"])


class FleetMember:
    """A camera that is watched.

    Args:
        plan: The camera and what is asked about it.
        open_camera: Starts its readers.
        state: What is known from before, or None.
        predecessor: A reader of the same address whose thread may not have ended yet, or None.

    Attributes:
        plan: The newest plan.
        reader: The newest reader, or None before the first one.
        partition: Emits its items.
        is_removed: Whether it was taken out of the fleet.

    Raises:
        ConfigurationError: The state is another version's.
    """

    def __init__(
        self,
        plan: CameraPlan,
        open_camera: OpenCamera,
        state: MemberState | None = None,
        predecessor: LiveReader | None = None,
    ) -> None:
        self.plan = plan
        self.is_removed = False
        self._open_camera = open_camera
        self._clock = SteadyUtc(SystemClock())
        self.reader = predecessor
        self.partition = LivePartition(
            plan.camera.name,
            plan.camera.address.url,
            self._opener(plan.camera, GapReason.OUTAGE),
            clock=self._clock,
            state=None if state is None else state.partition,
        )
        self.partition.assign(plan.assignment)

    @classmethod
    def without_camera(cls, name: str, state: MemberState, fleet: Fleet) -> Self:
        """Return a member that records what a camera had not finished that is not in the fleet."""
        # Nothing is ever asked about it, but whoever records its gaps must be told something.
        question = Inference(prompt="Nothing is asked: the camera is not in the fleet any more.")
        services = tuple(each.service for each in fleet.services)
        plan = CameraPlan(
            camera=FleetCamera(
                name=name, address=Camera(url=state.source, name=name), inference=question
            ),
            assignment=Assignment(inference=question, services=services),
        )
        member = cls(plan, _open_nothing, state)
        member.remove()
        return member

    def _opener(self, camera: FleetCamera, first_gap: GapReason) -> OpenReader:
        def open_reader(start_us: int, anchor_us: int) -> LiveReader:
            self.reader = self._open_camera(
                camera,
                self.reader,
                clock=self._clock,
                start_us=start_us,
                anchor_us=anchor_us,
                first_gap=first_gap,
            )
            return self.reader

        return open_reader

    def change(self, plan: CameraPlan) -> None:
        """From now on `plan` holds; nothing is done that need not be done for it."""
        if self.is_removed:
            # It ends, and the partition begins it again.
            return
        if not plan.reads_like(self.plan):
            self.partition.replace_reader(
                plan.camera.address.url, self._opener(plan.camera, GapReason.CHANGED)
            )
        if plan.assignment != self.plan.assignment:
            self.partition.assign(plan.assignment)
        self.plan = plan

    def remove(self) -> None:
        """The camera is not in the fleet any more."""
        self.is_removed = True
        self.partition.remove(_REMOVED)

    def stop(self) -> None:
        """Let the reader's thread end, without waiting for it."""
        if self.reader is not None:
            self.reader.stop(0, GapReason.STOPPED, "the run ends")

    def snapshot(self) -> MemberState:
        """Return what is to be known when the camera is gone on with."""
        return MemberState(source=self.plan.camera.address.url, partition=self.partition.snapshot())


class _NoReader:
    """Reads nothing, and has come to its end."""

    exhausted = True

    def poll(self, max_frames: int, max_gaps: int, now_us: int) -> Sequence[Picture | LiveGap]:  # noqa: ARG002 - the protocol's signature
        return ()

    def pause(self, now_us: int, reason: GapReason, detail: str) -> None:
        pass

    def go_on(self) -> None:
        pass

    def stop(self, now_us: int, reason: GapReason, detail: str) -> None:
        pass

    def close(self) -> None:
        pass


def _open_nothing(
    camera: FleetCamera,  # noqa: ARG001 - the protocol's signature
    predecessor: LiveReader | None,  # noqa: ARG001 - the protocol's signature
    *,
    clock: SteadyUtc,  # noqa: ARG001 - the protocol's signature
    start_us: int,  # noqa: ARG001 - the protocol's signature
    anchor_us: int,  # noqa: ARG001 - the protocol's signature
    first_gap: GapReason,  # noqa: ARG001 - the protocol's signature
) -> LiveReader:
    return _NoReader()
