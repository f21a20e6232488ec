"""Tiny servers on 127.0.0.1 that do exactly what a test says, and a sleep that takes no time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from aiohttp import web

from overshoot_flow.config import Secret

KEY = "ovs_0123456789abcdef"
SECRET = Secret(KEY)
DEADLINE_S = 20.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Pauses:
    """A `sleep` that notes what it was asked for, and may do something meanwhile."""

    seconds: list[float] = field(default_factory=list)
    meanwhile: Callable[[int], Awaitable[None]] | None = None

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if self.meanwhile is not None:
            await self.meanwhile(len(self.seconds))
        await asyncio.sleep(0)


@dataclass
class Port:
    """A port of this machine that refuses connections until something listens on it."""

    bound: socket.socket

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.bound.getsockname()[1]}/v0.2"


@contextlib.contextmanager
def refusing_port() -> Iterator[Port]:
    """Reserve a free port without listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield Port(bound)


@contextlib.asynccontextmanager
async def serving(handler: Handler, port: Port | None = None) -> AsyncIterator[str]:
    """Answer every request by `handler`; yield the base URL."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        if port is None:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
        else:
            await web.SockSite(runner, port.bound.dup()).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v0.2"
    finally:
        await runner.cleanup()


@dataclass
class Bytes:
    """A server of bytes: where it is, and what it was sent on each connection."""

    port: int
    requests: list[bytes] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v0.2"


@contextlib.asynccontextmanager
async def serving_bytes(answer: bytes = b"", *, hold: bool = True) -> AsyncIterator[Bytes]:
    """Answer whatever is sent on TCP with `answer`, then hold the connection or close it."""
    requests: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            requests.append(await reader.read(65536))
            writer.write(answer)
            await writer.drain()
            if hold:
                await reader.read()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield Bytes(server.sockets[0].getsockname()[1], requests)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until `holds`; fail after a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


def drop(request: web.Request) -> None:
    """Break the connection without a word."""
    assert request.transport is not None
    request.transport.abort()


def result_text(number: int) -> str:
    """A result message of the contract."""
    return json.dumps(
        {
            "id": f"r-{number}",
            "stream_id": "s-1",
            "mode": "frame",
            "model_backend": "overshoot",
            "model_name": "m",
            "prompt": "?",
            "result": f"answer {number}",
            "inference_latency_ms": 100.0,
            "total_latency_ms": 150.0,
            "ok": True,
            "error": None,
            "finish_reason": "stop",
        }
    )
