"""Streams, models, money and regions of v1 and v1beta over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from local_server_support import OTHER_KEY, publishing, request_body, until
from v1_support import MODEL, V1Client, code_of, serving_v1

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.local.v1.config import V1Config

MISSING = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(("generation", "lease_s"), [("v1", 300), ("v1beta", 45)])
def test_a_stream_lives_from_its_creation_to_its_deletion(generation: str, lease_s: int) -> None:
    async def scenario() -> None:
        async with serving_v1() as client:
            client.generation = generation
            status, body, headers = await client.whole("POST", "/streams")
            assert status == 201
            assert set(body) == {"id", "state", "publish", "expires_at_ms", "ttl_seconds"}
            assert (body["state"], body["ttl_seconds"]) == ("active", lease_s)
            assert body["publish"]["type"] == "livekit"
            assert body["publish"]["url"] == client.server.room_url
            assert headers["x-overshoot-region"] == "us-west1"
            path = f"/streams/{body['id']}"
            status, got = await client.call("GET", path)
            assert (status, got["state"], got["ttl_seconds"]) == (200, "active", lease_s)
            assert got["last_frame_at_ms"] is got["last_frame_index"] is got["end_reason"] is None
            status, renewed = await client.call("POST", f"{path}/keepalive")
            assert (status, renewed["id"], renewed["ttl_seconds"]) == (200, body["id"], lease_s)
            assert renewed["expires_at_ms"] >= body["expires_at_ms"]
            assert renewed["publish"]["token"].count(".") == 2
            deleted = {"id": body["id"], "deleted": True}
            assert await client.call("DELETE", path) == (200, deleted)
            assert await client.call("DELETE", path) == (200, deleted)
            status, ended = await client.call("GET", path)
            assert (status, ended["state"], ended["end_reason"]) == (200, "ended", "deleted")
            refused = await client.call("POST", f"{path}/keepalive")
            assert refused == (404, {"detail": "there is no such stream, or it has ended"})

    asyncio.run(scenario())


def test_a_stream_without_keepalive_expires_and_is_forgotten_later() -> None:
    async def scenario() -> None:
        v1 = V1Config(lease_ttl_s={"v1": 0.05, "v1beta": 45.0}, ended_answer_s=0.2)
        async with serving_v1(v1=v1) as client:
            path = f"/streams/{await client.created()}"

            async def is_forgotten() -> bool:
                return (await client.call("GET", path))[0] == 404

            await until(is_forgotten)
            async with client.http.get(f"{client.server.root_url}/_local/streams") as response:
                (report,) = await response.json()
            assert (report["end_reason"], report["api"]) == ("lease_expired", "v1")

    asyncio.run(scenario())


def test_streams_of_all_generations_share_the_slots_of_a_key() -> None:
    async def scenario() -> None:
        async with serving_v1(max_streams_per_key=2) as client:
            await client.created()
            old = {"Authorization": f"Bearer {client.key}"}
            async with client.http.post(
                f"{client.server.base_url}/streams", json=request_body(), headers=old
            ) as response:
                assert response.status == 201
            client.generation = "v1beta"
            status, body = await client.call("POST", "/streams")
            assert (status, body) == (429, {"detail": "at most 2 concurrent streams per API key"})
            client.key = OTHER_KEY
            await client.created()

    asyncio.run(scenario())


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_nobody_reaches_the_stream_of_another_key(method: str) -> None:
    async def scenario() -> None:
        async with serving_v1() as client:
            mine = await client.created()
            suffix = "/keepalive" if method == "POST" else ""
            client.key = OTHER_KEY
            for stream_id in (mine, MISSING):
                assert (await client.call(method, f"/streams/{stream_id}{suffix}"))[0] == 404
            client.key = "ovs-wrong"
            status, body = await client.call(method, f"/streams/{mine}{suffix}")
            assert (status, set(body)) == (401, {"detail"})

    asyncio.run(scenario())


def test_a_key_without_credit_gets_no_stream_and_an_unknown_path_has_a_body() -> None:
    async def scenario() -> None:
        async with serving_v1(keys={"ovs-poor": 0.0}) as client:
            client.key = "ovs-poor"
            assert (await client.call("POST", "/streams"))[0] == 402
            status, body = await client.call("GET", "/nowhere")
            assert (status, set(body)) == (404, {"detail"})
            await client.fault(kind="http_errors", status=500, path="/v1/models")
            assert (await client.call("GET", "/models"))[0] == 500
            assert (await client.call("GET", "/models"))[0] == 200

    asyncio.run(scenario())


def test_models_say_whether_they_are_ready_without_a_key() -> None:
    async def scenario() -> None:
        statuses = {"local/ocr": "saturated", MODEL: "degraded"}
        async with serving_v1(model_statuses=statuses) as client:
            client.key = ""
            status, body = await client.call("GET", "/models")
            assert (status, body["object"]) == (200, "list")
            told = {entry["id"]: entry["status"] for entry in body["data"]}
            assert (told[MODEL], told["local/ocr"]) == ("ready", "unavailable")

    asyncio.run(scenario())


def test_money_is_told_in_microcents() -> None:
    async def scenario() -> None:
        v1 = V1Config(input_microcents_per_token=7)
        async with serving_v1(v1=v1) as client:
            status, price = await client.call("GET", "/billing/pricing/local/pixels")
            assert (status, price["input_microcents_per_token"]) == (200, 7)
            _, escaped = await client.call("GET", "/billing/pricing/local%2Fpixels")
            assert escaped == price
            _, listed = await client.call("GET", "/billing/pricing")
            assert price in listed["data"]
            assert (await client.call("GET", "/billing/pricing/none"))[0] == 404
            status, balance = await client.call("GET", "/billing/accounts/me/balance")
            assert balance == {"balance_microcents": 100_000_000, "balance_cents": 100}
            client.key = "ovs-wrong"
            assert (await client.call("GET", "/billing/accounts/me/balance"))[0] == 401

    asyncio.run(scenario())


def test_a_stream_is_served_in_its_region_only() -> None:
    async def scenario() -> None:
        async with serving_v1() as client:
            stream_id = await client.created("us-central1")
            path = f"/streams/{stream_id}"
            expected = {
                "detail": {
                    "error": "region_error",
                    "expected_region": "us-central1",
                    "requested_region": "us-west1",
                }
            }
            assert await client.call("GET", path) == (409, expected)
            assert await client.call("GET", path, region="us-west1") == (409, expected)
            assert await client.ask(f"ovs://streams/{stream_id}?frame_index=0") == (409, expected)
            status, _, headers = await client.whole("GET", path, region="us-central1")
            assert (status, headers["x-overshoot-region"]) == (200, "us-central1")
            status, body = await client.call("POST", "/streams", region="mars")
            assert (status, body["error"]) == (422, "validation_error")

    asyncio.run(scenario())


@pytest.mark.xdist_group("real time")
def test_what_the_livekit_sdk_publishes_can_be_asked_about_until_it_leaves() -> None:
    async def scenario() -> None:
        async with serving_v1(publisher_left_grace_s=0.2) as client:
            _, body = await client.call("POST", "/streams")
            path = f"/streams/{body['id']}"

            async def status_with_frames(client: V1Client = client) -> Any:
                _, status = await client.call("GET", path)
                return status if (status["last_frame_index"] or 0) >= 5 else None

            async with publishing(body["publish"]["url"], body["publish"]["token"]):
                status = await until(status_with_frames)
                assert status["stream_time_ms"] > 0
                assert status["retained_frame_count"] == status["last_frame_index"] + 1
                reference = f"ovs://streams/{body['id']}?start_frame_index=1&end_frame_index=4"
                code, answer = await client.ask(f"{reference}&max_fps=240")
                assert code == 200, answer
                assert '"frame_count": 3' in answer["choices"][0]["message"]["content"]

            async def has_ended() -> bool:
                _, status = await client.call("GET", path)
                return (status["state"], status["end_reason"]) == ("ended", "expired")

            await until(has_ended)
            gone = await client.ask(f"ovs://streams/{body['id']}?frame_index=0")
            assert code_of(gone) == (404, "stream_not_found")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "knobs",
    [
        {"retention_s": 0},
        {"retention_s": float("nan")},
        {"requests_per_window": 0},
        {"ingest_delay_s": -1},
        {"lease_ttl_s": {"v1": 300.0}},
        {"lease_ttl_s": {"v1": 300.0, "v1beta": 0}},
    ],
)
def test_a_configuration_that_cannot_work_is_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(knobs))):
        V1Config(**knobs)
