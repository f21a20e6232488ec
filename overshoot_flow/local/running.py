"""Runs the local server in a thread of its own: for tests and demos without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from overshoot_flow.errors import TransportError
from overshoot_flow.local.server import LocalServer, ServerConfig

_START_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A server that runs in another thread.

    Attributes:
        base_url: URL of the v0.2 API.
        root_url: The same without the version.
        room_url: WebSocket URL of the rooms.
    """

    base_url: str
    root_url: str
    room_url: str
    _server: LocalServer

    def room_token(
        self, room: str, identity: str, *, can_publish: bool = False, can_subscribe: bool = False
    ) -> str:
        """Mint a token for a room that belongs to no stream: a user's own room."""
        return self._server.room_token(
            room, identity, can_publish=can_publish, can_subscribe=can_subscribe
        )


class _ServerThread:
    """A thread with an event loop that runs the server between `start` and `stop`."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._thread = threading.Thread(target=self._run, name="local-server")
        self._settled = threading.Event()
        self._running: RunningServer | None = None
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def start(self) -> RunningServer:
        self._thread.start()
        if not self._settled.wait(_START_TIMEOUT_S):
            raise TransportError(f"the local server did not start within {_START_TIMEOUT_S:g} s")
        if self._failure is not None:
            raise self._failure
        if self._running is None:
            raise TransportError("the local server stopped while it was starting")
        return self._running

    def stop(self) -> None:
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as failure:  # noqa: BLE001 - raised again in the owner's thread
            self._failure = failure
        finally:
            self._settled.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with LocalServer(self._config) as server:
            self._running = RunningServer(
                base_url=server.base_url,
                root_url=server.root_url,
                room_url=server.room_url,
                _server=server,
            )
            self._settled.set()
            await self._stop.wait()


@contextmanager
def running_server(config: ServerConfig) -> Iterator[RunningServer]:
    """Run a server while the block runs; everything of it has ended afterwards.

    Raises:
        ConfigurationError: The configuration cannot work.
        TransportError: The address cannot be bound.
    """
    thread = _ServerThread(config)
    running = thread.start()
    try:
        yield running
    finally:
        thread.stop()
