"""Cameras that speak TLS, with certificates of their own."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import certificate
from cryptography import x509
from rtsp_support import CameraServer
from rtsp_watching import Watcher

from overshoot_flow.errors import ConfigurationError
from overshoot_flow_connectors.rtsp import Camera

pytestmark = pytest.mark.xdist_group("real time")

Servers = Callable[..., CameraServer]


@pytest.fixture(scope="module")
def by_address(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    return certificate(folder / "address.pem", x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")))


@pytest.fixture(scope="module")
def by_name(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls") / "name.pem", x509.DNSName("front-door"))


def test_any_certificate_does_unless_one_is_asked_for(
    camera_servers: Servers, by_address: Path, by_name: Path
) -> None:
    server = camera_servers({"a": {}}, ("viewer", "right"), by_address)
    url = server.url("a", "viewer:right@")
    for camera in (Camera(url=url), Camera(url=url, ca_file=by_address)):
        assert camera.transport == "tls"
        with Watcher(camera, plan=None) as watched:
            watched.for_access_units(5)
    with Watcher(Camera(url=url, ca_file=by_name)) as watched:
        watched.until(lambda: watched.status.attempts >= 2)
    assert "certificate is not by ca_file" in (watched.status.problem or "")
    assert watched.frames == []


def test_the_certificate_must_name_the_host(camera_servers: Servers, by_name: Path) -> None:
    server = camera_servers({"a": {}}, None, by_name)
    named = Camera(url=server.url("a"), ca_file=by_name, certificate_host="front-door")
    with Watcher(named) as watched:
        watched.for_frames(5)
    with Watcher(Camera(url=server.url("a"), ca_file=by_name)) as watched:
        watched.until(lambda: watched.status.attempts >= 2)
    assert "names another host" in (watched.status.problem or "")


def test_certificates_without_tls_or_without_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no TLS"):
        Camera(url="rtsp://a/b", ca_file=tmp_path)
    with pytest.raises(ConfigurationError, match="no file"):
        Camera(url="rtsps://a/b", ca_file=tmp_path / "missing")
    with pytest.raises(ConfigurationError, match="give a ca_file too"):
        Camera(url="rtsps://a/b", certificate_host="c")
