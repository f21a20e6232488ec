"""Sends one HTTP request of the API, and repeats it where that is safe."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

import httpx

from overshoot_flow import __version__
from overshoot_flow.config import Secret, Service
from overshoot_flow.errors import (
    ConfigurationError,
    OvershootFlowError,
    RateLimitError,
    ServiceError,
    ServiceUnavailableError,
    StreamLimitError,
    TransportError,
)
from overshoot_flow.protocol.requests import Repeat, Request
from overshoot_flow.protocol.retry import Backoff
from overshoot_flow.transport.library_logs import hide_in_http_logs

ATTEMPTS: Final = 4
"""How often a request that may be repeated is sent at most."""

LONGEST_PAUSE_S: Final = 30.0
"""A service that asks for a longer wait gets none: the error, which names the wait, is raised."""

_BACKOFF_S: Final = (0.25, 4.0)
_FIRST_REDIRECT_STATUS: Final = 300
_FIRST_ERROR_STATUS: Final = 400
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)


TakePiece: TypeAlias = Callable[[bytes], bool]
"""Takes a piece of an answer's body; true when no more is needed."""


class ReadError(Protocol):
    """Makes the exception of an error answer, as the generation of the API words it."""

    def __call__(
        self,
        request: Request,
        status: int,
        body: bytes,
        headers: Mapping[str, str],
        secrets: Sequence[Secret],
    ) -> ServiceError:
        """Return the exception."""
        ...


class HttpSender:
    """One client of one service. Belongs to one event loop; close it with `aclose`.

    Args:
        service: Base URL, key and time-outs.
        read_error: Reads error answers.
        sleep: Waits between attempts.

    Raises:
        ConfigurationError: The base URL, or a proxy that the environment names, cannot be used.
    """

    def __init__(
        self, service: Service, read_error: ReadError, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._key = service.key
        self._timeout_s = service.request_timeout_s
        self._root_url = service.base_url.rpartition("/")[0]
        self._read_error = read_error
        self._sleep = sleep
        self._backoff = Backoff(*_BACKOFF_S, random=random.Random())  # noqa: S311 - jitter
        hide_in_http_logs(service.key)
        self._client = _new_client(service)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def send(
        self,
        request: Request,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        note_headers: Callable[[Mapping[str, str]], None] = lambda _: None,
        take_piece: TakePiece | None = None,
    ) -> bytes:
        """Return the body of the answer, after as many attempts as the request allows.

        Args:
            request: What is sent.
            headers: What it carries besides the key.
            timeout_s: Bound of each attempt, or None for the service's own.
            note_headers: Takes the headers of every answer, also of an error.
            take_piece: Takes the body as it comes, and says when it has enough; what is returned
                is empty then. Only for a request that is never repeated. What it raises passes.

        Raises:
            TransportError: The network failed.
            ServiceError: The service answered with an error.
        """
        attempt = 1
        while True:
            try:
                return await self._send_once(
                    request,
                    headers or {},
                    timeout_s or self._timeout_s,
                    note_headers,
                    take_piece,
                )
            except (
                TransportError,
                ServiceUnavailableError,
                RateLimitError,
                StreamLimitError,
            ) as error:
                retry_after_s = error.retry_after_s if isinstance(error, ServiceError) else None
                if (
                    attempt == ATTEMPTS
                    or not _may_repeat(request.repeat, error)
                    or (retry_after_s or 0.0) > LONGEST_PAUSE_S
                ):
                    raise
                await self._sleep(self._backoff.pause_s(attempt, retry_after_s))
            attempt += 1

    async def _send_once(
        self,
        request: Request,
        headers: Mapping[str, str],
        timeout_s: float,
        note_headers: Callable[[Mapping[str, str]], None],
        take_piece: TakePiece | None,
    ) -> bytes:
        where = f"{request.method} {request.path}"
        try:
            # httpx bounds each read, not the whole: an answer that trickles would never end.
            async with (
                asyncio.timeout(timeout_s),
                self._client.stream(
                    request.method,
                    f"{self._root_url}{request.path}" if request.at_host_root else request.path,
                    json=request.body,
                    headers={**headers, "authorization": f"Bearer {self._key.reveal()}"},
                ) as response,
            ):
                note_headers(response.headers)
                if take_piece is not None and response.is_success:
                    await _hand_over(response, take_piece)
                    return b""
                await response.aread()
        except _NEVER_SENT as error:
            raise _NeverSentError(f"{where}: no connection ({type(error).__name__})") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TransportError(f"{where}: {type(error).__name__}") from None
        except TimeoutError:
            raise TransportError(f"{where}: no answer in {timeout_s:g} s") from None
        if response.status_code >= _FIRST_ERROR_STATUS:
            raise self._read_error(
                request,
                response.status_code,
                response.content,
                response.headers,
                (self._key, *request.secrets),
            )
        if response.status_code >= _FIRST_REDIRECT_STATUS:
            raise _RedirectedError(
                f"{where}: answered with a redirect, which is not followed because it would take "
                "the API key along; give the base URL that it leads to"
            )
        return response.content


async def _hand_over(response: httpx.Response, take_piece: TakePiece) -> None:
    async for piece in response.aiter_bytes():
        if take_piece(piece):
            return


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
