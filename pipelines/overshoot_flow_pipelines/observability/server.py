"""A small HTTP server for what a monitoring asks."""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from http import HTTPStatus
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.process_collector import ProcessCollector

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.stopping import STOP
from overshoot_flow.results import GapReason
from overshoot_flow.session.ledger import LEDGER, Account
from overshoot_flow.session.runtime import RUNTIME
from overshoot_flow.session.status import SessionFacts
from overshoot_flow_connectors.rtsp import CameraStatus
from overshoot_flow_pipelines.observability.address import host_and_port
from overshoot_flow_pipelines.observability.cameras import (
    CameraSource,
    all_statuses,
)
from overshoot_flow_pipelines.observability.health import Health, liveness, readiness
from overshoot_flow_pipelines.observability.metrics import OvershootCollector

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

IDLE_LIMIT_S: Final = 60.0
"""How long the engine may leave a source alone before the process counts as dead."""

REQUESTS_AT_ONCE: Final = 16
"""Connections that are served at the same time; further ones are closed (counted)."""

_REQUEST_TIMEOUT_S: Final = 5.0
_TURN_S: Final = 0.5
"""How often the server's thread looks around: at the cameras' counts, and whether to stop."""

_logger = logging.getLogger(__name__)


class ObservabilityServer:
    """Serves `/metrics`, `/healthz` and `/readyz` from its own threads; a context manager.

    Args:
        address: `HOST:PORT`; port 0 takes a free one.
        sources: Sources of cameras.
        checks: See `observe`.
        idle_limit_s: See `IDLE_LIMIT_S`.

    Attributes:
        port: The port that it listens on.

    Raises:
        ConfigurationError: The address cannot be listened on.
    """

    def __init__(
        self,
        address: str,
        *sources: CameraSource,
        checks: Mapping[str, Callable[[], str | None]] | None = None,
        idle_limit_s: float = IDLE_LIMIT_S,
    ) -> None:
        self._sources = sources
        self._checks = dict(checks or {})
        self._idle_limit_s = idle_limit_s
        registry = CollectorRegistry()
        registry.register(OvershootCollector(self._cameras, _sessions))
        ProcessCollector(registry=registry)
        self._metrics: WSGIApplication = make_wsgi_app(registry)
        host, port = host_and_port(address)
        try:
            self._server = _Server(host, port, self._answer)
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {address}: {error.strerror or error}; name a free port of this "
                "machine"
            ) from None
        self.port: int = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_TURN_S,), name="observability", daemon=True
        )

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections and wait for the threads."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _cameras(self) -> Mapping[str, CameraStatus]:
        return all_statuses(self._sources)

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return self._metrics(environ, start_response)
        if environ["REQUEST_METHOD"] != "GET":
            return _json(start_response, HTTPStatus.METHOD_NOT_ALLOWED, {"error": "use GET"})
        match path:
            case "/healthz":
                return _judged(start_response, self._liveness())
            case "/readyz":
                return _judged(start_response, self._readiness())
        known = {"error": "no such page", "pages": ["/metrics", "/healthz", "/readyz"]}
        return _json(start_response, HTTPStatus.NOT_FOUND, known)

    def _liveness(self) -> Health:
        now_s = time.monotonic()
        idle_s = {key: now_s - account.activated_at_s for key, account in LEDGER.accounts().items()}
        return liveness(idle_s, self._idle_limit_s)

    def _readiness(self) -> Health:
        accounts = LEDGER.accounts()
        found = ((name, check()) for name, check in self._checks.items())
        return readiness(
            is_stopping=STOP.is_set(),
            sources=accounts.keys(),
            sessions=_sessions(),
            congested=[key for key, account in accounts.items() if account.congested],
            over_budget=[key for key, account in accounts.items() if _is_over_budget(account)],
            cameras=self._cameras(),
            problems={name: problem for name, problem in found if problem is not None},
        )


def _is_over_budget(account: Account) -> bool:
    hold = account.held
    return hold is not None and hold.reason is GapReason.BUDGET


def _sessions() -> Mapping[tuple[str, str], SessionFacts]:
    return {key: status.facts() for key, status in RUNTIME.statuses().items()}


def _judged(start_response: StartResponse, health: Health) -> Iterable[bytes]:
    status = HTTPStatus.OK if health.is_good else HTTPStatus.SERVICE_UNAVAILABLE
    return _json(start_response, status, health.document())


def _json(
    start_response: StartResponse, status: HTTPStatus, document: Mapping[str, Any]
) -> Iterable[bytes]:
    start_response(
        f"{status.value} {status.phrase}",
        [("Content-Type", "application/json"), ("Cache-Control", "no-store")],
    )
    return [json.dumps(document).encode() + b"\n"]


class _Handler(WSGIRequestHandler):
    # Bounds the time that a client may be silent, and with it the life of the thread.
    timeout = _REQUEST_TIMEOUT_S

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name
        _logger.debug(format, *args)


class _Server(ThreadingMixIn, WSGIServer):
    """One thread per connection, up to a bound; all are joined by `server_close`."""

    daemon_threads = False
    block_on_close = True

    def __init__(self, host: str, port: int, app: WSGIApplication) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._refused = 0
        super().__init__((host, port), _Handler)
        self.set_app(app)

    def server_bind(self) -> None:
        """Bind without asking a name server who this machine is, as the base class does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        host, self.server_port = self.server_address[:2]
        self.server_name = str(host)
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as in the base class
        """Serve a connection in a thread of its own, or close it when there are too many."""
        with self._lock:
            has_room = len(self._connections) < REQUESTS_AT_ONCE
            if has_room:
                self._connections.add(request)
            else:
                self._refused += 1
        if has_room:
            super().process_request(request, client_address)
        else:
            _logger.info("%d connections to the observability port refused", self._refused)
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - as in the base class
        """Close a connection."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002 - as in the base class
        """Tell of a defect; a client that goes away or falls silent is no news."""
        error = sys.exception()
        level = logging.DEBUG if isinstance(error, OSError) else logging.ERROR
        _logger.log(level, "a request ended early", exc_info=error)

    def server_close(self) -> None:
        """Close what is open, so that no client can hold up the end, and join the threads."""
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        super().server_close()
