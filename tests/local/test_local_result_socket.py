"""The result socket: who is let in, and how it closes."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from local_server_support import OTHER_KEY, Client, close_of, next_result, publishing, serving

POLICY_VIOLATION = 1008


@pytest.mark.parametrize(
    "first_message",
    ['{"api_key": "wrong"}', '{"key": "x"}', "[]", "no json", '{"api_key": ["x"]}'],
)
def test_a_wrong_first_message_is_1008(first_message: str) -> None:
    async def scenario() -> None:
        async with serving() as client:
            stream_id = (await client.created())["stream_id"]
            url = f"{client.server.base_url}/ws/streams/{stream_id}"
            async with client.http.ws_connect(url) as ws:
                await ws.send_str(first_message)
                assert (await close_of(ws))[0] == POLICY_VIOLATION

    asyncio.run(scenario())


def test_silence_and_bytes_are_1008() -> None:
    async def scenario() -> None:
        async with serving(authentication_timeout_s=0.1) as client:
            stream_id = (await client.created())["stream_id"]
            url = f"{client.server.base_url}/ws/streams/{stream_id}"
            async with client.http.ws_connect(url) as silent:
                assert (await close_of(silent))[0] == POLICY_VIOLATION
            async with client.http.ws_connect(url) as binary:
                await binary.send_bytes(b"x")
                assert (await close_of(binary))[0] == POLICY_VIOLATION

    asyncio.run(scenario())


def test_a_foreign_or_missing_stream_is_1008() -> None:
    async def scenario() -> None:
        async with serving() as client:
            foreign = (await client.created())["stream_id"]
            other = Client(client.server, client.http, OTHER_KEY)
            for stream_id in (foreign, "none"):
                async with other.results(stream_id) as ws:
                    assert (await close_of(ws))[0] == POLICY_VIOLATION

    asyncio.run(scenario())


def test_the_end_of_a_stream_is_1001_with_its_reason_also_for_latecomers() -> None:
    async def scenario() -> None:
        async with serving() as client:
            stream_id = (await client.created())["stream_id"]
            async with client.results(stream_id) as ws:
                await client.call("DELETE", f"/streams/{stream_id}")
                assert await close_of(ws) == (1001, "client_requested")
            async with client.results(stream_id) as late:
                assert await close_of(late) == (1001, "client_requested")

    asyncio.run(scenario())


def test_a_stopping_server_is_neither_1001_nor_1008() -> None:
    async def scenario() -> None:
        async with serving() as client:
            stream_id = (await client.created())["stream_id"]
            url = f"{client.server.base_url}/ws/streams/{stream_id}"
            async with client.results(stream_id) as ws, client.http.ws_connect(url) as silent:
                stopping = asyncio.create_task(client.server.stop())
                assert (await close_of(ws))[0] == 1012
                assert (await close_of(silent))[0] == 1012
                await stopping

    asyncio.run(scenario())


def test_results_have_the_contracts_fields_and_reach_every_socket() -> None:
    async def scenario() -> None:
        async with serving() as client:
            stream = await client.created()
            stream_id = stream["stream_id"]
            async with (
                client.results(stream_id) as one,
                client.results(stream_id) as two,
                publishing(stream["livekit"]["url"], stream["livekit"]["token"]),
            ):
                results = [await next_result(one) for _ in range(2)]
                mirrored = {(await next_result(two))["id"] for _ in range(4)}
            for result in results:
                assert set(result) == {
                    "id",
                    "stream_id",
                    "mode",
                    "model_backend",
                    "model_name",
                    "prompt",
                    "result",
                    "inference_latency_ms",
                    "total_latency_ms",
                    "ok",
                    "error",
                    "finish_reason",
                }
                assert result["stream_id"] == stream_id
                assert result["mode"] == "frame"
                assert result["model_backend"] == "overshoot"
                assert result["model_name"] == "Qwen/Qwen3.5-9B"
                assert result["prompt"] == "lanes?"
                assert result["result"] == "about lanes?"
                assert result["ok"] is True
                assert result["error"] is None
                assert result["finish_reason"] == "stop"
                assert 0 <= result["inference_latency_ms"] <= result["total_latency_ms"]
            assert results[0]["id"] != results[1]["id"]
            assert mirrored & {result["id"] for result in results}
            sent = [r["id"] for r in (await client.report(stream_id))["results"] if r["sent"]]
            assert {result["id"] for result in results} <= set(sent)

    asyncio.run(scenario())


def test_a_dropped_socket_has_no_close_frame_and_the_stream_lives_on() -> None:
    async def scenario() -> None:
        async with serving() as client:
            stream = await client.created()
            stream_id = stream["stream_id"]
            async with publishing(stream["livekit"]["url"], stream["livekit"]["token"]):
                async with client.results(stream_id) as ws:
                    await next_result(ws)
                    await client.fault(kind="websocket_drop", count=2)
                    assert (await close_of(ws))[0] == aiohttp.WSCloseCode.ABNORMAL_CLOSURE
                async with client.results(stream_id) as again:
                    assert (await close_of(again))[0] == aiohttp.WSCloseCode.ABNORMAL_CLOSURE
                async with client.results(stream_id) as at_last:
                    assert (await next_result(at_last))["ok"] is True

    asyncio.run(scenario())
