"""The HTTP contract of the local server, error by error."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from local_server_support import KEY, OTHER_KEY, Client, request_body, serving, until

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.local.server import ServerConfig

CLIP = {"target_fps": 6, "clip_length_seconds": 0.5, "delay_seconds": 0.5}
ASK = {"prompt": "lanes?", "model": "Qwen/Qwen3.5-9B"}
MISSING_STREAM = "/streams/00000000-0000-0000-0000-000000000000"


def assert_error(answer: tuple[int, Any], status: int, code: str) -> Any:
    assert answer[0] == status, answer[1]
    assert set(answer[1]) == {"error", "message", "request_id", "details"}
    assert answer[1]["error"] == code
    assert answer[1]["message"]
    assert answer[1]["request_id"]
    return answer[1]["details"]


def test_a_native_stream_has_a_room_and_a_lease() -> None:
    async def scenario() -> None:
        async with serving() as client:
            body = await client.created(mode="clip", processing=CLIP, unknown_field=1)
            assert set(body) == {"stream_id", "livekit", "lease", "webrtc", "turn_servers"}
            assert body["lease"] == {"ttl_seconds": 45}
            assert body["livekit"]["url"] == client.server.room_url
            assert body["livekit"]["token"].count(".") == 2
            assert body["webrtc"] is None
            assert body["turn_servers"] is None

    asyncio.run(scenario())


def test_keepalive_charges_and_gives_a_fresh_token() -> None:
    async def scenario() -> None:
        async with serving(price_cents_per_s=2.0) as client:
            body = await client.created()
            status, answer = await client.call("POST", f"/streams/{body['stream_id']}/keepalive")
            assert status == 200
            assert answer["status"] == "ok"
            assert answer["stream_id"] == body["stream_id"]
            assert answer["ttl_seconds"] == 45
            assert answer["seconds_charged"] > 0
            assert answer["cost_cents"] == pytest.approx(2 * answer["seconds_charged"])
            assert answer["credits_remaining_cents"] == pytest.approx(100 - answer["cost_cents"])
            assert answer["livekit_token"].count(".") == 2

    asyncio.run(scenario())


def test_prompt_update_describes_the_stream() -> None:
    async def scenario() -> None:
        async with serving() as client:
            stream_id = (await client.created())["stream_id"]
            path = f"/streams/{stream_id}/config/prompt"
            status, answer = await client.call("PATCH", path, json={"prompt": "plates?"})
            assert status == 200
            assert answer["stream_id"] == stream_id
            assert answer["prompt"] == "plates?"
            assert answer["backend"] == "overshoot"
            assert answer["model"] == "Qwen/Qwen3.5-9B"
            assert answer["output_schema_json"] is None
            assert answer["created_at"] <= answer["updated_at"]
            refused = await client.call("PATCH", path, json={"prompt": " "})
            assert assert_error(refused, 422, "validation_error")["field"] == "prompt"
            refused = await client.call("PATCH", path, json=["prompt"])
            assert assert_error(refused, 422, "validation_error")["field"] == "body"

    asyncio.run(scenario())


def test_delete_ends_the_stream() -> None:
    async def scenario() -> None:
        async with serving() as client:
            path = f"/streams/{(await client.created())['stream_id']}"
            assert await client.call("DELETE", path) == (200, {"status": "ok"})
            assert_error(await client.call("DELETE", path), 404, "stream_not_found")
            assert_error(await client.call("POST", f"{path}/keepalive"), 404, "stream_not_found")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("changes", "field", "facts"),
    [
        ({"mode": "film"}, "mode", {"allowed": ["clip", "frame"]}),
        ({"mode": None}, "mode", {}),
        ({"processing": None}, "processing", {}),
        ({"inference": None}, "inference", {}),
        (
            {"processing": {"interval_seconds": 0.05}},
            "processing.interval_seconds",
            {"min": 0.1, "max": 60},
        ),
        ({"processing": {"interval_seconds": "1"}}, "processing.interval_seconds", {}),
        ({"processing": {"interval_seconds": True}}, "processing.interval_seconds", {}),
        (
            {"mode": "clip", "processing": CLIP | {"target_fps": 31}},
            "processing.target_fps",
            {"min": 1, "max": 30},
        ),
        (
            {"mode": "clip", "processing": CLIP | {"clip_length_seconds": 61}},
            "processing.clip_length_seconds",
            {"min": 0.1, "max": 60},
        ),
        (
            {"mode": "clip", "processing": CLIP | {"delay_seconds": 0}},
            "processing.delay_seconds",
            {"above": 0},
        ),
        ({"inference": {"model": "Qwen/Qwen3.5-9B"}}, "inference.prompt", {}),
        ({"inference": {"prompt": "lanes?"}}, "inference.model", {}),
        ({"inference": ASK | {"model": "none/such"}}, "inference.model", {}),
        (
            {
                "processing": {"interval_seconds": 0.5},
                "inference": ASK | {"max_output_tokens": 65},
            },
            "inference.max_output_tokens",
            {"allowed_max": 64},
        ),
        ({"inference": ASK | {"max_output_tokens": 0}}, "inference.max_output_tokens", {}),
        ({"inference": ASK | {"output_schema_json": "x"}}, "inference.output_schema_json", {}),
        (
            {"inference": ASK | {"output_schema_json": {"type": "objekt"}}},
            "inference.output_schema_json",
            {},
        ),
        (
            {"source": {"type": "rtmp"}},
            "source.type",
            {"allowed": ["native", "webrtc", "livekit"]},
        ),
        ({"source": {"type": "webrtc"}}, "source.sdp", {}),
        ({"source": {"type": "webrtc", "sdp": "nonsense"}}, "source.sdp", {}),
        ({"source": {"type": "livekit", "url": "ftp://x", "token": "t"}}, "source.url", {}),
        ({"source": {"type": "livekit", "url": "wss://x"}}, "source.token", {}),
    ],
)
def test_a_request_outside_the_contract_is_422(
    changes: dict[str, Any], field: str, facts: dict[str, Any]
) -> None:
    async def scenario() -> None:
        async with serving() as client:
            details = assert_error(await client.create(**changes), 422, "validation_error")
            assert details["field"] == field
            assert {name: details[name] for name in facts} == facts
            # A refused request must not hold one of the key's slots.
            for _ in range(5):
                await client.created()

    asyncio.run(scenario())


def test_the_token_rate_rule_allows_its_maximum() -> None:
    async def scenario() -> None:
        async with serving() as client:
            inference = ASK | {"max_output_tokens": 64}
            await client.created(processing={"interval_seconds": 0.5}, inference=inference)

    asyncio.run(scenario())


def test_a_body_that_is_not_json_is_400() -> None:
    async def scenario() -> None:
        async with serving() as client:
            answer = await client.call("POST", "/streams", data=b"{")
            assert_error(answer, 400, "bad_request")

    asyncio.run(scenario())


@pytest.mark.parametrize("key", ["wrong", ""])
def test_an_unknown_key_is_401_everywhere(key: str) -> None:
    async def scenario() -> None:
        async with serving() as server_client:
            client = Client(server_client.server, server_client.http, key)
            for method, path in (
                ("POST", "/streams"),
                ("POST", f"{MISSING_STREAM}/keepalive"),
                ("PATCH", f"{MISSING_STREAM}/config/prompt"),
                ("DELETE", MISSING_STREAM),
                ("GET", "/models"),
            ):
                answer = await client.call(method, path, json=request_body())
                assert_error(answer, 401, "unauthorized")

    asyncio.run(scenario())


def test_a_foreign_or_missing_stream_is_404() -> None:
    async def scenario() -> None:
        async with serving() as client:
            foreign = f"/streams/{(await client.created())['stream_id']}"
            other = Client(client.server, client.http, OTHER_KEY)
            for path in (foreign, MISSING_STREAM):
                for method, suffix in (
                    ("POST", "/keepalive"),
                    ("PATCH", "/config/prompt"),
                    ("DELETE", ""),
                ):
                    answer = await other.call(method, path + suffix, json={"prompt": "p"})
                    assert_error(answer, 404, "stream_not_found")
            assert_error(await client.call("GET", "/nothing"), 404, "not_found")
            assert_error(await client.call("PUT", "/streams"), 405, "bad_request")

    asyncio.run(scenario())


def test_models_are_listed_with_their_status_and_refuse_new_streams() -> None:
    async def scenario() -> None:
        statuses = {"Qwen/Qwen3.5-9B": "degraded", "local/counting": "saturated"}
        async with serving(model_statuses=statuses) as client:
            status, models = await client.call("GET", "/models")
            assert status == 200
            by_name = {model["model"]: model for model in models}
            assert by_name["local/pixels"] == {
                "model": "local/pixels",
                "ready": True,
                "status": "ready",
            }
            assert by_name["Qwen/Qwen3.5-9B"]["ready"] is True
            assert by_name["local/counting"]["ready"] is False
            await client.created()
            saturated = ASK | {"model": "local/counting"}
            assert_error(await client.create(inference=saturated), 503, "model_unavailable")
            await client.fault(kind="model_status", model="Qwen/Qwen3.5-9B", status="unavailable")
            assert_error(await client.create(), 503, "model_unavailable")

    asyncio.run(scenario())


def test_faults_are_served_only_when_allowed() -> None:
    async def scenario() -> None:
        async with serving(allow_faults=False) as client:
            async with client.http.get(f"{client.server.root_url}/_local/streams") as response:
                assert response.status == 404
            async with client.http.post(
                f"{client.server.root_url}/_local/faults", json={"kind": "no_credit"}
            ) as response:
                assert response.status == 404

    asyncio.run(scenario())


def test_ordered_http_errors_are_counted_down() -> None:
    async def scenario() -> None:
        async with serving() as client:
            await client.fault(kind="http_errors", count=2, status=502, path="/v0.2/models")
            await client.created()
            for _ in range(2):
                assert_error(await client.call("GET", "/models"), 502, "injected_fault")
            assert (await client.call("GET", "/models"))[0] == 200

    asyncio.run(scenario())


def test_a_hanging_request_is_let_go_when_the_server_stops() -> None:
    async def scenario() -> None:
        async with serving() as client:
            await client.fault(kind="http_hang", path="/v0.2/models")
            hanging = asyncio.create_task(client.call("GET", "/models"))

            async def hangs() -> bool:
                return client.server._http_faults.empty

            await until(hangs)
            assert not hanging.done()
            await client.server.stop()
            assert_error(await hanging, 503, "injected_fault")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "knobs",
    [
        {"keys": {}},
        {"keys": {"": 1.0}},
        {"keys": {"k": float("nan")}},
        {"lease_ttl_s": 0},
        {"engine_threads": 0},
        {"publisher_left_grace_s": -1},
        {"model_statuses": {"local/pixels": "tired"}},
    ],
)
def test_a_configuration_that_cannot_work_is_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        ServerConfig(**knobs)


def test_the_key_is_in_no_repr() -> None:
    assert KEY not in repr(ServerConfig(keys={KEY: 1.0}))
