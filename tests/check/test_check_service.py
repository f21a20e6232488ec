"""Asking real services: the local server with right and wrong keys, and places where none is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from check_support import fleet_text, mute_server, nobody

from overshoot_flow.config import DEFAULT_MODEL
from overshoot_flow.local.running import RunningServer, running_server
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow_connectors.fleet import parse_fleet
from overshoot_flow_connectors.fleet_model import Fleet
from overshoot_flow_pipelines.check_service import ServiceFacts, ask_service, models_asked

KEY = "ovs-check-key-that-must-not-leak"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    config = ServerConfig(
        keys={KEY: 100.0},
        model_aliases=(DEFAULT_MODEL, "busy", "slow"),
        model_statuses={"busy": "saturated", "slow": "degraded"},
    )
    with running_server(config) as running:
        yield running


def fleet_of(base_url: str, key: str = KEY, cameras: str = "") -> Fleet:
    text = fleet_text({"gate": '"rtsp://10.0.0.1/gate"'}, base_url) + cameras
    return parse_fleet(text, environment={"CHECK_KEY": key, "OTHER_KEY": "ovs-other"})


def ask(fleet: Fleet, timeout_s: float = 10) -> ServiceFacts:
    (service,) = fleet.services
    return asyncio.run(ask_service(service, models_asked(fleet, service), timeout_s))


def test_a_service_that_works(server: RunningServer) -> None:
    facts = ask(fleet_of(server.base_url))
    assert facts == ServiceFacts(key_accepted=True, models={DEFAULT_MODEL: "ready"})


def test_a_key_that_is_refused(server: RunningServer) -> None:
    facts = ask(fleet_of(server.base_url, "ovs-wrong-hunter2"))
    assert facts.key_accepted is False
    (problem,) = facts.problems
    assert problem.startswith("the key is not accepted: ")
    assert "hunter2" not in repr(facts)


def test_models_that_are_missing_or_take_no_streams(server: RunningServer) -> None:
    cameras = "".join(
        f'\n[[camera]]\nname = "{model}"\nurl = "rtsp://10.0.0.1/{model}"\nmodel = "{model}"'
        for model in ("busy", "slow", "none")
    )
    facts = ask(fleet_of(server.base_url, cameras=cameras))
    assert facts.models == {
        DEFAULT_MODEL: "ready",
        "busy": "saturated",
        "slow": "degraded",
        "none": None,
    }
    busy, missing = facts.problems
    assert busy == "the model busy takes nothing new: saturated"
    assert missing.startswith("it has no model none; it has ")
    assert DEFAULT_MODEL in missing


@pytest.mark.parametrize("generation", ["v1", "v1beta"])
def test_a_service_of_a_generation_with_a_balance(server: RunningServer, generation: str) -> None:
    cameras = '\n[[camera]]\nname = "busy"\nurl = "rtsp://10.0.0.1/busy"\nmodel = "busy"'
    facts = ask(fleet_of(f"{server.root_url}/{generation}", cameras=cameras))
    assert facts == ServiceFacts(
        key_accepted=True,
        models={DEFAULT_MODEL: "ready", "busy": "unavailable"},
        balance_cents=100.0,
        problems=("the model busy takes nothing new: unavailable",),
    )
    refused = ask(fleet_of(f"{server.root_url}/{generation}", "ovs-wrong-hunter2"))
    assert refused.key_accepted is False
    assert "hunter2" not in repr(refused)


def test_an_account_without_credit() -> None:
    with running_server(ServerConfig(keys={KEY: 0.0})) as poor:
        facts = ask(fleet_of(f"{poor.root_url}/v1"))
    assert (facts.key_accepted, facts.balance_cents) == (True, 0.0)
    assert facts.problems == ("the account has no credit left",)


def test_a_service_that_is_not_there() -> None:
    with nobody() as address:
        facts = ask(fleet_of(f"http://{address}/v0.2"), timeout_s=20)
    assert facts.key_accepted is None
    assert facts.problems == ("GET /models: no connection (ConnectError)",)


def test_a_mute_service_is_given_up() -> None:
    with mute_server() as address:
        facts = ask(fleet_of(f"http://{address}/v0.2"), timeout_s=0.5)
    assert facts.key_accepted is None
    assert facts.problems == ("no answer within 0.5 s",)


def test_a_service_is_asked_for_the_models_of_its_cameras_only() -> None:
    cameras = (
        '\n[[camera]]\nname = "a"\nurl = "rtsp://10.0.0.1/a"\nmodel = "a"\nservice = "main"'
        '\n[[camera]]\nname = "b"\nurl = "rtsp://10.0.0.1/b"\nmodel = "b"\nservice = "other"'
        '\n[[service]]\nname = "other"\nkey = { env = "OTHER_KEY" }'
    )
    fleet = fleet_of("http://127.0.0.1:9/v0.2", cameras=cameras)
    main, other = fleet.services
    assert models_asked(fleet, main) == [DEFAULT_MODEL, "a"]
    assert models_asked(fleet, other) == [DEFAULT_MODEL, "b"]
