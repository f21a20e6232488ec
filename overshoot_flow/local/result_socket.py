"""The WebSocket that pushes results: `/v0.2/ws/streams/{id}`.

The first message must be `{"api_key": "…"}`. Close code 1008 means that it was not, or not in
time, or that the key does not own the stream; 1001 that the stream ended, with the contract's
reason; 1012 that this server stops.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web

from overshoot_flow.local.accounts import Account, Accounts
from overshoot_flow.local.leased_stream import EndReason
from overshoot_flow.local.owned_tasks import OwnedTasks
from overshoot_flow.local.stream import SentResult, Stream
from overshoot_flow.local.streams import Streams

_SERVICE_RESTART: Final = WSCloseCode.SERVICE_RESTART
_CLOSE_TIMEOUT_S: Final = 1.0

_logger = logging.getLogger(__name__)


class ResultSocket:
    """Sends one stream's results to one client.

    Overflow policy: when the client reads too slowly, the oldest waiting result is dropped and
    counted.

    Args:
        socket: The prepared WebSocket.
        request: The request that it came with.
        max_queued: Results that may wait.
    """

    def __init__(
        self, socket: web.WebSocketResponse, request: web.Request, max_queued: int
    ) -> None:
        self._socket = socket
        self._request = request
        self._max_queued = max_queued
        self._waiting: deque[SentResult] = deque()
        self._end: EndReason | None = None
        self._changed = asyncio.Event()
        self.results_dropped = 0

    def take(self, result: SentResult) -> None:
        """Send `result` soon."""
        if len(self._waiting) >= self._max_queued:
            self._waiting.popleft()
            self.results_dropped += 1
        self._waiting.append(result)
        self._changed.set()

    def stream_ended(self, reason: EndReason) -> None:
        """Close after what waits has been sent."""
        self._end = reason
        self._changed.set()

    def drop(self) -> None:
        """Cut the connection without a close frame."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def pump(self) -> None:
        """Send until the stream has ended or the connection is gone."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                while self._waiting:
                    result = self._waiting.popleft()
                    await self._socket.send_str(json.dumps(result.answer.message))
                    result.sent = True
            except ConnectionError:
                _logger.debug("a result socket went away")
                return
            if self._end is not None:
                stopped = self._end == "server_stopped"
                code = _SERVICE_RESTART if stopped else WSCloseCode.GOING_AWAY
                await self._socket.close(code=code, message=self._end.encode())
                return


class ResultSockets:
    """Serves every result socket.

    Args:
        accounts: The API keys.
        streams: The streams.
        authentication_timeout_s: Bound of the wait for the first message.
        max_queued: Results that may wait per socket.
    """

    def __init__(
        self,
        accounts: Accounts,
        streams: Streams,
        *,
        authentication_timeout_s: float,
        max_queued: int,
    ) -> None:
        self._accounts = accounts
        self._streams = streams
        self._authentication_timeout_s = authentication_timeout_s
        self._max_queued = max_queued
        self._open: set[web.WebSocketResponse] = set()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one socket from the handshake to its end."""
        socket = web.WebSocketResponse(timeout=_CLOSE_TIMEOUT_S)
        await socket.prepare(request)
        self._open.add(socket)
        try:
            account = await self._authenticate(socket)
            stream_id = request.match_info["stream_id"]
            stream = None if account is None else self._streams.find_any(account, stream_id)
            if stream is None:
                await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"unauthorized")
            else:
                await self._push(socket, request, stream)
        finally:
            self._open.discard(socket)
        return socket

    async def close_all(self) -> None:
        """Close the sockets that are not authenticated yet, or are still open."""
        await asyncio.gather(*(socket.close(code=_SERVICE_RESTART) for socket in [*self._open]))

    async def _authenticate(self, socket: web.WebSocketResponse) -> Account | None:
        try:
            async with asyncio.timeout(self._authentication_timeout_s):
                message = await socket.receive()
        except TimeoutError:
            return None
        if message.type is not WSMsgType.TEXT:
            return None
        try:
            document = json.loads(message.data)
        except ValueError:
            return None
        return self._accounts.find(document.get("api_key") if isinstance(document, dict) else None)

    async def _push(
        self, socket: web.WebSocketResponse, request: web.Request, stream: Stream
    ) -> None:
        listener = ResultSocket(socket, request, self._max_queued)
        tasks = OwnedTasks()
        tasks.start(listener.pump(), f"results of {stream.id}")
        stream.attach(listener)
        try:
            # Nothing more is expected from the client; reading notices when it goes.
            async for _ in socket:
                pass
        finally:
            stream.detach(listener)
            await tasks.stop()
