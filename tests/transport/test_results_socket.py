"""The result socket against tiny real servers: every way in which a connection can end."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import WSCloseCode, web
from transport_support import KEY, SECRET, Pauses, drop, refusing_port, result_text, serving, until

from overshoot_flow.errors import (
    AuthenticationError,
    OvershootFlowError,
    StreamEndedError,
    StreamNotFoundError,
    TransportError,
)
from overshoot_flow.transport.results_socket import Malformed, Received, ResultsSocket

Behaviour = Callable[[web.Request, web.WebSocketResponse], Awaitable[None]]


class Script:
    """Plays one behaviour per connection, the last one again and again."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self.behaviours = list(behaviours)
        self.first_messages: list[str] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        self.first_messages.append(await socket.receive_str())
        play = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        await play(request, socket)
        return socket


def say(*texts: str, close: int | None = None, reason: str = "") -> Behaviour:
    async def play(request: web.Request, socket: web.WebSocketResponse) -> None:
        for text in texts:
            await socket.send_str(text)
        if close is None:
            drop(request)
        else:
            await socket.close(code=close, message=reason.encode())

    return play


async def stay(_request: web.Request, socket: web.WebSocketResponse) -> None:
    await socket.receive()


ENDED = say(close=1001, reason="client_requested")


def socket_to(base_url: str, *, lease_alive: Callable[[], bool] = lambda: True) -> ResultsSocket:
    return ResultsSocket(
        base_url,
        "s-1",
        SECRET,
        lease_alive=lease_alive,
        monotonic_s=time.monotonic,
        wall_us=lambda: 1,
        sleep=Pauses().sleep,
    )


def listened(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    *,
    lease_alive: Callable[[], bool] = lambda: True,
) -> tuple[list[Received | Malformed], OvershootFlowError, ResultsSocket]:
    """Listen until an error ends it."""

    async def scenario() -> tuple[list[Received | Malformed], OvershootFlowError, ResultsSocket]:
        async with serving(handler) as base_url:
            socket = socket_to(base_url, lease_alive=lease_alive)
            got: list[Received | Malformed] = []
            try:
                async for received in socket.answers():
                    got.append(received)  # noqa: PERF401 - what came before the error counts
            except OvershootFlowError as error:
                return got, error, socket
            pytest.fail("it ended without an error")

    return asyncio.run(scenario())


def ids(got: list[Received | Malformed]) -> list[str]:
    return [item.message.id for item in got if isinstance(item, Received)]


def test_the_first_message_authenticates_and_results_follow() -> None:
    script = Script(say(result_text(1), result_text(2), close=1001, reason="livekit_disconnected"))
    got, error, _ = listened(script)
    assert ids(got) == ["r-1", "r-2"]
    assert [json.loads(text) for text in script.first_messages] == [{"api_key": KEY}]
    assert isinstance(error, StreamEndedError)
    assert error.reason == "livekit_disconnected"


@pytest.mark.parametrize("close", [None, 1000, 1011, 1012, 1013])
def test_a_lost_connection_is_replaced_while_the_lease_lives(close: int | None) -> None:
    got, error, socket = listened(Script(say(result_text(1), close=close), ENDED))
    assert ids(got) == ["r-1"]
    assert socket.reconnects == 1
    assert isinstance(error, StreamEndedError)


def test_without_a_lease_a_lost_connection_is_the_end() -> None:
    _, error, socket = listened(Script(say()), lease_alive=lambda: False)
    assert isinstance(error, TransportError)
    assert "lease is over" in str(error)
    assert socket.reconnects == 0


def test_a_wrong_key_is_the_end() -> None:
    script = Script(say(close=WSCloseCode.POLICY_VIOLATION, reason="bad key"))
    _, error, _ = listened(script)
    assert isinstance(error, AuthenticationError)
    assert len(script.first_messages) == 1


@pytest.mark.parametrize(
    ("status", "kind"), [(401, AuthenticationError), (404, StreamNotFoundError)]
)
def test_a_refused_upgrade_is_the_end(status: int, kind: type[OvershootFlowError]) -> None:
    async def refuse(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    _, error, _ = listened(refuse)
    assert isinstance(error, kind)


def test_a_refused_connection_is_tried_again_until_the_lease_is_over() -> None:
    attempts = iter([True, True, False])

    async def scenario() -> ResultsSocket:
        with refusing_port() as port:
            socket = socket_to(port.base_url, lease_alive=lambda: next(attempts))
            with pytest.raises(TransportError, match="lease is over"):
                async for _ in socket.answers():
                    pass
            return socket

    assert asyncio.run(scenario()).reconnects == 2


def test_a_message_outside_the_contract_is_a_value() -> None:
    got, _, _ = listened(
        Script(say("no json", "{}", result_text(3), close=1001, reason="client_requested"))
    )
    assert [type(item) for item in got] == [Malformed, Malformed, Received]
    assert isinstance(got[0], Malformed)
    assert got[0].raw_text == "no json"


def test_closing_ends_the_wait_at_once_and_more_than_once() -> None:
    async def scenario() -> list[Received | Malformed]:
        script = Script(stay)
        async with serving(script) as base_url:
            socket = socket_to(base_url)

            async def listen() -> list[Received | Malformed]:
                return [received async for received in socket.answers()]

            listening = asyncio.create_task(listen())
            await until(lambda: bool(script.first_messages))
            await asyncio.gather(socket.aclose(), socket.aclose())
            await socket.aclose()
            async with asyncio.timeout(10):
                return await listening

    assert asyncio.run(scenario()) == []


def test_the_key_is_in_no_log_even_when_everything_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG):
        listened(Script(say(result_text(1)), ENDED))
    assert not [record for record in caplog.records if KEY in record.getMessage()]
