"""What `--metrics` means in one process and in a group."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource
from rtsp_support import free_port

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.peers import Peer
from overshoot_flow_connectors.rtsp import RtspSource
from overshoot_flow_pipelines.commands.observed import camera_sources, observed
from overshoot_flow_pipelines.observability.server import ObservabilityServer
from overshoot_flow_pipelines.supervised import Supervised


def options(metrics: str | None, process_id: int | None = None) -> argparse.Namespace:
    supervised = None
    if process_id is not None:
        addresses = tuple(f"127.0.0.1:{2101 + number}" for number in range(process_id + 1))
        supervised = Supervised(peer=Peer(process_id, addresses), handover=Path("x"), lifeline=0)
    return argparse.Namespace(metrics=metrics, supervised=supervised)


def port_of(given: argparse.Namespace) -> int:
    with observed(given) as server:
        assert isinstance(server, ObservabilityServer)
        return server.port


def test_nothing_listens_unless_it_is_asked_for() -> None:
    with observed(options(None)) as server:
        assert server is None


def test_every_process_of_a_group_has_a_port_of_its_own() -> None:
    port = free_port()
    assert port_of(options(f"127.0.0.1:{port}")) == port
    assert port_of(options(f"127.0.0.1:{port - 1}", process_id=1)) == port
    assert port_of(options("127.0.0.1:0", process_id=3)) != 3


def test_ports_beyond_the_last_one_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no HOST:PORT"):
        port_of(options("127.0.0.1:65535", process_id=1))


def test_an_ipv6_address() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        with pytest.raises(ConfigurationError, match="cannot listen on"):
            port_of(options("[::1]:0"))
    else:
        assert port_of(options("[::1]:0")) > 0


def test_the_cameras_of_a_flow_are_found() -> None:
    cameras = RtspSource("rtsp://127.0.0.1/door")
    flow = Dataflow("several")
    op.output("a", op.input("cameras", flow, cameras), TestingSink([]))
    op.output("b", op.input("numbers", flow, TestingSource([1])), TestingSink([]))
    assert camera_sources(flow) == [cameras]
