"""A service of v1 or v1beta, as all sessions of a process share it."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from overshoot_flow.config import Service
from overshoot_flow.errors import (
    AuthenticationError,
    ConfigurationError,
    OvershootFlowError,
    RateLimitError,
    ServiceError,
    ServiceUnavailableError,
)
from overshoot_flow.protocol.v1_models import Balance, Pricing
from overshoot_flow.session.ask_limiter import AskLimiter
from overshoot_flow.session.clock import Clock
from overshoot_flow.transport.http_v1 import OvershootV1

_PRICE_ASKED_AGAIN_S: Final = 60.0
"""How long a price that the service did not tell is not asked for again."""

_logger = logging.getLogger(__name__)


class V1Access:
    """The connection to the service, its limiter, and what it charges.

    Args:
        service: The service.
        clock: Time.

    Attributes:
        http: The client.
        limiter: Gives the turns for questions.
    """

    def __init__(self, service: Service, clock: Clock) -> None:
        self.http = OvershootV1(service, chat_timeout_s=service.answer_timeout_s)
        self.limiter = AskLimiter(service.max_in_flight, clock)
        self._clock = clock
        self._prices: dict[str, Pricing] = {}
        self._not_told_until_s: dict[str, float] = {}
        self._asking_prices = asyncio.Lock()
        self._balance_is_told = False

    async def pricing(self, model: str) -> Pricing | None:
        """Return what `model` costs, or None if the service does not tell.

        A known price is asked for once, an unknown one again after a while.
        """
        if self._clock.monotonic_s() < self._not_told_until_s.get(model, 0.0):
            return None
        try:
            return await self._price(model)
        except OvershootFlowError as error:
            _logger.warning("the price of %s is not known: %s", model, error)
            self._not_told_until_s[model] = self._clock.monotonic_s() + _PRICE_ASKED_AGAIN_S
            return None

    async def needed_pricing(self, model: str) -> Pricing:
        """Return what `model` costs: without it a budget means nothing.

        Raises:
            ConfigurationError: The service has no price for it.
            OvershootFlowError: The service does not answer, or not this key.
        """
        try:
            return await self._price(model)
        except (AuthenticationError, ServiceUnavailableError, RateLimitError):
            raise
        except ServiceError as error:
            raise ConfigurationError(
                f"a budget cannot be kept, for the service tells no price of {model!r} ({error}); "
                "leave the budget out, or ask a model that `overshoot-flow models` has a price of"
            ) from None

    async def _price(self, model: str) -> Pricing:
        # Many questions are answered at one time, and one of them is enough to ask.
        async with self._asking_prices:
            if model not in self._prices:
                self._prices[model] = await self.http.pricing(model)
            return self._prices[model]

    async def take_balance(self) -> Balance | None:
        """Return what is left on the account, to the first who asks; None if it cannot be told."""
        if self._balance_is_told:
            return None
        self._balance_is_told = True
        try:
            return await self.http.balance()
        except OvershootFlowError as error:
            _logger.warning("the balance is not known: %s", error)
            return None

    async def aclose(self) -> None:
        """Close all connections."""
        await self.http.aclose()
