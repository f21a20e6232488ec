"""Answers as events over real HTTP: from the local server, and from servers that break off."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web
from transport_support import SECRET, Handler, drop, serving

from overshoot_flow.config import Service
from overshoot_flow.errors import OvershootFlowError, TransportError, WindowError
from overshoot_flow.local.running import running_server
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.protocol.v1_chat import ChatAnswer, ChatRequest
from overshoot_flow.transport.http_v1 import Asked, OvershootV1

QUESTION = ChatRequest(model="local/pixels", prompt="anybody?")
HALF = b'data: {"choices": [{"delta": {"content": "half"}}]}\n\n'


async def asked_at(base_url: str, texts: list[str] | None = None, timeout_s: float = 10.0) -> Asked:
    service = Service(key=SECRET, base_url=base_url)
    client = OvershootV1(service, chat_timeout_s=timeout_s)
    try:
        return await client.ask(QUESTION, None if texts is None else texts.append)
    finally:
        await client.aclose()


async def asked_of(handler: Handler, texts: list[str], timeout_s: float = 10.0) -> Asked:
    async with serving(handler) as base_url:
        return await asked_at(base_url.replace("/v0.2", "/v1"), texts, timeout_s)


async def events(request: web.Request, *pieces: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
    return response


def test_the_local_server_says_the_same_in_pieces_and_in_one() -> None:
    with running_server(ServerConfig(keys={SECRET.reveal(): 100.0})) as server:
        texts: list[str] = []
        in_pieces = asyncio.run(asked_at(f"{server.root_url}/v1", texts))
        in_one = asyncio.run(asked_at(f"{server.root_url}/v1"))
    assert isinstance(in_pieces.outcome, ChatAnswer)
    assert isinstance(in_one.outcome, ChatAnswer)
    assert "".join(texts) == in_pieces.outcome.text == in_one.outcome.text
    assert in_pieces.outcome.usage == in_one.outcome.usage
    assert in_pieces.rate.limit == in_one.rate.limit == 100


def test_text_arrives_while_the_answer_is_written_and_the_end_is_its_last_event() -> None:
    texts: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})
        response = await events(request, HALF)
        async with asyncio.timeout(20):
            while not texts:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.005)
        await response.write(HALF + b"data: [DONE]\n\n")
        # A service that leaves the connection open keeps nobody waiting.
        await asyncio.Event().wait()
        return response

    asked = asyncio.run(asked_of(handler, texts))
    assert isinstance(asked.outcome, ChatAnswer)
    assert (asked.outcome.text, texts) == ("halfhalf", ["half", "half"])


async def _breaks_off(request: web.Request) -> web.StreamResponse:
    response = await events(request, HALF)
    drop(request)
    return response


async def _ends_early(request: web.Request) -> web.StreamResponse:
    return await events(request, HALF)


async def _hangs(request: web.Request) -> web.StreamResponse:
    response = await events(request, HALF)
    await asyncio.Event().wait()
    return response


async def _fails(request: web.Request) -> web.StreamResponse:
    return await events(request, HALF, b'data: {"error": {"code": "upstream_timeout"}}\n\n')


@pytest.mark.parametrize(
    ("handler", "says"),
    [
        (_breaks_off, "RemoteProtocolError|ReadError"),
        (_ends_early, "broke off before its end"),
        (_hangs, "no answer in 0.5 s"),
        (_fails, "broke off: upstream_timeout"),
    ],
)
def test_an_answer_that_breaks_off_is_a_fault_of_the_network(handler: Handler, says: str) -> None:
    asked = asyncio.run(asked_of(handler, [], timeout_s=0.5))
    assert isinstance(asked.outcome, TransportError)
    with pytest.raises(TransportError, match=says):
        raise asked.outcome


def test_a_refusal_is_read_as_ever() -> None:
    async def handler(_request: web.Request) -> web.StreamResponse:
        error = {"code": "frame_evicted", "message": "gone"}
        return web.Response(status=410, text=json.dumps({"detail": {"error": error}}))

    texts: list[str] = []
    asked = asyncio.run(asked_of(handler, texts))
    assert isinstance(asked.outcome, WindowError)
    assert (asked.outcome.code, texts) == ("frame_evicted", [])


def test_what_the_callers_function_raises_passes() -> None:
    class UserError(Exception):
        pass

    async def scenario() -> None:
        async with serving(_ends_early) as base_url:
            client = OvershootV1(Service(key=SECRET, base_url=base_url.replace("/v0.2", "/v1")))

            def fail(_text: str) -> None:
                raise UserError

            try:
                await client.ask(QUESTION, fail)
            finally:
                await client.aclose()

    with pytest.raises(UserError) as raised:
        asyncio.run(scenario())
    assert not isinstance(raised.value, OvershootFlowError)
