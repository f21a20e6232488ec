"""API keys with their credit and their stream slots. Pure: no clock, no sockets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True, eq=False)
class Account:
    """One API key's money and slots.

    Attributes:
        credits_cents: What is left.
        streams: Ids of the streams that live.
    """

    credits_cents: float
    streams: set[str] = field(default_factory=set)

    def charge(self, cost_cents: float) -> bool:
        """Take `cost_cents`, or all that is left. Return whether it was enough."""
        enough = cost_cents <= self.credits_cents
        self.credits_cents = max(0.0, self.credits_cents - cost_cents)
        return enough


class Accounts:
    """All accounts; the keys themselves are never shown.

    Args:
        keys: Credit in cents by API key.
    """

    def __init__(self, keys: Mapping[str, float]) -> None:
        self._by_key = {key: Account(credits_cents=cents) for key, cents in keys.items()}

    def find(self, key: object) -> Account | None:
        """Return the account of `key`, or None when it is not a key that is accepted."""
        return self._by_key.get(key) if isinstance(key, str) else None

    def all(self) -> list[Account]:
        """Every account."""
        return list(self._by_key.values())


@dataclass(slots=True, kw_only=True)
class Charge:
    """What one charge was.

    Attributes:
        seconds: Time that was paid for.
        cost_cents: Its price.
        enough: Whether the credit sufficed.
    """

    seconds: float
    cost_cents: float
    enough: bool


class Meter:
    """Charges an account for the time since the last charge.

    Args:
        account: Who pays.
        price_cents_per_s: Price of a second.
        started_s: When the stream began.
    """

    def __init__(self, account: Account, price_cents_per_s: float, started_s: float) -> None:
        self._account = account
        self._price_cents_per_s = price_cents_per_s
        self._charged_until_s = started_s

    def charge(self, now_s: float) -> Charge:
        """Charge for the time up to `now_s`."""
        seconds = max(0.0, now_s - self._charged_until_s)
        self._charged_until_s = max(now_s, self._charged_until_s)
        cost_cents = seconds * self._price_cents_per_s
        return Charge(
            seconds=seconds, cost_cents=cost_cents, enough=self._account.charge(cost_cents)
        )
