"""The HTTP transport when the service, a proxy or the network is at its worst."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from transport_support import KEY, SECRET, Pauses, serving, serving_bytes, until

from overshoot_flow.config import Inference, Secret, Service
from overshoot_flow.errors import (
    ConfigurationError,
    RejectedRequestError,
    ServiceUnavailableError,
    StreamLimitError,
    TransportError,
)
from overshoot_flow.protocol.v02 import LiveKitSource, NativeSource
from overshoot_flow.transport.http import ATTEMPTS, LONGEST_PAUSE_S, OvershootHttp

INFERENCE = Inference(prompt="What is there? 🚗")
SHORT_S = 0.2


@contextlib.asynccontextmanager
async def client(
    base_url: str, pauses: Pauses | None = None, request_timeout_s: float = 10.0
) -> AsyncIterator[OvershootHttp]:
    service = Service(key=SECRET, base_url=base_url, request_timeout_s=request_timeout_s)
    http = OvershootHttp(service, sleep=(pauses or Pauses()).sleep)
    try:
        yield http
    finally:
        await http.aclose()


def test_a_stream_is_not_asked_for_twice_when_the_first_request_may_have_arrived() -> None:
    asked: list[str] = []

    async def hang(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        await asyncio.Event().wait()
        raise AssertionError

    async def scenario() -> None:
        async with serving(hang) as base_url:
            async with client(base_url, request_timeout_s=SHORT_S) as http:
                with pytest.raises(TransportError, match=r"no answer in 0\.2 s"):
                    await http.create_stream(INFERENCE, NativeSource())
            assert asked == ["/v0.2/streams"]

    asyncio.run(scenario())


def test_an_answer_that_trickles_is_bounded_as_a_whole() -> None:
    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(SHORT_S / 20)

    async def scenario() -> None:
        async with serving(trickle) as base_url, client(base_url, None, SHORT_S) as http:
            with pytest.raises(TransportError, match="no answer in"):
                await http.keepalive("s-1")

    asyncio.run(scenario())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_takes_the_key_elsewhere(status: int) -> None:
    elsewhere: list[web.Request] = []
    asked: list[web.Request] = []

    async def other(request: web.Request) -> web.StreamResponse:
        elsewhere.append(request)
        return web.json_response([])

    async def scenario() -> None:
        async with serving(other) as other_url:

            async def redirect(request: web.Request) -> web.StreamResponse:
                asked.append(request)
                return web.Response(status=status, headers={"location": f"{other_url}/models"})

            async with serving(redirect) as base_url, client(base_url) as http:
                with pytest.raises(TransportError, match="give the base URL that it leads to"):
                    await http.models()

    asyncio.run(scenario())
    assert len(asked) == 1
    assert not elsewhere


def test_a_deletion_that_is_rate_limited_is_repeated_after_the_pause_asked_for() -> None:
    methods: list[str] = []
    pauses = Pauses()

    async def limited(request: web.Request) -> web.StreamResponse:
        methods.append(request.method)
        if len(methods) < 3:
            return web.json_response({}, status=429, headers={"retry-after": "9"})
        return web.Response(status=204)

    async def scenario() -> None:
        async with serving(limited) as base_url, client(base_url, pauses) as http:
            await http.close_stream("s-1")

    asyncio.run(scenario())
    assert methods == ["DELETE"] * 3
    assert pauses.seconds == [9.0, 9.0]


def test_a_caller_learns_how_long_to_wait_for_a_slot() -> None:
    pauses = Pauses()

    async def full(_request: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=429, headers={"retry-after": "1"})

    async def scenario() -> None:
        async with serving(full) as base_url, client(base_url, pauses) as http:
            with pytest.raises(StreamLimitError) as caught:
                await http.create_stream(INFERENCE, NativeSource())
            assert caught.value.retry_after_s == 1.0

    asyncio.run(scenario())
    assert not pauses.seconds


def test_a_long_wait_is_left_to_the_caller() -> None:
    pauses = Pauses()
    wait_s = LONGEST_PAUSE_S + 1

    async def busy(_request: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=503, headers={"retry-after": f"{wait_s:g}"})

    async def scenario() -> None:
        async with serving(busy) as base_url, client(base_url, pauses) as http:
            with pytest.raises(ServiceUnavailableError) as caught:
                await http.models()
            assert caught.value.retry_after_s == wait_s

    asyncio.run(scenario())
    assert not pauses.seconds


def test_an_echoed_room_token_is_not_shown() -> None:
    token = "eyJ-the-users-room"  # noqa: S105 - invented
    seen: list[object] = []

    async def echo(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        seen.append(body["source"])
        details = [{"input": body, "headers": dict(request.headers)}]
        return web.json_response({"message": "bad", "details": details}, status=422)

    async def scenario() -> str:
        async with serving(echo) as base_url, client(base_url) as http:
            with pytest.raises(RejectedRequestError) as caught:
                await http.create_stream(
                    Inference(prompt="?"), LiveKitSource("wss://r", Secret(token))
                )
            return f"{caught.value} {caught.value!r}"

    text = asyncio.run(scenario())
    assert seen == [{"type": "livekit", "url": "wss://r", "token": token}]
    assert '"token": "***"' in text
    assert token not in text
    assert KEY not in text


def test_the_body_on_the_wire_is_utf_8_json() -> None:
    bodies: list[object] = []

    async def note(request: web.Request) -> web.StreamResponse:
        assert request.content_type == "application/json"
        bodies.append(json.loads(await request.read()))
        return web.json_response({"stream_id": "s-1", "prompt": "Wo? 🚗"})

    async def scenario() -> None:
        async with serving(note) as base_url, client(base_url) as http:
            assert (await http.update_prompt("s-1", "Wo? 🚗")).prompt == "Wo? 🚗"

    asyncio.run(scenario())
    assert bodies == [{"prompt": "Wo? 🚗"}]


def test_a_cancelled_request_lets_go_of_its_connection() -> None:
    state: list[str] = []

    async def hang(_request: web.Request) -> web.StreamResponse:
        state.append("asked")
        try:
            await asyncio.Event().wait()
        finally:
            state.append("gone")
        raise AssertionError

    async def scenario() -> None:
        async with serving(hang) as base_url, client(base_url) as http:
            asking = asyncio.create_task(http.create_stream(INFERENCE, NativeSource()))
            await until(lambda: state == ["asked"])
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await until(lambda: state == ["asked", "gone"])

    asyncio.run(scenario())


def test_a_stream_that_cannot_be_used_nor_closed_still_tells_the_first_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            return web.json_response({"stream_id": "s-9", "livekit": None}, status=201)
        return web.json_response({"message": "database gone"}, status=500)

    async def scenario() -> None:
        async with serving(broken) as base_url, client(base_url) as http:
            with pytest.raises(TransportError, match="'livekit' is missing"):
                await http.create_stream(INFERENCE, NativeSource())

    asyncio.run(scenario())
    assert "stream s-9 ends with its lease: database gone" in caplog.text


@pytest.mark.parametrize(
    "answer", [b"no http\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[", b""]
)
def test_an_answer_that_is_no_http_is_a_fault_of_the_network(answer: bytes) -> None:
    async def scenario() -> None:
        async with serving_bytes(answer, hold=False) as served:
            async with client(served.base_url) as http:
                with pytest.raises(TransportError, match="POST /streams/s-1/keepalive"):
                    await http.keepalive("s-1")
            assert len(served.requests) == 1

    asyncio.run(scenario())


def test_a_proxy_that_refuses_has_not_sent_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        refusal = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
        async with serving_bytes(refusal, hold=False) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://user:hidden@127.0.0.1:{proxy.port}")
            async with client("https://api.example/v0.2") as http:
                with pytest.raises(TransportError, match="no connection") as caught:
                    await http.create_stream(INFERENCE, NativeSource())
            assert "hidden" not in str(caught.value)
            assert len(proxy.requests) == ATTEMPTS
            assert all(request.startswith(b"CONNECT ") for request in proxy.requests)

    asyncio.run(scenario())


def test_a_proxy_that_cannot_be_used_is_a_misconfiguration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://user:hidden@127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="ALL_PROXY") as caught:
        OvershootHttp(Service(key=SECRET, base_url="http://127.0.0.1:1/v0.2"))
    assert "hidden" not in str(caught.value)
