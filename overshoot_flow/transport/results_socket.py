"""The WebSocket on which a stream's results are pushed."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from overshoot_flow.config import Secret
from overshoot_flow.errors import (
    AuthenticationError,
    OvershootFlowError,
    StreamEndedError,
    StreamNotFoundError,
    TransportError,
)
from overshoot_flow.protocol.close_codes import SocketEnd, meaning_of_close
from overshoot_flow.protocol.retry import Backoff
from overshoot_flow.protocol.v02 import ResultMessage, authentication, results_url

_BACKOFF_S: Final = (0.2, 5.0)
_OPEN_TIMEOUT_S: Final = 10.0
_CLOSE_TIMEOUT_S: Final = 1.0
_PING_INTERVAL_S: Final = 10.0
_LARGEST_MESSAGE: Final = 4 * 1024 * 1024
_QUEUED_MESSAGES: Final = 64
"""Messages that may wait in the connection; beyond it the library stops reading the socket."""

_REFUSED: Final = {401: AuthenticationError, 403: AuthenticationError, 404: StreamNotFoundError}

_logger = logging.getLogger(__name__)
# At DEBUG the library writes every message, and the first one holds the key.
_quiet_logger = logging.getLogger(f"{__name__}.frames")
_quiet_logger.setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Received:
    """A result and when it came: on the monotonic clock, and in µs of UTC."""

    message: ResultMessage
    received_at_s: float
    received_at_us: int


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message outside the contract."""

    raw_text: str
    detail: str


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
    ) -> None:
        self._url = results_url(base_url, stream_id)
        self._key = key
        self._lease_alive = lease_alive
        self._monotonic_s = monotonic_s
        self._wall_us = wall_us
        self._backoff = Backoff(*_BACKOFF_S, random=random.Random())  # noqa: S311 - jitter
        self._connection: ClientConnection | None = None
        self.reconnects = 0

    async def answers(self) -> AsyncIterator[Received | Malformed]:
        """Yield results until the stream ends.

        Raises:
            StreamEndedError: The service has ended the stream.
            AuthenticationError: It does not accept the key.
            StreamNotFoundError: It does not know the stream.
            TransportError: The lease is over while there is no connection.
        """
        failures = 0
        while True:
            try:
                async for text in self._messages():
                    failures = 0
                    yield self._read(text)
            except (OSError, InvalidHandshake, TimeoutError, ConnectionClosed) as error:
                if (ended := _translated(error)) is not None:
                    raise ended from None
                _logger.info("the result socket is lost (%s)", type(error).__name__)
            failures += 1
            if not self._lease_alive():
                raise TransportError("the result socket is lost and the lease is over")
            await asyncio.sleep(self._backoff.pause_s(failures))
            self.reconnects += 1

    async def _messages(self) -> AsyncIterator[str | bytes]:
        async with connect(
            self._url,
            open_timeout=_OPEN_TIMEOUT_S,
            close_timeout=_CLOSE_TIMEOUT_S,
            ping_interval=_PING_INTERVAL_S,
            ping_timeout=_PING_INTERVAL_S,
            max_size=_LARGEST_MESSAGE,
            max_queue=_QUEUED_MESSAGES,
            logger=_quiet_logger,
        ) as connection:
            self._connection = connection
            await connection.send(authentication(self._key))
            # `recv` raises at the end, whatever the close code; iteration would hide 1001.
            while True:
                yield await connection.recv()

    def _read(self, text: str | bytes) -> Received | Malformed:
        received_at_s, received_at_us = self._monotonic_s(), self._wall_us()
        try:
            return Received(ResultMessage.parse(text), received_at_s, received_at_us)
        except TransportError as error:
            raw_text = text if isinstance(text, str) else text.decode(errors="replace")
            return Malformed(raw_text, str(error))

    async def aclose(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            await self._connection.close()


def _translated(error: Exception) -> OvershootFlowError | None:
    """Return what ends the answers for good, or None for a fault of the network."""
    if isinstance(error, InvalidStatus):
        refused = _REFUSED.get(error.response.status_code)
        return (
            None if refused is None else refused("result socket", status=error.response.status_code)
        )
    if not isinstance(error, ConnectionClosed) or error.rcvd is None:
        return None
    match meaning_of_close(error.rcvd.code):
        case SocketEnd.AUTHENTICATION:
            return AuthenticationError("the result socket does not accept the key", code="1008")
        case SocketEnd.STREAM_ENDED:
            return StreamEndedError(error.rcvd.reason or "no reason given")
        case SocketEnd.NETWORK:
            return None
