"""What one stream of a session works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from overshoot_flow.assignment import Assignment
from overshoot_flow.config import Service
from overshoot_flow.protocol.media_map import PublishedMedia
from overshoot_flow.protocol.session_machine import SessionMachine
from overshoot_flow.session.clients import Clients
from overshoot_flow.session.clock import Clock
from overshoot_flow.session.feed import Feed
from overshoot_flow.session.outcomes import OutcomeFactory, PendingFrame
from overshoot_flow.session.slot_pool import Slot
from overshoot_flow.session.status import SessionStatus
from overshoot_flow.transport.http import OvershootHttp


class Leaving(Enum):
    """Why a stream that is alive is left."""

    SLOT = "others need the slot"
    IDLE = "no picture comes"
    BUDGET = "the budget is spent"
    ASSIGNMENT = "something else is asked, which needs a new stream"


@dataclass(slots=True)
class Workplace:
    """What one stream of a session works with.

    Attributes:
        assignment: What is asked.
        adopt: Tells the session that something else is asked of the same stream.
        slot: Its place at the service; None where the video travels in the questions.
    """

    service: Service
    clients: Clients
    feed: Feed
    outcomes: OutcomeFactory
    media: PublishedMedia[PendingFrame]
    machine: SessionMachine
    slot: Slot | None
    assignment: Assignment
    adopt: Callable[[Assignment], None]
    clock: Clock
    status: SessionStatus

    @property
    def http(self) -> OvershootHttp:
        """The service's client, in v0.2."""
        return self.clients.v02(self.service)

    def take_over(self, assignment: Assignment) -> None:
        """From here on this is asked of the same stream."""
        self.assignment = assignment
        self.adopt(assignment)
        if self.slot is not None:
            self.slot.reassign(assignment)
