"""API v0.2 over HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from overshoot_flow.config import Inference, Secret, Service
from overshoot_flow.errors import (
    OvershootFlowError,
    ServiceError,
    StreamNotFoundError,
    TransportError,
)
from overshoot_flow.protocol import v02
from overshoot_flow.protocol.fields import read_json
from overshoot_flow.protocol.requests import Request
from overshoot_flow.protocol.service_errors import error_from_response
from overshoot_flow.transport.http_sender import ATTEMPTS, LONGEST_PAUSE_S, HttpSender

__all__ = ["ATTEMPTS", "LONGEST_PAUSE_S", "OvershootHttp"]

_logger = logging.getLogger(__name__)


class OvershootHttp:
    """The service's HTTP side. Belongs to one event loop; close it with `aclose`.

    What may be repeated is repeated here with backoff (see `Repeat`): after a fault of the
    network, an answer 5xx, or 429 to a request that takes no slot. Everything else is left to the
    caller's schedule. Every method raises `TransportError`, or the `ServiceError` that its status
    stands for.

    Args:
        service: Base URL, key and time-outs.
        sleep: Waits between attempts.

    Raises:
        ConfigurationError: The base URL, or a proxy that the environment names, cannot be used.
    """

    def __init__(
        self, service: Service, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._sender = HttpSender(service, _read_error, sleep)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._sender.aclose()

    async def create_stream(self, inference: Inference, source: v02.Source) -> v02.StreamCreated:
        """Lease a stream; it costs money until it is closed."""
        document = await self._ask(v02.create_stream(inference, source))
        try:
            return v02.StreamCreated.parse(document, source)
        except TransportError:
            await self._close_unusable(document)
            raise

    async def keepalive(self, stream_id: str) -> v02.KeepaliveAnswer:
        """Renew the lease once; the caller repeats by the lease's schedule."""
        return v02.KeepaliveAnswer.parse(await self._ask(v02.keepalive(stream_id)))

    async def update_prompt(self, stream_id: str, prompt: str) -> v02.PromptUpdated:
        """Change the prompt from the next result on.

        Raises:
            ConfigurationError: The prompt is empty.
        """
        return v02.PromptUpdated.parse(await self._ask(v02.update_prompt(stream_id, prompt)))

    async def close_stream(self, stream_id: str) -> None:
        """End a stream; one that is gone already is fine."""
        try:
            await self._sender.send(v02.close_stream(stream_id))
        except StreamNotFoundError:
            return

    async def models(self) -> Sequence[v02.ModelStatus]:
        """List the models."""
        return v02.parse_models(await self._ask(v02.list_models()))

    async def _close_unusable(self, document: object) -> None:
        """Close a stream whose answer cannot be used, as far as the answer says which it is."""
        stream_id = document.get("stream_id") if isinstance(document, dict) else None
        if not isinstance(stream_id, str) or not stream_id:
            return
        try:
            await self.close_stream(stream_id)
        except OvershootFlowError as error:
            _logger.warning("stream %s ends with its lease: %s", stream_id, error)

    async def _ask(self, request: Request) -> object:
        return read_json(await self._sender.send(request), f"{request.method} {request.path}")


def _read_error(
    request: Request,  # noqa: ARG001 - v0.2 words all errors alike
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    secrets: Sequence[Secret],
) -> ServiceError:
    return error_from_response(status, body, secrets, headers.get("retry-after"))
