"""Scripted ends of result sockets, and listeners with an invented clock."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from transport_support import KEY, SECRET, Pauses, drop, serving

from overshoot_flow.errors import OvershootFlowError
from overshoot_flow.transport.results_socket import Received, ResultsSocket

Step = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Connections:
    """Meets the n-th connection with the n-th step, and every later one with the last."""

    def __init__(self, *steps: Step) -> None:
        self.steps = steps
        self.requests: list[web.Request] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        return await self.steps[min(len(self.requests), len(self.steps)) - 1](request)


async def opened(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    assert await socket.receive_json() == {"api_key": KEY}
    return socket


async def breaking(request: web.Request) -> web.StreamResponse:
    socket = await opened(request)
    drop(request)
    return socket


def saying(*texts: str) -> Step:
    async def step(request: web.Request) -> web.StreamResponse:
        socket = await opened(request)
        for text in texts:
            await socket.send_str(text)
        # The last one may break the connection on the other side.
        await socket.receive()
        return socket

    return step


def closing(code: int, reason: str = "") -> Step:
    async def step(request: web.Request) -> web.StreamResponse:
        socket = await opened(request)
        await socket.close(code=code, message=reason.encode())
        return socket

    return step


def refusing(status: int, body: object = None, location: str | None = None) -> Step:
    async def step(_request: web.Request) -> web.StreamResponse:
        headers = {} if location is None else {"location": location}
        return web.json_response(body, status=status, headers=headers)

    return step


ENDING = closing(1001, "client_requested")


def socket_to(
    base_url: str,
    pauses: Pauses | None = None,
    *,
    open_timeout_s: float = 10.0,
    lease_alive: Callable[[], bool] = lambda: True,
) -> ResultsSocket:
    seconds = itertools.count(1)
    return ResultsSocket(
        base_url,
        "s-1",
        SECRET,
        lease_alive=lease_alive,
        monotonic_s=lambda: float(next(seconds)),
        wall_us=lambda: 1_000_000 * next(seconds),
        open_timeout_s=open_timeout_s,
        sleep=(pauses or Pauses()).sleep,
    )


@contextlib.asynccontextmanager
async def listening(socket: ResultsSocket) -> AsyncIterator[asyncio.Task[list[str]]]:
    """Listen in a task of its own; it must have ended when the block is left."""

    async def listen() -> list[str]:
        return [item.message.id async for item in socket.answers() if isinstance(item, Received)]

    task = asyncio.create_task(listen())
    try:
        yield task
    finally:
        await asyncio.wait([task], timeout=10)
        assert task.done()
        await socket.aclose()


async def ended_by(socket: ResultsSocket) -> OvershootFlowError:
    with pytest.raises(OvershootFlowError) as caught:
        async for _ in socket.answers():
            pass
    return caught.value


def ended_at(*steps: Step, pauses: Pauses | None = None) -> tuple[OvershootFlowError, Connections]:
    async def scenario() -> OvershootFlowError:
        async with serving(connections) as base_url:
            # Far more than any test needs, so that a socket that never gives up fails its test.
            socket = socket_to(base_url, pauses, lease_alive=lambda: len(connections.requests) < 20)
            return await ended_by(socket)

    connections = Connections(*steps)
    return asyncio.run(scenario()), connections
