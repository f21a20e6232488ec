"""`overshoot-flow models` against the local server, for every generation of the API."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator

import pytest

from overshoot_flow.local.running import RunningServer, running_server
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.local.v1.config import V1Config
from overshoot_flow_pipelines.cli import main

KEY = "ovs-models-key-hunter2"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    config = ServerConfig(
        keys={KEY: 12.5},
        model_aliases=("m",),
        model_statuses={"m": "saturated"},
        allow_faults=True,
        v1=V1Config(
            input_microcents_per_token=17,
            output_microcents_per_token=23,
            cached_input_microcents_per_token=5,
        ),
    )
    with running_server(config) as running:
        yield running


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERSHOOT_API_KEY", KEY)


def row_of(output: str, model: str) -> list[str]:
    (row,) = (line for line in output.splitlines() if f" {model} " in line)
    return [cell.strip() for cell in row.strip("│ ").split("│")]


@pytest.mark.parametrize("generation", ["v1", "v1beta"])
def test_prices_and_the_balance_are_shown(
    server: RunningServer, generation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "--base-url", f"{server.root_url}/{generation}"]) == 0
    output = capsys.readouterr().out
    assert row_of(output, "m") == ["m", "no", "unavailable", "17", "5", "23"]
    assert row_of(output, "local/pixels") == ["local/pixels", "yes", "ready", "17", "5", "23"]
    assert "cents per million tokens" in output
    assert "balance: 12.50 cents" in output


def test_v02_tells_neither(server: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--base-url", server.base_url]) == 0
    output = capsys.readouterr().out
    assert row_of(output, "m") == ["m", "no", "saturated"]
    assert "balance" not in output


def test_a_service_without_billing_still_lists_its_models(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    order = {"kind": "http_errors", "status": 404, "path": "/billing", "count": 2}
    request = urllib.request.Request(  # noqa: S310 - the test's own server
        f"{server.root_url}/_local/faults",
        json.dumps(order).encode(),
        {"content-type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 - the test's own server
    assert main(["models", "--base-url", f"{server.root_url}/v1"]) == 0
    output = capsys.readouterr().out
    assert row_of(output, "m") == ["m", "no", "unavailable", "unknown", "unknown", "unknown"]
    assert "balance: unknown (" in output


def test_a_wrong_key_is_an_error(
    server: RunningServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERSHOOT_API_KEY", "ovs-wrong-hunter3")
    assert main(["models", "--base-url", f"{server.root_url}/v1"]) == 1
    told = "".join(capsys.readouterr())
    assert "status=401" in told
    assert "hunter3" not in told
