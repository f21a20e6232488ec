"""What is asked about live streams, where and on what terms, changes while they run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from end_to_end_support import KEY, STAMPS_SCHEMA, Server
from live_flow_support import PlayedCameras, until, watching

from overshoot_flow.assignment import Assignment
from overshoot_flow.config import FrameMode, Inference, Secret, Service
from overshoot_flow.local.running import running_server
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.results import GapReason
from overshoot_flow.session.runtime import RUNTIME
from overshoot_flow.spending import RunBudget

pytestmark = pytest.mark.xdist_group("real time")

INFERENCE = Inference(prompt="What is there?", mode=FrameMode(interval_s=0.25))
OTHER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"frames": {"type": "integer"}},
    "required": ["frames"],
    "additionalProperties": False,
}


def assigned(service: Service, **terms: Any) -> Assignment:
    return Assignment(inference=INFERENCE, services=(service,), **terms)


def test_three_cameras_take_turns_on_one_slot(server: Server) -> None:
    assignment = assigned(server.service(max_streams=1), dwell_s=1.0)
    source = PlayedCameras({"a": assignment, "b": assignment, "c": assignment})
    with watching(source) as run:

        def all_had_two_turns() -> bool:
            assert len(server.alive()) <= 1
            return all(len({r.stream_id for r in run.of(key)}) >= 2 for key in "abc")

        until(all_had_two_turns)
    for key in "abc":
        waits = run.gaps_of(key, GapReason.SLOT)
        assert waits
        assert "all streams" in waits[0].detail or "others need" in waits[0].detail
    assert server.alive() == []
    # One row for a wait, not one for each picture of it.
    assert len(run.gaps) < 12 * len({r.stream_id for r in run.results})


def test_a_camera_of_greater_priority_takes_the_slot(server: Server) -> None:
    service = server.service(max_streams=1)
    source = PlayedCameras({"yard": assigned(service), "gate": assigned(service)})
    with watching(source) as run:
        until(lambda: run.results)
        first = run.results[0].stream_key
        other = "gate" if first == "yard" else "yard"
        until(lambda: run.gaps_of(other, GapReason.SLOT) or source.cameras[other])
        source.partitions[other].assign(assigned(service, priority=1))
        until(lambda: run.of(other))
        seen = len(run.of(other))
        until(lambda: len(run.of(other)) > seen + 4)
        newest_us = max(result.media_end_us for result in run.of(first))
        assert newest_us < run.of(other)[-1].media_end_us
    assert run.gaps_of(first, GapReason.SLOT)


def test_a_second_key_gives_more_slots() -> None:
    keys = {KEY: 100.0, "ovs-second": 100.0}
    with running_server(ServerConfig(keys=keys, allow_faults=True)) as running:
        services = tuple(
            Service(key=Secret(key), base_url=running.base_url, max_streams=1) for key in keys
        )
        assignment = Assignment(inference=INFERENCE, services=services)
        source = PlayedCameras({"a": assignment, "b": assignment})
        with watching(source) as run:
            until(lambda: run.of("a") and run.of("b"))
    assert not [gap for gap in run.gaps if gap.reason is GapReason.SLOT]


def test_another_prompt_is_asked_of_the_same_stream_without_a_gap(server: Server) -> None:
    service = server.service()
    source = PlayedCameras({"a": assigned(service, labels={"site": "north"})})
    with watching(source) as run:
        until(lambda: len(run.results) >= 3)
        changed = Assignment(
            inference=replace(INFERENCE, prompt="And now?"),
            services=(service,),
            labels={"site": "south"},
        )
        source.partitions["a"].assign(changed)
        until(lambda: [r for r in run.results if r.prompt == "And now?"][2:])
    assert len({result.stream_id for result in run.results}) == 1
    versions = {result.prompt: result.prompt_version for result in run.results}
    assert versions == {
        INFERENCE.prompt: INFERENCE.prompt_version,
        "And now?": changed.inference.prompt_version,
    }
    assert {result.labels["site"] for result in run.results} == {"north", "south"}
    between = [gap for gap in run.gaps if gap.reason not in (GapReason.OUTAGE, GapReason.STOPPED)]
    assert between == []


def test_another_schema_takes_a_new_stream(server: Server) -> None:
    service = server.service(max_streams=1)
    first = Assignment(
        inference=replace(INFERENCE, output_schema=STAMPS_SCHEMA), services=(service,)
    )
    second = Assignment(
        inference=replace(INFERENCE, output_schema=OTHER_SCHEMA), services=(service,)
    )
    source = PlayedCameras({"a": first})
    with watching(source) as run:
        until(lambda: len(run.results) >= 2)
        source.partitions["a"].assign(second)
        until(lambda: [r for r in run.results if "frames" in (r.schema_json or "")][1:])
        assert len(server.alive()) == 1
    assert len({result.stream_id for result in run.results}) == 2
    for result in run.results:
        wanted = "stamps" if "stamps" in (result.schema_json or "") else "frames"
        assert set(result.output) == {wanted}


@pytest.mark.parametrize("shared", [False, True])
def test_a_budget_ends_the_stream_and_a_greater_one_begins_anew(shared: bool) -> None:  # noqa: FBT001
    # One cent a second, and a keepalive every second.
    config = ServerConfig(
        keys={KEY: 1000.0}, allow_faults=True, price_cents_per_s=1.0, lease_ttl_s=3.0
    )
    with running_server(config) as running:
        server = Server(running.base_url)
        service = server.service()

        def terms(cents: float) -> Assignment:
            if shared:
                return assigned(service, run_budget=replace(budget, limit_cents=cents))
            return assigned(service, budget_cents=cents)

        budget = RunBudget(3.0)
        source = PlayedCameras({"a": terms(3.0)})
        with watching(source) as run:
            until(lambda: run.results)
            until(lambda: server.alive() == [])
            spent_cents = sum(usage.cost_cents or 0.0 for usage in run.usage)
            # Beyond the limit there is what was in flight: the answers due at that moment.
            assert 1.0 < spent_cents < 5.0
            streams = len(server.streams())
            answers = len(run.results)
            source.partitions["a"].assign(terms(100.0))
            until(lambda: len(run.results) > answers + 2)
            assert len(server.streams()) == streams + 1
        assert run.gaps_of("a", GapReason.BUDGET)
    assert RUNTIME.failures == {}


def test_a_camera_that_is_silent_gives_its_stream_back(server: Server) -> None:
    source = PlayedCameras({"a": assigned(server.service(idle_timeout_s=1.0))})
    with watching(source) as run:
        until(lambda: run.results)
        source.cameras["a"].is_silent = True
        until(lambda: server.alive() == [])
        answers = len(run.results)
        source.cameras["a"].is_silent = False
        until(lambda: len(run.results) > answers + 2)
    assert len({result.stream_id for result in run.results}) == 2
    assert run.gaps_of("a", GapReason.OUTAGE)


def test_while_the_service_is_away_the_time_is_a_gap_and_no_old_picture_is_shown(
    server: Server,
) -> None:
    server.fault("http_errors", path="/v0.2/streams", status=503, count=6)
    source = PlayedCameras({"a": assigned(server.service())})
    with watching(source) as run:
        until(lambda: len(run.results) >= 2)
    away = run.gaps_of("a", GapReason.SERVICE)
    assert away
    assert run.results[0].media_start_us >= away[0].media_start_us
    # A picture that waited for the service would be answered as if it were new.
    lost_us = max(gap.media_end_us for gap in away)
    assert run.results[0].media_end_us >= lost_us


def test_a_refused_key_is_no_end_where_another_one_may_come(server: Server) -> None:
    wrong = Service(key=Secret("ovs-wrong"), base_url=server.base_url)
    source = PlayedCameras({"a": assigned(wrong)})
    with watching(source) as run:
        until(lambda: run.gaps_of("a", GapReason.SERVICE))
        source.partitions["a"].assign(assigned(server.service()))
        until(lambda: run.results)
    refused = run.gaps_of("a", GapReason.SERVICE)
    assert refused
    assert "ovs-wrong" not in str(refused)
