"""With every logger of the process at DEBUG, no record holds the key.

The first two tests show that the libraries do log it when left alone: without them, the others
could not fail.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import httpx
import pytest
from aiohttp import web
from transport_support import KEY, SECRET, Pauses, result_text, serving
from websockets.asyncio.client import connect

from overshoot_flow.config import Inference, Service
from overshoot_flow.errors import AuthenticationError, StreamEndedError
from overshoot_flow.protocol.v02 import NativeSource, authentication, results_url
from overshoot_flow.transport.http import OvershootHttp
from overshoot_flow.transport.library_logs import WithoutMessages
from overshoot_flow.transport.results_socket import ResultsSocket

UNKNOWN_KEY = "ovs_never_given_to_the_client"


class Records(logging.Handler):
    """Keeps every record as text, with its exception."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def of(self, logger: str) -> list[str]:
        return [line for line in self.lines if line.startswith(logger)]


@pytest.fixture
def everything() -> Iterator[Records]:
    """Set every logger to DEBUG, as a program's own logging set-up may do at any time."""
    records = Records()
    root = logging.getLogger()
    loggers = [root, *(logging.getLogger(name) for name in root.manager.loggerDict)]
    levels = [(logger, logger.level) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    root.addHandler(records)
    yield records
    root.removeHandler(records)
    for logger, level in levels:
        logger.setLevel(level)


async def echo(request: web.Request) -> web.StreamResponse:
    """Refuse, and give back whatever was sent."""
    sent = request.headers["authorization"]
    return web.json_response({"message": f"no: {sent}"}, status=401, headers={"x-echo": sent})


async def one_result(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.receive_str()
    await socket.send_str(result_text(1))
    await socket.close(code=1001, message=f"bye {KEY}".encode())
    return socket


def test_left_alone_httpcore_logs_an_echoed_key(everything: Records) -> None:
    async def scenario() -> None:
        async with serving(echo) as base_url, httpx.AsyncClient() as http:
            await http.get(base_url, headers={"authorization": UNKNOWN_KEY})

    asyncio.run(scenario())
    assert any(UNKNOWN_KEY in line for line in everything.of("httpcore"))


def test_left_alone_websockets_logs_the_first_message(everything: Records) -> None:
    async def scenario() -> None:
        async with serving(one_result) as url, connect(results_url(url, "s-1")) as socket:
            await socket.send(authentication(SECRET))

    asyncio.run(scenario())
    assert any(KEY in line for line in everything.of("websockets"))


def test_the_http_client_shows_no_key(everything: Records) -> None:
    async def scenario() -> None:
        async with serving(echo) as base_url:
            http = OvershootHttp(Service(key=SECRET, base_url=base_url), sleep=Pauses().sleep)
            with pytest.raises(AuthenticationError, match=r"no: Bearer \*\*\*"):
                await http.create_stream(Inference(prompt="?"), NativeSource())
            await http.aclose()

    asyncio.run(scenario())
    assert any("***" in line for line in everything.of("httpcore.http11"))
    assert everything.of("httpx INFO HTTP Request: POST http://127.0.0.1:")
    assert not [line for line in everything.lines if KEY in line]


def test_the_result_socket_shows_no_message(everything: Records) -> None:
    async def scenario() -> None:
        async with serving(one_result) as base_url:
            socket = ResultsSocket(
                base_url,
                "s-1",
                SECRET,
                lease_alive=lambda: True,
                monotonic_s=lambda: 0.0,
                wall_us=lambda: 0,
            )
            with pytest.raises(StreamEndedError):
                async for _ in socket.answers():
                    pass

    asyncio.run(scenario())
    assert everything.of("asyncio")
    assert not [line for line in everything.lines if KEY in line or "answer 1" in line]


def test_what_is_not_a_message_passes(everything: Records) -> None:
    logger = WithoutMessages(logging.getLogger("some.socket"))
    assert not logger.isEnabledFor(logging.DEBUG)
    logger.debug("> TEXT %s", KEY)
    logger.info("connection %s", "lost")
    logger.error("ping %s", "failed")
    assert everything.of("some.socket") == [
        "some.socket INFO connection lost",
        "some.socket ERROR ping failed",
    ]


def test_importing_the_transports_sets_no_level_of_another_library() -> None:
    for name in ("httpx", "httpcore", "websockets"):
        assert logging.getLogger(name).level == logging.NOTSET
