"""The local Overshoot server: every generation of the API, rooms for publishers, engines.

One port serves HTTP and WebSocket: the API under `/v0.2`, `/v1` and
`/v1beta`, billing, LiveKit signalling at `/rtc`, and, when
allowed, fault injection under `/_local` (see `overshoot_flow.local.local_api`). It is a tool for
development, demos and tests: it keeps nothing and knows no model.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from overshoot_flow.errors import TransportError
from overshoot_flow.local.accounts import Accounts
from overshoot_flow.local.clock import SteadyClock
from overshoot_flow.local.faults import HttpFaults, ModelFaults
from overshoot_flow.local.http_layer import API_PREFIX, HttpLayer
from overshoot_flow.local.ingest.room import Rooms
from overshoot_flow.local.ingest.tokens import Grant, TokenMint
from overshoot_flow.local.local_api import LocalApi
from overshoot_flow.local.models import Models
from overshoot_flow.local.rest import RestApi
from overshoot_flow.local.result_socket import ResultSockets
from overshoot_flow.local.server_config import ModelStatus, ServerConfig
from overshoot_flow.local.stream import Surroundings
from overshoot_flow.local.streams import Streams
from overshoot_flow.local.v1.chat import Chat
from overshoot_flow.local.v1.rest import V1Api
from overshoot_flow.local.v1.streams import V1Streams

__all__ = ["LocalServer", "ModelStatus", "ServerConfig", "serve"]

_SHUTDOWN_TIMEOUT_S: Final = 5.0

_logger = logging.getLogger(__name__)


class LocalServer:
    """The server inside a running event loop; also an async context manager.

    Args:
        config: How it behaves.

    Raises:
        ConfigurationError: The configuration cannot work, or the default engine is not installed.
    """

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self._accounts = Accounts(config.keys)
        self._models = Models(config)
        self._http_faults = HttpFaults()
        self._stopping = asyncio.Event()
        self._executor = ThreadPoolExecutor(config.engine_threads, "engine")
        surroundings = Surroundings(
            config=config,
            clock=SteadyClock(),
            executor=self._executor,
            model_faults=ModelFaults(),
        )
        addresses = _media_addresses(config.host)
        self._rooms = Rooms(
            TokenMint(config.publish_token_ttl_s),
            addresses,
            key_frames_only=config.decode_key_frames_only,
        )
        self._streams = Streams(surroundings, self._models, self._rooms, addresses)
        self._v1_streams = V1Streams(surroundings, self._rooms)
        self._sockets = ResultSockets(
            self._accounts,
            self._streams,
            authentication_timeout_s=config.authentication_timeout_s,
            max_queued=config.max_queued_results,
        )
        # The access log would carry room tokens: SDKs may send them in the query.
        self._runner = web.AppRunner(
            self._application(surroundings),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=_SHUTDOWN_TIMEOUT_S,
        )
        self._port: int | None = None

    @property
    def root_url(self) -> str:
        """URL of the server without the API's version, such as `http://127.0.0.1:8090`."""
        if self._port is None:
            msg = "start the server first"
            raise RuntimeError(msg)
        host = self.config.host
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    @property
    def base_url(self) -> str:
        """URL of the v0.2 API, as `Service.base_url` takes it."""
        return f"{self.root_url}{API_PREFIX}"

    @property
    def v1_url(self) -> str:
        """URL of the v1 API; v1beta is beside it."""
        return f"{self.root_url}/v1"

    @property
    def room_url(self) -> str:
        """WebSocket URL of the rooms, as LiveKit's SDKs take it."""
        return self.root_url.replace("http", "ws", 1)

    def room_token(
        self, room: str, identity: str, *, can_publish: bool = False, can_subscribe: bool = False
    ) -> str:
        """Mint a token for a room that belongs to no stream: a user's own room."""
        return self._rooms.mint.mint(
            Grant(
                room=room, identity=identity, can_publish=can_publish, can_subscribe=can_subscribe
            )
        )

    async def start(self) -> None:
        """Listen.

        Raises:
            TransportError: The address cannot be bound.
        """
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.config.host, self.config.port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise TransportError(
                f"cannot listen on {self.config.host}:{self.config.port}: {error.strerror}"
            ) from None
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """End every stream, close every connection, and wait for all of it."""
        self._stopping.set()
        await self._streams.close_all()
        await self._v1_streams.close_all()
        await self._rooms.close_all()
        await self._sockets.close_all()
        await self._runner.cleanup()
        await asyncio.to_thread(self._executor.shutdown)

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Stop."""
        await self.stop()

    def _application(self, surroundings: Surroundings) -> web.Application:
        http = HttpLayer(self._accounts, self._http_faults, self._stopping)
        application = web.Application(
            middlewares=[http.middleware()], client_max_size=self.config.v1.max_request_bytes
        )
        rest = RestApi(http, self._streams, self._models, self.config.lease_ttl_s)
        application.add_routes(rest.routes())
        chat = Chat(surroundings, self._v1_streams, self._models)
        v1 = V1Api(http, self._v1_streams, self._models, chat, surroundings)
        application.add_routes(v1.routes())
        application.router.add_get(
            f"{API_PREFIX}/ws/streams/{{stream_id}}", self._sockets.serve, allow_head=False
        )
        application.router.add_get("/rtc", self._rooms.signalling, allow_head=False)
        application.router.add_get("/rtc/validate", self._rooms.validate)
        if self.config.allow_faults:
            local = LocalApi(
                self._streams,
                self._accounts,
                self._models,
                self._http_faults,
                surroundings.model_faults,
                v1_streams=self._v1_streams,
                chat=chat,
            )
            application.add_routes(local.routes())
        return application


def serve(config: ServerConfig) -> int:
    """Run a server until SIGINT or SIGTERM; print its base URL once it listens.

    Returns:
        Exit code 0.

    Raises:
        ConfigurationError: The configuration cannot work.
        TransportError: The address cannot be bound.
    """
    asyncio.run(_serve(config))
    return 0


async def _serve(config: ServerConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with LocalServer(config) as server:
        print(f"Overshoot v0.2 at {server.base_url}", flush=True)  # noqa: T201 - the CLI's output
        print(f"Overshoot v1 at {server.v1_url}", flush=True)  # noqa: T201 - the CLI's output
        await stop.wait()


def _media_addresses(host: str) -> tuple[str, ...] | None:
    """Bind media to what HTTP is bound to; a wildcard or a name means every interface."""
    if host == "localhost":
        return ("127.0.0.1",)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return None if address.is_unspecified else (host,)
