"""Which models there are, what they take, and what they cost. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from overshoot_flow.errors import TransportError
from overshoot_flow.protocol.fields import Fields
from overshoot_flow.protocol.requests import Repeat, Request
from overshoot_flow.protocol.v1_chat import TokenUsage

MICROCENTS_PER_CENT: Final = 1_000_000


def list_models() -> Request:
    """Ask which models there are."""
    return Request("GET", "/models", Repeat.ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that the service lists."""

    id: str
    ready: bool
    status: str


def parse_models(document: object) -> Sequence[Model]:
    """Read the answer to `list_models`.

    Raises:
        TransportError: The answer is outside the contract.
    """
    fields = Fields.of(document, "GET /models")
    models = []
    for entry in fields.children("data"):
        status = entry.optional_text("status") or "unknown"
        models.append(Model(id=entry.text("id"), ready=status == "ready", status=status))
    return models


def get_pricing(model: str) -> Request:
    """Ask what `model` costs."""
    path = f"/billing/pricing/{quote(model, safe='')}"
    return Request("GET", path, Repeat.ALWAYS, at_host_root=True)


def list_pricing() -> Request:
    """Ask what all models cost."""
    return Request("GET", "/billing/pricing", Repeat.ALWAYS, at_host_root=True)


def get_balance() -> Request:
    """Ask what is left on the account."""
    return Request("GET", "/billing/accounts/me/balance", Repeat.ALWAYS, at_host_root=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """What a model costs, in microcents per token; None where the answer does not say the model."""

    model: str | None
    input_microcents: float
    output_microcents: float
    cached_input_microcents: float

    @classmethod
    def parse(cls, document: object) -> Pricing:
        """Read the answer to `get_pricing`, or one entry of `list_pricing`.

        Raises:
            TransportError: The answer is outside the contract.
        """
        fields = Fields.of(document, "GET /billing/pricing")
        input_microcents = _price(fields, "input_microcents_per_token")
        if input_microcents is None:
            raise fields.outside("input_microcents_per_token", "missing")
        output_microcents = _price(fields, "output_microcents_per_token")
        if output_microcents is None:
            raise fields.outside("output_microcents_per_token", "missing")
        cached = _price(fields, "cached_input_microcents_per_token")
        return cls(
            model=fields.optional_text("model") or fields.optional_text("id"),
            input_microcents=input_microcents,
            output_microcents=output_microcents,
            # Without a price of their own, cached tokens are ordinary ones.
            cached_input_microcents=input_microcents if cached is None else cached,
        )

    def cost_microcents(self, usage: TokenUsage) -> float:
        """Return what `usage` costs."""
        cached = min(usage.cached_input_tokens, usage.prompt_tokens)
        return (
            (usage.prompt_tokens - cached) * self.input_microcents
            + cached * self.cached_input_microcents
            + usage.completion_tokens * self.output_microcents
        )


def parse_pricing_list(document: object) -> Mapping[str, Pricing]:
    """Read the answer to `list_pricing`; entries that name no model are left out.

    Raises:
        TransportError: The answer is outside the contract.
    """
    entries = document
    if isinstance(document, dict):
        # The contract names no wrapper; OpenAI's own lists have this one.
        entries = document.get("data")
    if not isinstance(entries, list):
        raise TransportError("GET /billing/pricing: answer outside the contract: not a list")
    prices = [Pricing.parse(entry) for entry in entries]
    return {pricing.model: pricing for pricing in prices if pricing.model is not None}


def _price(fields: Fields, name: str) -> float | None:
    price = fields.optional_number(name)
    if price is not None and price < 0:
        raise fields.outside(name, "below 0")
    return price


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What is left on a prepaid account."""

    microcents: float

    @property
    def cents(self) -> float:
        """The same in cents."""
        return self.microcents / MICROCENTS_PER_CENT

    @classmethod
    def parse(cls, document: object) -> Balance:
        """Read the answer to `get_balance`.

        Raises:
            TransportError: The answer is outside the contract.
        """
        fields = Fields.of(document, "balance")
        microcents = fields.optional_number("balance_microcents")
        if microcents is None:
            cents = fields.optional_number("balance_cents")
            if cents is None:
                raise fields.outside("balance_microcents", "missing")
            microcents = cents * MICROCENTS_PER_CENT
        return cls(microcents=microcents)
