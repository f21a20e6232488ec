"""The HTTP server answers, bounds what clients can do, and ends with its block."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import pytest
from observed import Scrape, fetch, health
from rtsp_support import until

from overshoot_flow import __version__
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.session.ledger import LEDGER, Account
from overshoot_flow_pipelines.observability import observe
from overshoot_flow_pipelines.observability.address import host_and_port
from overshoot_flow_pipelines.observability.server import (
    REQUESTS_AT_ONCE,
    ObservabilityServer,
    _Handler,
)


def test_pages() -> None:
    with ObservabilityServer("127.0.0.1:0") as server:
        scrape = Scrape.of(server.port)
        assert scrape.value("build_info", version=__version__) == 1
        assert "process_resident_memory_bytes" in scrape.text
        assert fetch(server.port, "/")[0] == 404
        assert health(server.port, "/healthz")[0] == 200
        status, document = health(server.port, "/readyz")
        assert status == 503
        assert document["problems"] == ["no source is open: the run has not begun, or is over"]


def request(port: int, text: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(text)
        return client.makefile("rb").read()


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
def test_only_reading_is_possible(path: str) -> None:
    with ObservabilityServer("127.0.0.1:0") as server:
        answer = request(server.port, f"DELETE {path} HTTP/1.0\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.0 405 ")


def test_a_source_that_the_engine_forgets_kills() -> None:
    account = Account("forgotten")
    LEDGER.open(account)
    with ObservabilityServer("127.0.0.1:0", idle_limit_s=50) as server:
        assert health(server.port, "/healthz")[0] == 200
        account.activated_at_s = time.monotonic() - 60
        status, document = health(server.port, "/healthz")
        assert (status, document["status"]) == (503, "unavailable")
        assert "'forgotten'" in document["problems"][0]
        account.take()
        assert health(server.port, "/healthz")[0] == 200


def test_checks_of_the_users_own_count() -> None:
    problem: list[str | None] = ["no broker answers"]
    LEDGER.open(Account("checked"))
    checks = {"kafka": lambda: problem[0], "other": lambda: None}
    with ObservabilityServer("127.0.0.1:0", checks=checks) as server:
        status, document = health(server.port, "/readyz")
        assert (status, document["problems"]) == (503, ["kafka: no broker answers"])
        problem[0] = None
        assert health(server.port, "/readyz")[0] == 200


def server_threads() -> int:
    """Threads of observability servers and their requests; other tests' libraries have some too."""
    return sum(
        thread.name == "observability" or "process_request_thread" in thread.name
        for thread in threading.enumerate()
    )


@pytest.mark.timeout(60)
def test_it_ends_with_its_block_although_clients_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Handler, "timeout", 3600)
    with ExitStack() as clients:
        with ObservabilityServer("127.0.0.1:0") as server:
            for _ in range(3):
                client = socket.create_connection(("127.0.0.1", server.port), timeout=5)
                clients.enter_context(client).sendall(b"GET /metrics")
            until(lambda: server_threads() == 4)
        assert server_threads() == 0
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", server.port), timeout=5)


def test_too_many_clients_are_sent_away_and_the_others_served() -> None:
    with ObservabilityServer("127.0.0.1:0") as server, ExitStack() as clients:
        hanging = [
            clients.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))
            for _ in range(REQUESTS_AT_ONCE)
        ]
        until(lambda: server_threads() == REQUESTS_AT_ONCE + 1)
        with socket.create_connection(("127.0.0.1", server.port), timeout=3) as refused:
            assert refused.recv(1) == b""
        hanging[0].close()
        until(lambda: server_threads() == REQUESTS_AT_ONCE)
        assert fetch(server.port, "/healthz")[0] == 200


def test_a_client_that_goes_away_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), ObservabilityServer("127.0.0.1:0") as server:
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
                client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        assert fetch(server.port, "/metrics")[0] == 200
    assert caplog.records == []


def test_a_port_in_use_is_refused_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match=f"cannot listen on {address}"):
            observe(address)


@pytest.mark.parametrize(
    "address", ["", "9464", ":9464", "host", "host:", "host:x", "host:70000", "a@b:1", "h:1/x"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="is no HOST:PORT"):
        host_and_port(address)


def test_addresses() -> None:
    assert host_and_port("localhost:0") == ("localhost", 0)
    assert host_and_port("[::1]:9464") == ("::1", 9464)


def test_without_the_extra_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['prometheus_client'] = None; "
        "from overshoot_flow_pipelines.observability import observe; observe('127.0.0.1:0')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert "ConfigurationError" in done.stderr
    assert "pip install 'overshoot-flow[metrics]'" in done.stderr
