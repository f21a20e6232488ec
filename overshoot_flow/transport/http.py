"""API v0.2 over HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import httpx

from overshoot_flow import __version__
from overshoot_flow.config import Inference, Service
from overshoot_flow.errors import (
    ServiceUnavailableError,
    StreamNotFoundError,
    TransportError,
)
from overshoot_flow.protocol import v02
from overshoot_flow.protocol.retry import Backoff
from overshoot_flow.protocol.service_errors import error_from_response

ATTEMPTS: Final = 4
_BACKOFF_S: Final = (0.25, 4.0)
_FIRST_ERROR_STATUS: Final = 400

# At INFO httpx writes every request, a keepalive every few seconds; below it httpcore writes
# headers, the key among them.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class OvershootHttp:
    """The service's HTTP side. Belongs to one event loop; close it with `aclose`.

    What may be repeated is repeated here with backoff (see `v02.Repeat`); everything else is left
    to the caller's schedule.

    Args:
        service: Base URL, key and time-outs.
        sleep: Waits between attempts.
    """

    def __init__(
        self, service: Service, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._key = service.key
        self._sleep = sleep
        self._backoff = Backoff(*_BACKOFF_S, random=random.Random())  # noqa: S311 - jitter
        self._client = httpx.AsyncClient(
            base_url=service.base_url,
            timeout=service.request_timeout_s,
            headers={"user-agent": f"overshoot-flow/{__version__}"},
            follow_redirects=False,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def create_stream(self, inference: Inference, source: v02.Source) -> v02.StreamCreated:
        """Lease a stream; it costs money until it is closed."""
        return v02.StreamCreated.parse(await self._send(v02.create_stream(inference, source)))

    async def keepalive(self, stream_id: str) -> v02.KeepaliveAnswer:
        """Renew the lease once; the caller repeats by the lease's schedule."""
        return v02.KeepaliveAnswer.parse(await self._send(v02.keepalive(stream_id)))

    async def update_prompt(self, stream_id: str, prompt: str) -> v02.PromptUpdated:
        """Change the prompt from the next result on."""
        return v02.PromptUpdated.parse(await self._send(v02.update_prompt(stream_id, prompt)))

    async def close_stream(self, stream_id: str) -> None:
        """End a stream; one that is gone already is fine."""
        try:
            await self._send(v02.close_stream(stream_id))
        except StreamNotFoundError:
            return

    async def models(self) -> Sequence[v02.ModelStatus]:
        """List the models."""
        return v02.parse_models(await self._send(v02.list_models()))

    async def _send(self, request: v02.Request) -> object:
        attempt = 1
        while True:
            try:
                return await self._send_once(request)
            except _NeverSentError as error:
                if request.repeat is v02.Repeat.NEVER or attempt == ATTEMPTS:
                    raise TransportError(str(error)) from None
            except (TransportError, ServiceUnavailableError):
                if request.repeat is not v02.Repeat.ALWAYS or attempt == ATTEMPTS:
                    raise
            await self._sleep(self._backoff.pause_s(attempt))
            attempt += 1

    async def _send_once(self, request: v02.Request) -> object:
        where = f"{request.method} {request.path}"
        try:
            response = await self._client.request(
                request.method,
                request.path,
                json=request.body,
                headers={"authorization": f"Bearer {self._key.reveal()}"},
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise _NeverSentError(f"{where}: no connection ({type(error).__name__})") from None
        except httpx.HTTPError as error:
            raise TransportError(f"{where}: {type(error).__name__}") from None
        if response.status_code >= _FIRST_ERROR_STATUS:
            raise error_from_response(response.status_code, response.content, (self._key.reveal(),))
        try:
            document: object = json.loads(response.content)
        except ValueError:
            raise TransportError(f"{where}: answer outside the contract: not JSON") from None
        return document


class _NeverSentError(TransportError):
    """No connection came about, so the service has not seen the request."""
