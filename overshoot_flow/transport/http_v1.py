"""API v1 and v1beta over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from overshoot_flow.config import Service
from overshoot_flow.errors import (
    ServiceError,
    StreamNotFoundError,
    TransportError,
    WrongRegionError,
)
from overshoot_flow.protocol import v1, v1_models
from overshoot_flow.protocol.fields import read_json
from overshoot_flow.protocol.rate_limit import RateFacts
from overshoot_flow.protocol.requests import Request
from overshoot_flow.protocol.v1_chat import ChatAnswer, ChatRequest, chat_completion
from overshoot_flow.protocol.v1_errors import read_error
from overshoot_flow.protocol.v1_events import AnswerEvents
from overshoot_flow.protocol.v1_regions import Regions
from overshoot_flow.transport.http_sender import HttpSender, TakePiece

CHAT_TIMEOUT_S: Final = 60.0
"""Bound of one chat completion: a model takes longer than an endpoint that only looks things up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What came of one chat completion.

    Attributes:
        outcome: The answer, or the error that `v1_errors.decide` takes.
        rate: What the headers say about the rate limit, for the limiter.
    """

    outcome: ChatAnswer | ServiceError | TransportError
    rate: RateFacts


class OvershootV1:
    """The service's HTTP side. Belongs to one event loop; close it with `aclose`.

    A request that reaches the wrong region is sent once more to the right one, which is remembered
    for its streams. Every method but `ask` raises `TransportError` or the `ServiceError` that its
    status stands for, and repeats what may be repeated.

    Args:
        service: Base URL, key and time-outs; the base URL says the generation.
        chat_timeout_s: Bound of one chat completion.
        sleep: Waits between attempts.

    Raises:
        ConfigurationError: The base URL is not one of v1 or v1beta, or it or a proxy that the
            environment names cannot be used.
    """

    def __init__(
        self,
        service: Service,
        *,
        chat_timeout_s: float = CHAT_TIMEOUT_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.generation = v1.generation_of(service.base_url)
        self._chat_timeout_s = chat_timeout_s
        self._regions = Regions()
        self._sender = HttpSender(service, read_error, sleep)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._sender.aclose()

    async def create_stream(self, region: str | None = None) -> v1.StreamCreated:
        """Lease a stream, in `region` if one is given."""
        told: dict[str, str] = {}
        headers = {} if region is None else {v1.REGION_HEADER: region}
        body = await self._sender.send(
            v1.create_stream(), headers=headers, note_headers=_keeper(told)
        )
        created = v1.StreamCreated.parse(read_json(body, "POST /streams"), self.generation)
        served_in = told.get(v1.REGION_HEADER.lower()) or region
        if served_in is not None:
            self._regions.learn((created.stream_id,), served_in)
        return created

    async def stream(self, stream_id: str) -> v1.StreamStatus:
        """Ask where a stream stands."""
        return v1.StreamStatus.parse(await self._ask(v1.get_stream(stream_id)))

    async def keepalive(self, stream_id: str) -> v1.KeepaliveAnswer:
        """Renew the lease once; the caller repeats by the lease's schedule."""
        return v1.KeepaliveAnswer.parse(await self._ask(v1.keepalive(stream_id)))

    async def delete_stream(self, stream_id: str) -> None:
        """End a stream; one that is gone already is fine."""
        try:
            await self._send(v1.delete_stream(stream_id))
        except StreamNotFoundError:
            return
        finally:
            self._regions.forget(stream_id)

    async def ask(
        self, question: ChatRequest, on_text: Callable[[str], None] | None = None
    ) -> Asked:
        """Ask once; what fails is a value: the caller decides what becomes of the window.

        Args:
            question: The question.
            on_text: Takes the answer's text piece by piece, as the model writes it; None for an
                answer that comes in one piece. What it raises passes. An answer that breaks off
                is a `TransportError`, however much of its text was there.
        """
        told: dict[str, str] = {}
        outcome: ChatAnswer | ServiceError | TransportError
        events = AnswerEvents()

        def take_piece(piece: bytes) -> bool:
            if (text := events.take(piece)) and on_text is not None:
                on_text(text)
            return events.done

        try:
            body = await self._send(
                chat_completion(question, stream=on_text is not None),
                timeout_s=self._chat_timeout_s,
                note_headers=_keeper(told),
                take_piece=None if on_text is None else take_piece,
            )
            outcome = (
                ChatAnswer.parse(read_json(body, "POST /chat/completions"))
                if on_text is None
                else events.answer()
            )
        except (ServiceError, TransportError) as error:
            outcome = error
        return Asked(outcome=outcome, rate=RateFacts.of(told))

    async def models(self) -> Sequence[v1_models.Model]:
        """List the models."""
        return v1_models.parse_models(await self._ask(v1_models.list_models()))

    async def pricing(self, model: str) -> v1_models.Pricing:
        """Ask what a model costs."""
        return v1_models.Pricing.parse(await self._ask(v1_models.get_pricing(model)))

    async def all_pricing(self) -> Mapping[str, v1_models.Pricing]:
        """Ask what all models cost, by model."""
        return v1_models.parse_pricing_list(await self._ask(v1_models.list_pricing()))

    async def balance(self) -> v1_models.Balance:
        """Ask what is left on the account."""
        return v1_models.Balance.parse(await self._ask(v1_models.get_balance()))

    async def _ask(self, request: Request) -> object:
        return read_json(await self._send(request), f"{request.method} {request.path}")

    async def _send(
        self,
        request: Request,
        *,
        timeout_s: float | None = None,
        note_headers: Callable[[Mapping[str, str]], None] = lambda _: None,
        take_piece: TakePiece | None = None,
    ) -> bytes:
        region = self._regions.of(request.stream_ids)

        async def send_to(region: str | None) -> bytes:
            return await self._sender.send(
                request,
                headers={} if region is None else {v1.REGION_HEADER: region},
                timeout_s=timeout_s,
                note_headers=note_headers,
                take_piece=take_piece,
            )

        try:
            return await send_to(region)
        except WrongRegionError as error:
            if error.expected_region == region:
                raise
            self._regions.learn(request.stream_ids, error.expected_region)
            return await send_to(error.expected_region)


def _keeper(kept: dict[str, str]) -> Callable[[Mapping[str, str]], None]:
    """Return a function that puts the headers of the newest answer into `kept`."""

    def keep(headers: Mapping[str, str]) -> None:
        kept.clear()
        kept.update(headers)

    return keep
