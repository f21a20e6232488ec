"""A stream's lease and what it costs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from overshoot_flow.assignment import Assignment
from overshoot_flow.config import Secret
from overshoot_flow.errors import OvershootFlowError
from overshoot_flow.protocol.lease import Lease
from overshoot_flow.protocol.v02 import KeepaliveAnswer, StreamCreated
from overshoot_flow.session.ledger import Account
from overshoot_flow.session.workplace import Workplace

_LAST_CHARGE_TIMEOUT_S: Final = 2.0

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Renewal:
    """Keeps a stream alive and notes every charge.

    Args:
        place: The session's parts.
        created: The stream.
        at_limit: Called when the budget allows no further keepalive.

    Attributes:
        expected_cents: What the time until the next keepalive will cost, by the last charge.
        token: The newest token for joining the room, or None before the first keepalive.
    """

    place: Workplace
    created: StreamCreated
    at_limit: Callable[[], None]
    expected_cents: float = 0.0
    token: Secret | None = None
    _lease: Lease = field(init=False)

    def __post_init__(self) -> None:
        """The lease runs from now on."""
        self._lease = Lease(self.created.lease_ttl_s, self.place.clock.monotonic_s())

    @property
    def is_over(self) -> bool:
        """Whether the stream must have ended by now."""
        return self._lease.over(self.place.clock.monotonic_s())

    async def renew(self) -> None:
        """Renew the lease by its schedule, until cancelled.

        Raises:
            OvershootFlowError: The stream cannot be kept alive.
        """
        place, lease = self.place, self._lease
        while True:
            now_s = place.clock.monotonic_s()
            await asyncio.sleep(max(0.0, lease.next_attempt_s - now_s))
            await self._keep_alive()

    async def _keep_alive(self) -> None:
        """One keepalive; an error that the lease survives is retried by its schedule."""
        place = self.place
        try:
            answer = await place.http.keepalive(self.created.stream_id)
        except OvershootFlowError as error:
            place.status.lease_not_renewed()
            if self._lease.failed(place.clock.monotonic_s(), error):
                _logger.warning("keepalive of stream %s failed: %s", self.created.stream_id, error)
                return
            raise
        self._lease.renewed(place.clock.monotonic_s(), answer.ttl_s)
        place.status.lease_renewed()
        if answer.livekit_token is not None:
            self.token = answer.livekit_token
        self._charge(answer)
        self.expected_cents = self._next_cents(answer)
        if not may_spend(place.assignment, place.feed.account, self.expected_cents):
            self.at_limit()

    def _charge(self, answer: KeepaliveAnswer) -> None:
        place = self.place
        cents = answer.cost_cents or 0.0
        place.feed.account.spending.spend(cents)
        if place.assignment.run_budget is not None:
            place.assignment.run_budget.spending.spend(cents)
        place.feed.account.put(place.outcomes.usage(self.created.stream_id, answer))

    def _next_cents(self, answer: KeepaliveAnswer) -> float:
        """What the stream costs until the next keepalive, at the price of the last ones."""
        if not answer.cost_cents or not answer.seconds_charged:
            return 0.0
        next_s = self._lease.next_attempt_s - self.place.clock.monotonic_s()
        return answer.cost_cents / answer.seconds_charged * max(0.0, next_s)

    async def settle_bill(self) -> None:
        """Ask for the charge since the last keepalive, which the deletion would not tell."""
        try:
            # A service that does not answer here must not use up the time of the deletion.
            async with asyncio.timeout(_LAST_CHARGE_TIMEOUT_S):
                answer = await self.place.http.keepalive(self.created.stream_id)
        except (OvershootFlowError, TimeoutError) as error:
            _logger.info(
                "the last charge of %s is unknown: %s",
                self.created.stream_id,
                str(error) or "no answer in time",
            )
            return
        self._charge(answer)


def is_stream_spent(assignment: Assignment, account: Account, next_cents: float) -> bool:
    """Whether the stream's own budget does not allow to spend `next_cents` more."""
    return not account.spending.allows(assignment.budget_cents, next_cents)


def may_spend(assignment: Assignment, account: Account, next_cents: float) -> bool:
    """Whether the budgets of a stream allow to spend `next_cents` more."""
    if is_stream_spent(assignment, account, next_cents):
        return False
    run = assignment.run_budget
    return run is None or run.spending.allows(run.limit_cents, next_cents)
