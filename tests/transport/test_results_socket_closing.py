"""The result socket can be closed at every moment, and leaves no connection behind."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import WSMsgType, web
from results_socket_support import ENDING, Connections, listening, opened, socket_to
from transport_support import Pauses, refusing_port, result_text, serving, serving_bytes, until

from overshoot_flow.transport.results_socket import ResultsSocket


def test_closing_ends_the_wait_for_a_connection() -> None:
    async def scenario() -> None:
        async with serving_bytes() as mute:
            socket = socket_to(mute.base_url, open_timeout_s=60.0)
            async with listening(socket) as task:
                await until(lambda: bool(mute.requests))
                await socket.aclose()
                assert await task == []

    asyncio.run(scenario())


def test_closing_ends_the_pause_between_two_connections() -> None:
    async def scenario() -> None:
        async def for_ever(_attempt: int) -> None:
            await asyncio.Event().wait()

        pauses = Pauses(meanwhile=for_ever)
        with refusing_port() as port:
            socket = socket_to(port.base_url, pauses)
            async with listening(socket) as task:
                await until(lambda: bool(pauses.seconds))
                await socket.aclose()
                assert await task == []

    asyncio.run(scenario())


def test_a_closed_socket_does_not_connect_again() -> None:
    connections = Connections(ENDING)

    async def scenario() -> None:
        async with serving(connections) as base_url:
            socket = socket_to(base_url)
            await socket.aclose()
            async with listening(socket) as task:
                assert await task == []

    asyncio.run(scenario())
    assert not connections.requests


@pytest.mark.parametrize("how", ["cancelled", "left", "closed"])
def test_no_connection_outlives_its_listener(how: str) -> None:
    left: list[WSMsgType] = []

    async def one_result(request: web.Request) -> web.StreamResponse:
        socket = await opened(request)
        await socket.send_str(result_text(1))
        left.append((await socket.receive()).type)
        return socket

    async def scenario() -> None:
        heard = asyncio.Event()

        async def listen(socket: ResultsSocket) -> None:
            async for _ in socket.answers():
                heard.set()
                if how == "left":
                    return

        async with serving(one_result) as base_url:
            socket = socket_to(base_url)
            task = asyncio.create_task(listen(socket))
            await asyncio.wait_for(heard.wait(), 10)
            if how == "cancelled":
                task.cancel()
            else:
                await socket.aclose()
            await asyncio.wait([task], timeout=10)
            assert task.cancelled() is (how == "cancelled")
            await until(lambda: bool(left))

    asyncio.run(scenario())
    assert left == [WSMsgType.CLOSE]
