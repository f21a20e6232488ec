"""API v0.2 over HTTP."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import httpx

from overshoot_flow import __version__
from overshoot_flow.config import Inference, Service
from overshoot_flow.errors import (
    ConfigurationError,
    OvershootFlowError,
    ServiceError,
    ServiceUnavailableError,
    StreamLimitError,
    StreamNotFoundError,
    TransportError,
)
from overshoot_flow.protocol import v02
from overshoot_flow.protocol.fields import read_json
from overshoot_flow.protocol.requests import Repeat, Request
from overshoot_flow.protocol.retry import Backoff
from overshoot_flow.protocol.service_errors import error_from_response
from overshoot_flow.transport.library_logs import hide_in_http_logs

ATTEMPTS: Final = 4
"""How often a request that may be repeated is sent at most."""

LONGEST_PAUSE_S: Final = 30.0
"""A service that asks for a longer wait gets none: the error, which names the wait, is raised."""

_BACKOFF_S: Final = (0.25, 4.0)
_FIRST_REDIRECT_STATUS: Final = 300
_FIRST_ERROR_STATUS: Final = 400
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)

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
        self._key = service.key
        self._timeout_s = service.request_timeout_s
        self._sleep = sleep
        self._backoff = Backoff(*_BACKOFF_S, random=random.Random())  # noqa: S311 - jitter
        hide_in_http_logs(service.key)
        self._client = _new_client(service)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

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
            await self._send(v02.close_stream(stream_id))
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
        return read_json(await self._send(request), f"{request.method} {request.path}")

    async def _send(self, request: Request) -> bytes:
        attempt = 1
        while True:
            try:
                return await self._send_once(request)
            except (TransportError, ServiceUnavailableError, StreamLimitError) as error:
                retry_after_s = error.retry_after_s if isinstance(error, ServiceError) else None
                if (
                    attempt == ATTEMPTS
                    or not _may_repeat(request.repeat, error)
                    or (retry_after_s or 0.0) > LONGEST_PAUSE_S
                ):
                    raise
                await self._sleep(self._backoff.pause_s(attempt, retry_after_s))
            attempt += 1

    async def _send_once(self, request: Request) -> bytes:
        where = f"{request.method} {request.path}"
        try:
            # httpx bounds each read, not the whole: an answer that trickles would never end.
            async with asyncio.timeout(self._timeout_s):
                response = await self._client.request(
                    request.method,
                    request.path,
                    json=request.body,
                    headers={"authorization": f"Bearer {self._key.reveal()}"},
                )
        except _NEVER_SENT as error:
            raise _NeverSentError(f"{where}: no connection ({type(error).__name__})") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TransportError(f"{where}: {type(error).__name__}") from None
        except TimeoutError:
            raise TransportError(f"{where}: no answer in {self._timeout_s:g} s") from None
        if response.status_code >= _FIRST_ERROR_STATUS:
            raise error_from_response(
                response.status_code,
                response.content,
                (self._key, *request.secrets),
                response.headers.get("retry-after"),
            )
        if response.status_code >= _FIRST_REDIRECT_STATUS:
            raise _RedirectedError(
                f"{where}: answered with a redirect, which is not followed because it would take "
                "the API key along; give the base URL that it leads to"
            )
        return response.content


def _new_client(service: Service) -> httpx.AsyncClient:
    try:
        return httpx.AsyncClient(
            base_url=service.base_url,
            # Connecting ends before the whole does, so that it is known that nothing was sent.
            timeout=httpx.Timeout(None, connect=service.request_timeout_s / 2),
            headers={"user-agent": f"overshoot-flow/{__version__}"},
            follow_redirects=False,
        )
    except (httpx.InvalidURL, ImportError, ValueError) as error:
        # The text is left out: a proxy's URL can hold a password.
        raise ConfigurationError(
            f"no HTTP client for {service.base_url} ({type(error).__name__}); check the base URL "
            "and the proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY name (SOCKS is not supported)"
        ) from None


def _may_repeat(repeat: Repeat, error: OvershootFlowError) -> bool:
    if repeat is Repeat.NEVER or isinstance(error, _RedirectedError):
        return False
    return repeat is Repeat.ALWAYS or isinstance(error, _NeverSentError)


class _NeverSentError(TransportError):
    """No connection came about, so the service has not seen the request."""


class _RedirectedError(TransportError):
    """The service is elsewhere; asking again does not bring it here."""
