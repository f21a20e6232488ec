"""The result socket: every refusal, break and odd message."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from aiohttp import WSCloseCode, web
from results_socket_support import (
    ENDING,
    Connections,
    breaking,
    closing,
    ended_at,
    ended_by,
    opened,
    refusing,
    saying,
    socket_to,
)
from transport_support import (
    KEY,
    Pauses,
    Port,
    drop,
    refusing_port,
    result_text,
    serving,
    serving_bytes,
)

from overshoot_flow.errors import (
    AuthenticationError,
    ConfigurationError,
    InsufficientCreditsError,
    OvershootFlowError,
    StreamEndedError,
    StreamNotFoundError,
    TransportError,
)
from overshoot_flow.protocol.close_codes import END_REASONS
from overshoot_flow.transport.results_socket import LARGEST_MESSAGE_BYTES, Malformed, Received


@pytest.mark.parametrize("reason", [*sorted(END_REASONS), "something_new"])
def test_the_reason_of_the_end_is_passed_on(reason: str) -> None:
    error, connections = ended_at(closing(1001, reason))
    assert isinstance(error, StreamEndedError)
    assert error.reason == reason
    assert len(connections.requests) == 1


def test_an_end_without_or_with_an_odd_reason() -> None:
    unsaid, _ = ended_at(closing(1001))
    assert isinstance(unsaid, StreamEndedError)
    assert unsaid.reason == "no reason given"
    echoed, _ = ended_at(closing(1001, f"bye {KEY}"))
    assert isinstance(echoed, StreamEndedError)
    assert echoed.reason == "bye ***"


def test_the_key_is_in_the_first_message_and_nowhere_else() -> None:
    _, connections = ended_at(ENDING)
    (request,) = connections.requests
    assert request.path_qs == "/v0.2/ws/streams/s-1"
    assert KEY not in str(dict(request.headers))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AuthenticationError),
        (402, InsufficientCreditsError),
        (403, AuthenticationError),
        (404, StreamNotFoundError),
    ],
)
def test_a_final_refusal_says_why_but_not_the_key(
    status: int, kind: type[OvershootFlowError]
) -> None:
    body = {"error": "some_code", "message": f"not {KEY}", "request_id": "q-1"}
    error, connections = ended_at(refusing(status, body))
    assert type(error) is kind
    assert str(error) == f"not *** (status={status}, code=some_code, request_id=q-1)"
    assert len(connections.requests) == 1


@pytest.mark.parametrize("status", [200, 400, 408, 429, 500, 502, 503])
def test_any_other_refusal_is_a_fault_on_the_way(status: int) -> None:
    error, connections = ended_at(refusing(status), refusing(status), ENDING)
    assert isinstance(error, StreamEndedError)
    assert len(connections.requests) == 3


@pytest.mark.parametrize("code", [1000, 1002, 1003, 1007, 1009, 1011, 1012, 1014, 3000, 4001])
def test_any_other_close_code_is_a_fault_on_the_way(code: int) -> None:
    error, connections = ended_at(closing(code), ENDING)
    assert isinstance(error, StreamEndedError)
    assert len(connections.requests) == 2


def test_a_close_before_the_first_message_counts_too() -> None:
    async def impatient(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.close(code=WSCloseCode.POLICY_VIOLATION)
        return socket

    error, connections = ended_at(impatient)
    assert isinstance(error, AuthenticationError)
    assert len(connections.requests) == 1


def test_no_redirect_takes_the_key_elsewhere() -> None:
    elsewhere = Connections(saying(result_text(1)))

    async def scenario() -> OvershootFlowError:
        async with serving(elsewhere) as other_url:
            location = f"{other_url}/ws/streams/s-1".replace("http", "ws", 1)
            async with serving(Connections(refusing(307, None, location))) as base_url:
                return await ended_by(socket_to(base_url))

    error = asyncio.run(scenario())
    assert isinstance(error, TransportError)
    assert "give the base URL that it leads to" in str(error)
    assert not elsewhere.requests


def test_a_message_that_is_too_large_costs_the_connection_not_the_stream() -> None:
    async def scenario() -> tuple[list[Received | Malformed], int]:
        connections = Connections(
            saying(result_text(1), "x" * (LARGEST_MESSAGE_BYTES + 1)),
            saying("x" * LARGEST_MESSAGE_BYTES, result_text(2)),
        )
        async with serving(connections) as base_url:
            socket = socket_to(base_url)
            answers = socket.answers()
            got = [await anext(answers) for _ in range(3)]
            await socket.aclose()
            return got, socket.reconnects

    got, reconnects = asyncio.run(scenario())
    assert [item.message.id if isinstance(item, Received) else "" for item in got] == [
        "r-1",
        "",
        "r-2",
    ]
    assert reconnects == 1


def test_every_result_has_its_times_in_order() -> None:
    async def scenario() -> list[Received | Malformed]:
        async with serving(Connections(saying(result_text(1), result_text(2)))) as base_url:
            socket = socket_to(base_url)
            answers = socket.answers()
            got = [await anext(answers) for _ in range(2)]
            await socket.aclose()
            return got

    times = [
        (i.received_at_s, i.received_at_us)
        for i in asyncio.run(scenario())
        if isinstance(i, Received)
    ]
    assert times == [(1.0, 2_000_000), (3.0, 4_000_000)]


def test_bytes_that_are_no_text_are_a_value() -> None:
    async def binary(request: web.Request) -> web.StreamResponse:
        socket = await opened(request)
        await socket.send_bytes(b"\xff\xfe{")
        await socket.send_bytes(result_text(1).encode())
        await socket.receive()
        return socket

    async def scenario() -> list[Received | Malformed]:
        async with serving(binary) as base_url:
            socket = socket_to(base_url)
            answers = socket.answers()
            got = [await anext(answers) for _ in range(2)]
            await socket.aclose()
            return got

    bad, good = asyncio.run(scenario())
    assert isinstance(bad, Malformed)
    assert bad.raw_text == "\ufffd\ufffd{"
    assert bad.raw_bytes == b"\xff\xfe{"
    assert "not JSON" in bad.detail
    assert isinstance(good, Received)


def test_the_pauses_grow_until_a_result_has_come() -> None:
    async def one_result(request: web.Request) -> web.StreamResponse:
        socket = await opened(request)
        await socket.send_str(result_text(1))
        drop(request)
        return socket

    pauses = Pauses()
    ended_at(*[breaking] * 4, one_result, breaking, ENDING, pauses=pauses)
    largest_s = [0.2, 0.4, 0.8, 1.6, 0.2, 0.4]
    assert len(pauses.seconds) == len(largest_s)
    for pause_s, longest_s in zip(pauses.seconds, largest_s, strict=True):
        assert longest_s / 2 <= pause_s <= longest_s


def test_a_port_that_opens_later_is_found() -> None:
    async def scenario(port: Port) -> None:
        async with contextlib.AsyncExitStack() as stack:

            async def open_the_port(attempt: int) -> None:
                if attempt == 2:
                    await stack.enter_async_context(serving(Connections(ENDING), port))

            socket = socket_to(port.base_url, Pauses(meanwhile=open_the_port))
            assert isinstance(await ended_by(socket), StreamEndedError)
            assert socket.reconnects == 2

    with refusing_port() as port:
        asyncio.run(scenario(port))


def test_a_service_that_never_answers_the_upgrade_is_tried_again() -> None:
    attempts = iter([True, False])

    async def scenario() -> None:
        async with serving_bytes() as mute:
            socket = socket_to(
                mute.base_url, open_timeout_s=0.1, lease_alive=lambda: next(attempts)
            )
            with pytest.raises(TransportError, match=r"TimeoutError.* and the lease is over"):
                async for _ in socket.answers():
                    pass
            assert socket.reconnects == 1
            assert len(mute.requests) == 2

    asyncio.run(scenario())


def test_a_proxy_that_cannot_be_used_is_a_misconfiguration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "gopher://user:hidden@127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", "gopher://user:hidden@127.0.0.1:1")
    error = asyncio.run(ended_by(socket_to("https://api.example/v0.2")))
    assert isinstance(error, ConfigurationError)
    assert "hidden" not in str(error)
