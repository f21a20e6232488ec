"""Fixtures: moto's S3 server in a process of its own, which tests may kill and start again."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from pyarrow.fs import FileSystem
from rtsp_support import free_port

SECRET = "s3-secret-of-the-tests"  # noqa: S105 - of a server that knows no secrets


class S3Server:
    """moto's server at 127.0.0.1; what is in it goes when it ends."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to know to reach it."""
        return {
            "AWS_ACCESS_KEY_ID": "key-of-the-tests",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def wait(self, timeout_s: float = 60.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                with urllib.request.urlopen(f"{self.endpoint}/moto-api/data.json", timeout=2):  # noqa: S310
                    return
            except (urllib.error.URLError, OSError):
                if self._process.poll() is not None or time.monotonic() > deadline_s:
                    pytest.fail("moto's S3 server does not start")
                time.sleep(0.05)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    pytest.importorskip(
        "moto.server", reason="no moto; install it: pip install 'overshoot-flow[dev]'"
    )
    server = S3Server()
    try:
        server.wait()
        yield server
    finally:
        server.close()


@pytest.fixture
def bucket(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> str:
    """A new bucket's name; the environment says where its server is."""
    request.node.user_properties.append(("service", "S3 server"))
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{uuid4().hex[:12]}"
    store, path = FileSystem.from_uri(f"s3://{name}?allow_bucket_creation=true")
    store.create_dir(path)
    return name


def text_files(folder: Path) -> str:
    """Everything that stands in files, to look for secrets."""
    return "".join(
        path.read_bytes().decode(errors="replace") for path in folder.rglob("*") if path.is_file()
    )
