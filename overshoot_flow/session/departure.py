"""When a stream that is alive is left, and what that means to its source."""

from __future__ import annotations

import logging
from typing import Final

from overshoot_flow.errors import OvershootFlowError, PublishError, TransportError
from overshoot_flow.results import GapReason
from overshoot_flow.session.ledger import Hold
from overshoot_flow.session.outcomes import PendingFrame
from overshoot_flow.session.workplace import Leaving, Workplace

_IDLE_FRAMES: Final = 3
"""Usual distances of frames after which their silence means something."""

_HOLD_REASONS: Final = {Leaving.SLOT: GapReason.SLOT, Leaving.BUDGET: GapReason.BUDGET}

_logger = logging.getLogger(__name__)


class Departure:
    """Decides whether one stream is left.

    Args:
        place: The session's parts.

    Attributes:
        leaving: Why the stream is left, or None so far.
    """

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self._newest_frame_s = place.clock.monotonic_s()
        self._idle_s = place.service.idle_timeout_s
        self.leaving: Leaving | None = None

    def note_frame(self, pending: PendingFrame) -> None:
        """A frame has come."""
        self._newest_frame_s = self._place.clock.monotonic_s()
        usual_s = _IDLE_FRAMES * pending.duration_us / 1_000_000
        self._idle_s = max(self._place.service.idle_timeout_s, usual_s)

    def leave(self, why: Leaving) -> None:
        """Publish nothing more; what is published is answered."""
        if self.leaving is not None:
            return
        self.leaving = why
        feed = self._place.feed
        _logger.info("the stream of %s is left: %s", feed.account.stream_key, why.value)
        reason = _HOLD_REASONS.get(why)
        if reason is not None and feed.account.live:
            feed.account.hold(self._place.outcomes.step_id, Hold(reason, why.value))
        feed.interrupt()

    def look(self, *, may_yield: bool = True) -> None:
        """Leave if others need the slot, or if no picture of a live stream has come for long."""
        place = self._place
        silent_s = place.clock.monotonic_s() - self._newest_frame_s
        if may_yield and place.slot is not None and place.slot.must_yield:
            self.leave(Leaving.SLOT)
        elif place.feed.account.live and silent_s > self._idle_s:
            self.leave(Leaving.IDLE)

    def must_end(self) -> bool:
        """No frame is to be published: say whether that is the end, or else something is asked.

        What needs a stream of its own is a reason to leave.
        """
        place = self._place
        assignment = place.feed.assignment
        if place.feed.ended or self.leaving is not None or assignment is None:
            return True
        if place.assignment.same_stream(assignment):
            return False
        self.leave(Leaving.ASSIGNMENT)
        return True


def most_telling(group: BaseExceptionGroup[OvershootFlowError]) -> OvershootFlowError:
    """What the service says about the stream explains more than the broken pipe it leaves."""
    errors = [
        most_telling(error) if isinstance(error, BaseExceptionGroup) else error
        for error in group.exceptions
    ]
    return min(errors, key=lambda error: isinstance(error, TransportError | PublishError))
