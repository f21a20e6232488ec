"""The process's slots, for the sessions of one event loop."""

from __future__ import annotations

import asyncio
from typing import Final

from overshoot_flow.assignment import Assignment
from overshoot_flow.config import Service
from overshoot_flow.errors import OvershootFlowError
from overshoot_flow.session.clock import Clock
from overshoot_flow.session.slot_table import Claim, SlotTable

_AVOIDANCE_S: Final = 30.0
_REFUSAL_S: Final = 120.0
"""So long a key that is refused, or has no credit, is left alone."""


class SlotPool:
    """Grants slots to sessions; used in one event loop only.

    Other processes with the same key are not known here: then the service refuses, and the
    session asks again later.

    Args:
        clock: Time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._table = SlotTable()
        self._grants: dict[Claim, asyncio.Event] = {}

    def claim(self, assignment: Assignment) -> Slot:
        """Ask for a slot; it may be granted at once."""
        claim = Claim(assignment)
        self._grants[claim] = asyncio.Event()
        self._table.add(claim)
        self.review()
        return Slot(self, claim)

    def review(self) -> None:
        """Decide anew; called on every change, and by holders from time to time."""
        for claim in self._table.review(self._clock.monotonic_s()):
            self._grants[claim].set()

    async def granted(self, claim: Claim) -> None:
        """Wait until `claim` has its slot."""
        await self._grants[claim].wait()

    def forget(self, claim: Claim) -> None:
        """The claim is given up, or its slot given back."""
        self._table.remove(claim)
        self._grants.pop(claim, None)
        self.review()

    def avoid(self, service: Service) -> None:
        """Prefer other services for a while."""
        self._table.avoid(service, self._clock.monotonic_s() + _AVOIDANCE_S)

    def refuse(self, service: Service, error: OvershootFlowError) -> None:
        """The service has refused its key, or the key has no credit: leave it alone for a while."""
        self._table.refuse(service, error, self._clock.monotonic_s() + _REFUSAL_S)

    def refusal(self, service: Service) -> OvershootFlowError | None:
        """Return why the key of `service` is left alone, or None."""
        return self._table.refusal(service, self._clock.monotonic_s())

    def has_another(self, claim: Claim) -> bool:
        """Whether `claim` may use a service whose key is not left alone."""
        return self._table.has_another(claim, self._clock.monotonic_s())

    def begin_run(self) -> None:
        """Try every key again: since the last run one may have been given credit."""
        self._table.forget_refusals()


class Slot:
    """One session's claim: first it waits, then it is a place at a service.

    Args:
        pool: Where it comes from.
        claim: The claim.
    """

    def __init__(self, pool: SlotPool, claim: Claim) -> None:
        self._pool = pool
        self._claim = claim

    @property
    def service(self) -> Service | None:
        """Where the stream may be leased, or None while the slot is waited for."""
        return self._claim.service

    @property
    def must_yield(self) -> bool:
        """Whether others need the slot now."""
        self._pool.review()
        return self._claim.yields

    async def granted(self) -> None:
        """Wait until it is granted."""
        await self._pool.granted(self._claim)

    def reassign(self, assignment: Assignment) -> None:
        """The claim goes on under other terms."""
        self._claim.assignment = assignment

    def failed(self) -> None:
        """Something went wrong at the service; the next claim prefers another one."""
        if self._claim.service is not None:
            self._pool.avoid(self._claim.service)

    @property
    def has_another_key(self) -> bool:
        """Whether there is one to go on with that is not left alone."""
        return self._pool.has_another(self._claim)

    def release(self) -> None:
        """Give it back; repeating it is harmless."""
        self._pool.forget(self._claim)
