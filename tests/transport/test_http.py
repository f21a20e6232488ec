"""The HTTP transport against tiny real servers: what is repeated, and what an error says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from transport_support import KEY, SECRET, Pauses, drop, refusing_port, serving

from overshoot_flow.config import Inference, Service
from overshoot_flow.errors import (
    AuthenticationError,
    InsufficientCreditsError,
    OvershootFlowError,
    RejectedRequestError,
    ServiceError,
    ServiceUnavailableError,
    StreamLimitError,
    StreamNotFoundError,
    TransportError,
)
from overshoot_flow.protocol.v02 import NativeSource
from overshoot_flow.transport.http import ATTEMPTS, OvershootHttp

INFERENCE = Inference(prompt="?")
CREATED = {
    "stream_id": "s-1",
    "livekit": {"url": "ws://127.0.0.1:1", "token": "room-token"},
    "lease": {"ttl_seconds": 45},
}
Call = Callable[[OvershootHttp], Awaitable[object]]
CALLS: dict[str, Call] = {
    "create": lambda http: http.create_stream(INFERENCE, NativeSource()),
    "keepalive": lambda http: http.keepalive("s-1"),
    "close": lambda http: http.close_stream("s-1"),
    "prompt": lambda http: http.update_prompt("s-1", "else?"),
    "models": lambda http: http.models(),
}


class Answers:
    """Answers with what it was given, the last one again and again; notes the requests."""

    def __init__(self, *answers: web.Response | None) -> None:
        self.answers = list(answers)
        self.seen: list[tuple[str, str]] = []
        self.authorizations: set[str | None] = set()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.method, request.path))
        self.authorizations.add(request.headers.get("authorization"))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            drop(request)
            return web.Response()
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


def asked(answers: Answers, call: Call, pauses: Pauses | None = None) -> object:
    async def scenario() -> object:
        async with serving(answers) as base_url:
            service = Service(key=SECRET, base_url=base_url)
            http = OvershootHttp(service, sleep=(pauses or Pauses()).sleep)
            try:
                return await call(http)
            finally:
                await http.aclose()

    return asyncio.run(scenario())


def error_answer(status: int, message: str = "no", **headers: str) -> web.Response:
    body = {"error": "some_code", "message": message, "request_id": "req-7", "details": None}
    response = web.json_response(body, status=status)
    response.headers.update(headers)
    return response


def test_the_key_travels_in_the_header_and_the_answer_is_typed() -> None:
    answers = Answers(web.json_response(CREATED, status=201))
    created = asked(answers, CALLS["create"])
    assert getattr(created, "stream_id", None) == "s-1"
    assert "room-token" not in repr(created)
    assert answers.seen == [("POST", "/v0.2/streams")]
    assert answers.authorizations == {f"Bearer {KEY}"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RejectedRequestError),
        (401, AuthenticationError),
        (402, InsufficientCreditsError),
        (404, StreamNotFoundError),
        (422, RejectedRequestError),
        (429, StreamLimitError),
        (503, ServiceUnavailableError),
    ],
)
def test_errors_say_status_code_and_request_but_never_the_key(
    status: int, kind: type[ServiceError]
) -> None:
    answers = Answers(error_answer(status, f"your key {KEY} is odd"))
    with pytest.raises(kind) as caught:
        asked(answers, CALLS["keepalive"])
    assert (caught.value.status, caught.value.code) == (status, "some_code")
    assert caught.value.request_id == "req-7"
    assert KEY not in str(caught.value)
    assert answers.seen == [("POST", "/v0.2/streams/s-1/keepalive")]


@pytest.mark.parametrize("name", ["close", "prompt", "models"])
@pytest.mark.parametrize("fault", ["status", "connection"])
def test_what_can_be_repeated_is_repeated_a_bounded_number_of_times(name: str, fault: str) -> None:
    answers = Answers(error_answer(503) if fault == "status" else None)
    pauses = Pauses()
    with pytest.raises((ServiceUnavailableError, TransportError)):
        asked(answers, CALLS[name], pauses)
    assert len(answers.seen) == ATTEMPTS
    assert len(pauses.seconds) == ATTEMPTS - 1


@pytest.mark.parametrize("name", ["create", "keepalive"])
@pytest.mark.parametrize("fault", ["status", "connection"])
def test_what_costs_money_or_has_a_schedule_is_asked_once(name: str, fault: str) -> None:
    answers = Answers(error_answer(503) if fault == "status" else None)
    with pytest.raises((ServiceUnavailableError, TransportError)):
        asked(answers, CALLS[name])
    assert len(answers.seen) == 1


def test_a_stream_is_asked_for_again_when_no_connection_came_about() -> None:
    answers = Answers(web.json_response(CREATED, status=201))

    async def scenario() -> object:
        with refusing_port() as port:
            service = Service(key=SECRET, base_url=port.base_url)
            pauses = Pauses()
            http = OvershootHttp(service, sleep=pauses.sleep)
            opened: list[object] = []

            async def open_the_port(attempt: int) -> None:
                if attempt == 1:
                    server = serving(answers, port)
                    await server.__aenter__()
                    opened.append(server)

            pauses.meanwhile = open_the_port
            try:
                return await http.create_stream(INFERENCE, NativeSource())
            finally:
                await http.aclose()
                for server in opened:
                    await server.__aexit__(None, None, None)  # type: ignore[attr-defined]

    assert getattr(asyncio.run(scenario()), "stream_id", None) == "s-1"
    assert len(answers.seen) == 1


def test_a_stream_that_is_gone_is_closed() -> None:
    answers = Answers(error_answer(404))
    assert asked(answers, CALLS["close"]) is None
    assert len(answers.seen) == 1


def test_the_service_s_own_pause_is_heeded() -> None:
    pauses = Pauses()
    answers = Answers(error_answer(503, **{"retry-after": "7"}), web.json_response([]))
    assert asked(answers, CALLS["models"], pauses) == []
    assert pauses.seconds[0] >= 7


def test_an_answer_that_never_ends_is_bounded() -> None:
    async def hang(_request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async def scenario() -> None:
        async with serving(hang) as base_url:
            service = Service(key=SECRET, base_url=base_url, request_timeout_s=0.2)
            http = OvershootHttp(service, sleep=Pauses().sleep)
            try:
                with pytest.raises(TransportError, match="POST /streams"):
                    await http.create_stream(INFERENCE, NativeSource())
            finally:
                await http.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b"{}", b'{"stream_id": 3}'])
def test_an_answer_outside_the_contract_names_what_is_wrong(body: bytes) -> None:
    with pytest.raises(TransportError, match="contract"):
        asked(Answers(web.Response(body=body, status=201)), CALLS["create"])


def test_a_stream_whose_answer_cannot_be_used_is_closed() -> None:
    answers = Answers(
        web.json_response({"stream_id": "s-9", "livekit": {"url": "ws://x"}}, status=201),
        web.json_response({"status": "ok"}),
    )
    with pytest.raises(TransportError):
        asked(answers, CALLS["create"])
    assert answers.seen == [("POST", "/v0.2/streams"), ("DELETE", "/v0.2/streams/s-9")]


def test_nothing_secret_is_logged_even_when_everything_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG):
        asked(Answers(web.json_response(CREATED, status=201)), CALLS["create"])
        with pytest.raises(OvershootFlowError):
            asked(Answers(error_answer(401, KEY, **{"x-echo": KEY})), CALLS["keepalive"])
    assert caplog.records
    assert not [r for r in caplog.records if KEY in r.getMessage()]
