"""Cameras take turns on few streams; a fleet stops at its budget and goes on with a greater one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from end_to_end_support import KEY, Server
from fleet_support import PASSWORD, FleetFile, FleetRun, run_fleet_file
from rtsp_support import CameraServer, until
from test_cameras import frames_in, holes

from overshoot_flow.local.running import running_server
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.results import Usage
from overshoot_flow.session.runtime import RUNTIME

pytestmark = pytest.mark.xdist_group("real time")

Servers = Callable[..., CameraServer]
DECODED, PASSED_THROUGH = "\nfps = 5", ""


@pytest.fixture
def dear_server() -> Iterator[Server]:
    """A cent a second, charged every second."""
    config = ServerConfig(
        keys={KEY: 1000.0}, allow_faults=True, price_cents_per_s=1.0, lease_ttl_s=3.0
    )
    with running_server(config) as running:
        yield Server(running.base_url)


@pytest.mark.parametrize("reading", [DECODED, PASSED_THROUGH])
def test_cameras_take_turns_on_one_stream(
    server: Server, camera_servers: Servers, tmp_path: Path, reading: str
) -> None:
    cameras = camera_servers({"a": {}, "b": {}}, ("user", PASSWORD))
    file = FleetFile(tmp_path, server, cameras, "dwell_s = 5")
    file.camera("a")
    file.camera("b")
    file.service_lines.append("max_streams = 1")
    file.write(file.text().replace(DECODED, reading))

    def streams(run: FleetRun, name: str) -> int:
        assert len(server.alive()) <= 1
        return len({result.stream_id for result in run.results(name)})

    def disturb(run: FleetRun) -> None:
        until(lambda: streams(run, "a") + streams(run, "b") >= 3)

    run = run_fleet_file(file, disturb)
    assert RUNTIME.failures == {}
    for name in ("a", "b"):
        assert "slot" in run.reasons(name)
        assert holes(run.rows(name)) == [], name
        assert frames_in(run.rows(name)) == run.source.frames_read()[name], name
        # Waiting is no reason to connect anew.
        assert "outage" not in run.reasons(name)[1:]
    assert server.alive() == []


def test_a_fleet_stops_at_its_budget_and_goes_on_with_a_greater_one(
    dear_server: Server, camera_servers: Servers, tmp_path: Path
) -> None:
    cameras = camera_servers({"a": {}, "b": {}}, ("user", PASSWORD))
    file = FleetFile(tmp_path, dear_server, cameras, "budget_cents = 6")
    file.camera("a")
    file.camera("b")
    file.write()

    def disturb(run: FleetRun) -> None:
        until(lambda: bool(run.results("a") and run.results("b")))
        until(lambda: dear_server.alive() == [])
        spent_cents = sum(
            each.cost_cents or 0.0 for each in run.outcomes if isinstance(each, Usage)
        )
        assert 3 < spent_cents < 10
        known = len(run.results("a"))
        file.write(file.text().replace("budget_cents = 6", "budget_cents = 600"))
        until(lambda: len(run.results("a")) > known)

    run = run_fleet_file(file, disturb)
    for name in ("a", "b"):
        assert "budget" in run.reasons(name)
        assert holes(run.rows(name)) == [], name


@pytest.mark.parametrize("credits_cents", [0.0, 2.0])
def test_a_key_without_credit_is_left_for_another_one(
    camera_servers: Servers, tmp_path: Path, credits_cents: float
) -> None:
    cameras = camera_servers({"a": {}}, ("user", PASSWORD))
    config = ServerConfig(
        keys={"ovs-poor": credits_cents, KEY: 1000.0}, price_cents_per_s=1.0, lease_ttl_s=3.0
    )
    with running_server(config) as running:
        file = FleetFile(tmp_path, Server(running.base_url), cameras)
        (tmp_path / "poor.key").write_text("ovs-poor")
        file.camera("a")
        rich = '[[service]]\nname = "main"'
        poor = f'[[service]]\nname = "poor"\nbase_url = "{running.base_url}"\n'
        poor += 'key = { file = "poor.key" }\n'
        file.write(file.text().replace(rich, poor + rich))

        def streams(run: FleetRun) -> int:
            return len({result.stream_id for result in run.results("a")})

        def disturb(run: FleetRun) -> None:
            until(lambda: streams(run) >= (2 if credits_cents else 1))

        run = run_fleet_file(file, disturb)
    assert RUNTIME.failures == {}
    assert holes(run.rows("a")) == []
    assert frames_in(run.rows("a")) == run.source.frames_read()["a"]
