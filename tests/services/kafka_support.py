"""Fixtures: a real Kafka broker and a real schema registry.

All tests of a session share one broker, whichever of pytest's processes they run in: the first that
needs it starts it, the last that leaves stops it. A test that kills brokers has one of its own.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from installed_services import START_S, ServiceMissingError, free_port, installed
from kafka_broker import Broker


class _Shared:
    """What the processes of one pytest session share: a file with its users, under a lock."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._lock = folder / "lock"
        self._facts = folder / "facts.json"

    @contextmanager
    def locked(self) -> Iterator[dict[str, Any]]:
        with self._lock.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known: dict[str, Any] = {"users": []}
            if self._facts.exists():
                known = json.loads(self._facts.read_text(encoding="utf-8"))
            known["users"] = [user for user in known["users"] if Path(f"/proc/{user}").exists()]
            yield known
            self._facts.write_text(json.dumps(known), encoding="utf-8")


@contextmanager
def _shared_service(folder: Path, start: Callable[[Path], tuple[int, str]]) -> Iterator[str]:
    """Share a service; `start` returns its pid and address."""
    shared = _Shared(folder)
    with shared.locked() as known:
        if "pid" not in known or not Path(f"/proc/{known['pid']}").exists():
            try:
                known["pid"], known["address"] = start(folder / uuid.uuid4().hex)
            except ServiceMissingError as missing:
                pytest.skip(str(missing))
        known["users"].append(os.getpid())
        address: str = known["address"]
    try:
        yield address
    finally:
        with shared.locked() as known:
            known["users"].remove(os.getpid())
            if not known["users"]:
                _end(known.pop("pid"))


def _end(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    # Where it is this process's own child, nobody else takes its exit code.
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _session_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    base = factory.getbasetemp()
    # Each of xdist's processes has a folder of its own in that of the session.
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name


@pytest.fixture(scope="session")
def kafka_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of the broker that all share: its address, that with SASL over TLS, the certificate."""

    def start(folder: Path) -> tuple[int, str]:
        broker = Broker(folder)
        assert broker.process is not None
        addresses = (broker.bootstrap, broker.sasl_bootstrap, str(broker.certificate))
        return broker.process.pid, json.dumps(addresses)

    with _shared_service(_session_folder(tmp_path_factory, "kafka"), start) as addresses:
        yield addresses


@pytest.fixture
def kafka(kafka_session: str, request: pytest.FixtureRequest) -> str:
    """Its plain address; the session's summary says that the test has used it."""
    request.node.user_properties.append(("service", "Kafka broker"))
    bootstrap: str = json.loads(kafka_session)[0]
    return bootstrap


@pytest.fixture
def sasl_kafka(kafka_session: str, request: pytest.FixtureRequest) -> tuple[str, str]:
    """Its address with SASL over TLS, and the file with its certificate."""
    request.node.user_properties.append(("service", "Kafka broker with SASL over TLS"))
    _, bootstrap, certificate = json.loads(kafka_session)
    return bootstrap, certificate


@pytest.fixture
def topic_prefix() -> str:
    """Topics of this test alone."""
    return f"t-{uuid.uuid4().hex[:12]}-"


@pytest.fixture
def own_broker(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A broker that the test may kill."""
    try:
        broker = Broker(tmp_path / "broker")
    except ServiceMissingError as missing:
        pytest.skip(str(missing))
    request.node.user_properties.append(("service", "Kafka broker of its own"))
    yield broker
    broker.kill()


def _start_registry(folder: Path) -> tuple[int, str]:
    java, home = installed("apicurio-*", "the Apicurio registry")
    (jar,) = home.rglob("apicurio-registry-app-*-runner.jar")
    folder.mkdir(parents=True)
    port = free_port()
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [
                java, "-Xmx384m", "-XX:TieredStopAtLevel=1", f"-Dquarkus.http.port={port}",
                "-Dquarkus.http.host=127.0.0.1", "-jar", str(jar),
            ],
            cwd=jar.parent,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    try:
        _wait_for_registry(url, process, folder / "log")
    except BaseException:
        _end(process.pid)
        raise
    return process.pid, url


def _wait_for_registry(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(f"{url}/subjects", timeout=2):  # noqa: S310
                return
        except (URLError, OSError):
            text = log.read_text(errors="replace")[-2000:]
            assert process.poll() is None, f"the registry has ended:\n{text}"
            assert time.monotonic() < deadline_s, f"the registry did not start:\n{text}"
            time.sleep(0.2)


@pytest.fixture(scope="session")
def registry_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the schema registry that all tests share."""
    folder = _session_folder(tmp_path_factory, "registry")
    with _shared_service(folder, _start_registry) as url:
        yield url


@pytest.fixture
def registry(registry_session: str, request: pytest.FixtureRequest) -> str:
    """The same; the session's summary says that the test has used it."""
    request.node.user_properties.append(("service", "Apicurio schema registry"))
    return registry_session
