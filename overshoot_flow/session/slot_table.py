"""Who may have a stream at once: decisions about slots, without tasks and clocks.

A key has a few slots. Claims of a greater priority go first, older ones before newer ones; one
that holds a slot gives it up for a claim of a greater priority, or, when it has a dwell time and
that is over, for one of the same priority.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from overshoot_flow.assignment import Assignment
from overshoot_flow.config import Service
from overshoot_flow.errors import OvershootFlowError

Place: TypeAlias = tuple[str, str]
"""Base URL and key: what the slots belong to."""

_serial: Final = itertools.count()


@dataclass(slots=True, eq=False)
class Claim:
    """A session that wants a slot, or has one.

    Attributes:
        assignment: What it is for; may be replaced while the claim is there.
        service: Where the slot is, once it is granted.
        granted_at_s: When it was granted.
        yields: Whether the holder shall give it back as soon as its answers are in.
    """

    assignment: Assignment
    service: Service | None = None
    granted_at_s: float = 0.0
    yields: bool = False
    arrival: int = field(default_factory=lambda: next(_serial))

    def dwelt(self, now_s: float) -> bool:
        """Whether it has had its slot as long as it may while others wait."""
        dwell_s = self.assignment.dwell_s
        return dwell_s is not None and now_s - self.granted_at_s >= dwell_s


def place_of(service: Service) -> Place:
    """Return what the slots of `service` belong to."""
    return service.base_url, service.key.reveal()


@dataclass(slots=True)
class SlotTable:
    """All claims of a process."""

    _waiting: list[Claim] = field(default_factory=list)
    _held: list[Claim] = field(default_factory=list)
    _avoided_until_s: dict[Place, float] = field(default_factory=dict, repr=False)
    _refused: dict[Place, tuple[OvershootFlowError, float]] = field(
        default_factory=dict, repr=False
    )

    def add(self, claim: Claim) -> None:
        """Take in a claim that waits."""
        self._waiting.append(claim)

    def remove(self, claim: Claim) -> None:
        """Forget a claim; its slot is free."""
        for claims in (self._waiting, self._held):
            if claim in claims:
                claims.remove(claim)

    def avoid(self, service: Service, until_s: float) -> None:
        """Prefer other services for a while, because this one had a fault."""
        self._avoided_until_s[place_of(service)] = until_s

    def refuse(self, service: Service, error: OvershootFlowError, until_s: float) -> None:
        """Use other services for a while, even if they must be waited for: this key is refused."""
        self._refused[place_of(service)] = error, until_s

    def refusal(self, service: Service, now_s: float) -> OvershootFlowError | None:
        """Return what the service said when it refused the key a while ago, or None."""
        error, until_s = self._refused.get(place_of(service), (None, now_s))
        return error if until_s > now_s else None

    def forget_refusals(self) -> None:
        """Every key may be good again."""
        self._refused.clear()

    def has_another(self, claim: Claim, now_s: float) -> bool:
        """Whether `claim` may use a service whose key is not refused."""
        return any(self.refusal(each, now_s) is None for each in claim.assignment.services)

    @property
    def waiting(self) -> int:
        """How many claims wait."""
        return len(self._waiting)

    def in_use(self, service: Service) -> int:
        """How many slots of a service's key are held."""
        return sum(place_of(service) == _place(claim) for claim in self._held)

    def review(self, now_s: float) -> list[Claim]:
        """Grant what is free and tell holders to yield; return the claims granted now."""
        granted: list[Claim] = []
        for claim in self._held:
            claim.yields = False
        for claim in sorted(self._waiting, key=_rank):
            service = self._free_service(claim, now_s)
            if service is not None:
                claim.service, claim.granted_at_s = service, now_s
                self._waiting.remove(claim)
                self._held.append(claim)
                granted.append(claim)
            else:
                self._ask_for_one(claim, now_s)
        return granted

    def _free_service(self, claim: Claim, now_s: float) -> Service | None:
        free = [
            service
            for service in self._usable_services(claim, now_s)
            if self.in_use(service) < service.max_streams
        ]
        return min(free, key=lambda each: self._is_avoided(each, now_s), default=None)

    def _usable_services(self, claim: Claim, now_s: float) -> list[Service]:
        """Where all keys are refused, the service shall say so again."""
        services = claim.assignment.services
        usable = [each for each in services if self.refusal(each, now_s) is None]
        return usable or list(services)

    def _is_avoided(self, service: Service, now_s: float) -> bool:
        return self._avoided_until_s.get(place_of(service), now_s) > now_s

    def _ask_for_one(self, claim: Claim, now_s: float) -> None:
        holders = self._holders_before(claim, now_s)
        # Of the least priority, and of those the one that has had its slot for longest.
        holder = min(
            holders, key=lambda each: (each.assignment.priority, each.granted_at_s), default=None
        )
        if holder is not None:
            holder.yields = True

    def _holders_before(self, claim: Claim, now_s: float) -> Iterator[Claim]:
        """Yield holders that must make room for `claim` and have not been told to yet."""
        places = {place_of(service) for service in self._usable_services(claim, now_s)}
        for holder in self._held:
            if holder.yields or _place(holder) not in places:
                continue
            theirs, ours = holder.assignment.priority, claim.assignment.priority
            if theirs < ours or (theirs == ours and holder.dwelt(now_s)):
                yield holder


def _rank(claim: Claim) -> tuple[int, int]:
    return -claim.assignment.priority, claim.arrival


def _place(claim: Claim) -> Place | None:
    return None if claim.service is None else place_of(claim.service)
