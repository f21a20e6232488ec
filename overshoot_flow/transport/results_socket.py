"""The WebSocket on which a stream's results are pushed."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
)

from overshoot_flow.config import Secret
from overshoot_flow.errors import (
    AuthenticationError,
    ConfigurationError,
    OvershootFlowError,
    StreamEndedError,
    TransportError,
)
from overshoot_flow.protocol.close_codes import SocketEnd, meaning_of_close
from overshoot_flow.protocol.retry import Backoff
from overshoot_flow.protocol.service_errors import error_from_response
from overshoot_flow.protocol.v02 import ResultMessage, authentication, results_url
from overshoot_flow.transport.library_logs import WithoutMessages

LARGEST_MESSAGE_BYTES: Final = 4 * 1024 * 1024
"""A larger message breaks the connection; results go on with the next one."""

_BACKOFF_S: Final = (0.2, 5.0)
_CLOSE_TIMEOUT_S: Final = 1.0
_PING_INTERVAL_S: Final = 10.0
_QUEUED_MESSAGES: Final = 64
"""Messages that may wait in the connection; beyond it the library stops reading the socket."""

_REDIRECTS: Final = range(300, 400)
_REFUSALS: Final = frozenset({401, 402, 403, 404})
"""Statuses of the upgrade that no repetition changes; others are faults on the way."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Received:
    """A result and when it came: on the monotonic clock, and in µs of UTC."""

    message: ResultMessage
    received_at_s: float
    received_at_us: int


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message outside the contract: what it was, and what is wrong with it.

    `raw_bytes` are set where the message was no text; `raw_text` then is as much of it as is.
    """

    raw_text: str
    detail: str
    raw_bytes: bytes | None = None


class _ConnectHere(connect):
    """Connects to the URL given and nowhere else: the first message is the key."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class ResultsSocket:
    """Takes results for as long as the stream's lease lives, over as many connections as needed.

    Results that the service pushes while no connection is open are lost; the session notices by
    the media that nobody answers for.

    Args:
        base_url: Root of the API.
        stream_id: The stream.
        key: API key, sent as the first message.
        lease_alive: Says whether reconnecting still makes sense.
        monotonic_s: A clock that never jumps, in seconds.
        wall_us: µs of UTC since 1970.
        open_timeout_s: Bound of one attempt to connect.
        sleep: Waits between attempts.

    Attributes:
        reconnects: How many attempts to connect followed a lost connection or a failed attempt.
    """

    def __init__(
        self,
        base_url: str,
        stream_id: str,
        key: Secret,
        *,
        lease_alive: Callable[[], bool],
        monotonic_s: Callable[[], float],
        wall_us: Callable[[], int],
        open_timeout_s: float = 10.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._url = results_url(base_url, stream_id)
        self._key = key
        self._lease_alive = lease_alive
        self._monotonic_s = monotonic_s
        self._wall_us = wall_us
        self._open_timeout_s = open_timeout_s
        self._sleep = sleep
        self._backoff = Backoff(*_BACKOFF_S, random=random.Random())  # noqa: S311 - jitter
        self._connection: ClientConnection | None = None
        self._failures_in_a_row = 0
        self._closed = False
        self._waiting: asyncio.Timeout | None = None
        self.reconnects = 0

    async def answers(self) -> AsyncIterator[Received | Malformed]:
        """Yield results until the stream ends, or until `aclose` is called.

        Raises:
            StreamEndedError: The service has ended the stream.
            AuthenticationError: It does not accept the key.
            InsufficientCreditsError: The account has no credit left.
            StreamNotFoundError: It does not know the stream.
            TransportError: The lease is over while there is no connection, or the URL leads
                elsewhere.
            ConfigurationError: The URL, or a proxy that the environment names, cannot be used.
        """
        try:
            while (text := await self._next_or_closed()) is not None:
                yield self._read(text)
        finally:
            await self._drop_connection()

    async def aclose(self) -> None:
        """End `answers`, whatever it waits for, and close the connection, if there is one."""
        already_closed, self._closed = self._closed, True
        if self._waiting is not None and not already_closed:
            self._waiting.reschedule(asyncio.get_running_loop().time())
        await self._drop_connection()

    async def _next_or_closed(self) -> str | bytes | None:
        """Wait for a message; None once `aclose` was called."""
        if self._closed:
            return None
        try:
            # No time-out but a wait that `aclose` can end from another task.
            async with asyncio.timeout(None) as self._waiting:
                return await self._next()
        except TimeoutError:
            if not self._closed:
                raise
            return None
        finally:
            self._waiting = None

    async def _next(self) -> str | bytes:
        while True:
            try:
                if self._connection is None:
                    self._connection = await self._connected()
                # `recv` raises at the end, whatever the close code; iteration would hide 1001.
                text = await self._connection.recv()
            except (InvalidURI, InvalidProxy, ImportError) as error:
                raise ConfigurationError(
                    f"no result socket ({type(error).__name__}); check the base URL and the proxy "
                    "that HTTPS_PROXY or ALL_PROXY name (SOCKS is not supported)"
                ) from None
            except (OSError, InvalidHandshake, ConnectionClosed) as error:
                if (ended := self._ended_by(error)) is not None:
                    raise ended from None
                await self._drop_connection()
                await self._pause(error)
            else:
                self._failures_in_a_row = 0
                return text

    async def _connected(self) -> ClientConnection:
        connection = await _ConnectHere(
            self._url,
            open_timeout=self._open_timeout_s,
            close_timeout=_CLOSE_TIMEOUT_S,
            ping_interval=_PING_INTERVAL_S,
            ping_timeout=_PING_INTERVAL_S,
            max_size=LARGEST_MESSAGE_BYTES,
            max_queue=_QUEUED_MESSAGES,
            logger=WithoutMessages(_logger),
        )
        try:
            await connection.send(authentication(self._key))
        except BaseException:
            # Nobody else holds this connection yet, also when the sending is cancelled.
            connection.transport.abort()
            raise
        return connection

    async def _pause(self, error: Exception) -> None:
        lost = f"the result socket is lost ({_named(error)})"
        if not self._lease_alive():
            raise TransportError(f"{lost} and the lease is over")
        _logger.info("%s; connecting again", lost)
        self._failures_in_a_row += 1
        await self._sleep(self._backoff.pause_s(self._failures_in_a_row))
        self.reconnects += 1

    async def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _read(self, text: str | bytes) -> Received | Malformed:
        received_at_s, received_at_us = self._monotonic_s(), self._wall_us()
        try:
            return Received(ResultMessage.parse(text), received_at_s, received_at_us)
        except TransportError as error:
            if isinstance(text, str):
                return Malformed(text, str(error))
            return Malformed(text.decode(errors="replace"), str(error), text)

    def _ended_by(self, error: Exception) -> OvershootFlowError | None:
        """Return what ends the answers for good, or None for a fault of the network."""
        if isinstance(error, InvalidStatus):
            return self._refused(error.response.status_code, error.response.body)
        if not isinstance(error, ConnectionClosed) or error.rcvd is None:
            return None
        match meaning_of_close(error.rcvd.code):
            case SocketEnd.AUTHENTICATION:
                return AuthenticationError("the result socket does not accept the key", code="1008")
            case SocketEnd.STREAM_ENDED:
                return StreamEndedError(self._key.redact(error.rcvd.reason) or "no reason given")
            case SocketEnd.NETWORK:
                return None

    def _refused(self, status: int, body: bytes | bytearray | None) -> OvershootFlowError | None:
        if status in _REDIRECTS:
            return TransportError(
                "the result socket answers with a redirect, which is not followed because it "
                "would take the API key along; give the base URL that it leads to"
            )
        return (
            error_from_response(status, bytes(body or b""), (self._key,))
            if status in _REFUSALS
            else None
        )


def _named(error: Exception) -> str:
    if isinstance(error, InvalidStatus):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, ConnectionClosed):
        frame = error.rcvd or error.sent
        return "closed without a close frame" if frame is None else f"close code {frame.code}"
    return type(error).__name__
