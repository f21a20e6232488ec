"""The v1 client against the local server: real HTTP, every method, every kind of error."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from overshoot_flow.config import Secret, Service
from overshoot_flow.errors import (
    AuthenticationError,
    ConfigurationError,
    RateLimitError,
    ServiceError,
    StreamNotFoundError,
    TransportError,
    WindowError,
    WrongRegionError,
)
from overshoot_flow.local.server import LocalServer, ServerConfig
from overshoot_flow.local.v1.config import V1Config
from overshoot_flow.protocol import v1
from overshoot_flow.protocol.v1_chat import ChatAnswer, ChatRequest, ImagePart
from overshoot_flow.protocol.v1_errors import GoToRegion, RetryLater, decide
from overshoot_flow.protocol.v1_uri import FrameIndex, FrameReference
from overshoot_flow.transport.http_v1 import OvershootV1

KEY = Secret("ovs-test-key")


async def no_pause(_seconds: float) -> None:
    await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def connected(
    generation: str = "v1", key: Secret = KEY, chat_timeout_s: float = 10.0, **knobs: Any
) -> AsyncIterator[tuple[OvershootV1, LocalServer]]:
    config = ServerConfig(keys={KEY.reveal(): 100.0}, allow_faults=True, **knobs)
    async with LocalServer(config) as server:
        service = Service(key=key, base_url=f"{server.root_url}/{generation}")
        client = OvershootV1(service, chat_timeout_s=chat_timeout_s, sleep=no_pause)
        try:
            yield client, server
        finally:
            await client.aclose()


async def local(server: LocalServer, path: str, order: dict[str, Any] | None = None) -> Any:
    async with httpx.AsyncClient() as http:
        url = f"{server.root_url}/_local/{path}"
        response = await (http.get(url) if order is None else http.post(url, json=order))
        assert response.status_code == 200, response.text
        return response.json()


def about(stream_id: str) -> ChatRequest:
    frame = FrameReference(stream_id=stream_id, at=FrameIndex(0))
    return ChatRequest(model="local/pixels", prompt="what?", media=(ImagePart(frame),))


@pytest.mark.parametrize(("generation", "lease_s"), [("v1", 300), ("v1beta", 45)])
def test_a_stream_from_its_creation_to_its_deletion(generation: str, lease_s: float) -> None:
    async def scenario() -> None:
        async with connected(generation) as (client, _):
            created = await client.create_stream()
            assert created.lease_ttl_s == lease_s
            assert (await client.stream(created.stream_id)).state is v1.StreamState.ACTIVE
            assert (await client.keepalive(created.stream_id)).room is not None
            await client.delete_stream(created.stream_id)
            await client.delete_stream(created.stream_id)
            await client.delete_stream("never-was")
            assert (await client.stream(created.stream_id)).state is v1.StreamState.ENDED
            with pytest.raises(StreamNotFoundError):
                await client.keepalive(created.stream_id)

    asyncio.run(scenario())


def test_models_and_money() -> None:
    async def scenario() -> None:
        async with connected() as (client, _):
            assert "local/pixels" in {model.id for model in await client.models() if model.ready}
            price = await client.pricing("local/pixels")
            assert (await client.all_pricing())["local/pixels"] == price
            assert (await client.balance()).cents == 100
            asked = await client.ask(ChatRequest(model="local/pixels", prompt="anybody?"))
            assert isinstance(asked.outcome, ChatAnswer)
            assert asked.outcome.usage is not None
            cost = price.cost_microcents(asked.outcome.usage)
            assert (await client.balance()).microcents == 100_000_000 - cost

    asyncio.run(scenario())


def test_what_fails_about_a_window_is_a_value_with_the_rate_limit_beside_it() -> None:
    async def scenario() -> None:
        v1_config = V1Config(requests_per_window=3, rate_window_s=3600)
        async with connected(v1=v1_config) as (client, server):
            stream_id = (await client.create_stream()).stream_id
            early = await client.ask(about(stream_id))
            assert isinstance(early.outcome, ServiceError)
            assert early.outcome.code == "frame_not_yet_produced"
            assert decide(early.outcome) == RetryLater()
            await local(
                server, "faults", {"kind": "chat_errors", "status": 410, "code": "frame_evicted"}
            )
            evicted = await client.ask(about(stream_id))
            assert isinstance(evicted.outcome, WindowError)
            assert (evicted.rate.limit, evicted.rate.remaining) == (3, 1)
            await client.ask(about(stream_id))
            limited = await client.ask(about(stream_id))
            assert isinstance(limited.outcome, RateLimitError)
            assert decide(limited.outcome) == RetryLater(1.0)
            assert limited.rate.remaining == 0
            chats = await local(server, "chats")
            assert [chat["status"] for chat in chats] == [409, 410, 409, 429]

    asyncio.run(scenario())


def test_the_right_region_is_found_once_and_remembered() -> None:
    async def scenario() -> None:
        async with connected() as (client, server):
            stream_id = (await client.create_stream("us-central1")).stream_id
            await client.ask(about(stream_id))
            # A client that did not create the stream learns its region from the first refusal.
            other = OvershootV1(Service(key=KEY, base_url=server.v1_url), sleep=no_pause)
            try:
                await other.ask(about(stream_id))
                await other.ask(about(stream_id))
                await other.keepalive(stream_id)
            finally:
                await other.aclose()
            chats = await local(server, "chats")
            asked = [(chat["region"], chat["code"]) for chat in chats]
            answered = ("us-central1", "frame_not_yet_produced")
            assert asked == [answered, ("us-west1", "region_error"), answered, answered]

    asyncio.run(scenario())


def test_a_wrong_key_is_told_without_showing_it() -> None:
    async def scenario() -> None:
        key = Secret("ovs-wrong-key")
        async with connected(key=key) as (client, _):
            with pytest.raises(AuthenticationError) as raised:
                await client.create_stream()
            asked = await client.ask(ChatRequest(model="m", prompt="?"))
            assert isinstance(asked.outcome, AuthenticationError)
            assert key.reveal() not in f"{raised.value!r} {asked!r}"

    asyncio.run(scenario())


def test_a_chat_completion_is_asked_once_and_a_question_that_is_free_again() -> None:
    async def scenario() -> None:
        async with connected() as (client, server):
            order = {"kind": "http_errors", "status": 503, "count": 2}
            await local(server, "faults", order | {"path": "/v1/chat"})
            for _ in range(2):
                asked = await client.ask(ChatRequest(model="local/pixels", prompt="?"))
                assert isinstance(asked.outcome, ServiceError)
                assert decide(asked.outcome) == RetryLater()
            await local(server, "faults", order | {"path": "/v1/models"})
            assert await client.models()
            assert isinstance(
                (await client.ask(ChatRequest(model="local/pixels", prompt="?"))).outcome,
                ChatAnswer,
            )

    asyncio.run(scenario())


def test_a_model_that_is_too_slow_is_a_fault_of_the_network() -> None:
    async def scenario() -> None:
        async with connected(chat_timeout_s=0.2) as (client, server):
            await local(server, "faults", {"kind": "model_slow", "delay_s": 60})
            asked = await client.ask(ChatRequest(model="local/pixels", prompt="?"))
            assert isinstance(asked.outcome, TransportError)
            assert "no answer in 0.2 s" in str(asked.outcome)

    asyncio.run(scenario())


def test_another_generation_is_refused_at_construction() -> None:
    with pytest.raises(ConfigurationError, match="one of v1, v1beta"):
        OvershootV1(Service(key=KEY, base_url="http://127.0.0.1:1/v0.2"))


def test_a_region_error_is_a_decision_of_its_own() -> None:
    error = WrongRegionError("elsewhere", status=409)
    error.expected_region = "us-central1"
    assert decide(error) == GoToRegion("us-central1")
