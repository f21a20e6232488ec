"""The process's slots, for the sessions of one event loop."""

from __future__ import annotations

import asyncio
from typing import Final

from overshoot_flow.assignment import Assignment
from overshoot_flow.config import Service
from overshoot_flow.session.clock import Clock
from overshoot_flow.session.slot_table import REFUSAL_S, Claim, SlotTable

_AVOIDANCE_S: Final = 30.0


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

    def refuse(self, claim: Claim) -> bool:
        """The key where `claim` has its slot is refused; return whether it may use another one."""
        now_s = self._clock.monotonic_s()
        if claim.service is not None:
            self._table.refuse(claim.service, now_s + REFUSAL_S)
        return self._table.has_another(claim, now_s)


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

    def key_refused(self) -> bool:
        """The service refuses the key; return whether there is another one to go on with."""
        return self._pool.refuse(self._claim)

    def release(self) -> None:
        """Give it back; repeating it is harmless."""
        self._pool.forget(self._claim)
