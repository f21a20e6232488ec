"""Rooms of native streams, with the real LiveKit SDK on the other side."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from livekit import rtc
from local_server_support import (
    DEADLINE_S,
    HEIGHT,
    WIDTH,
    CountingEngine,
    close_of,
    next_result,
    publishing,
    serving,
    until,
)

CLIP = {"target_fps": 10, "clip_length_seconds": 0.5, "delay_seconds": 0.2}


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_published_pictures_arrive_in_full_size_and_are_answered(codec: str) -> None:
    async def scenario() -> None:
        async with serving() as client:
            schema = {"type": "object"}
            inference = {
                "prompt": "p",
                "model": "local/counting",
                "output_schema_json": schema,
            }
            stream = await client.created(mode="clip", processing=CLIP, inference=inference)
            livekit = stream["livekit"]
            async with (
                client.results(stream["stream_id"]) as ws,
                publishing(livekit["url"], livekit["token"], codec),
            ):
                while True:
                    await next_result(ws)
                    report = await client.report(stream["stream_id"])
                    facts = report["results"][-1]["facts"]
                    if facts["frames"] > 2:
                        break
            assert (report["width"], report["height"]) == (WIDTH, HEIGHT)
            assert (facts["width"], facts["height"]) == (WIDTH, HEIGHT)
            assert facts["format"] == "yuv420p"
            assert facts["schema"] == schema
            # 0.5 s at 10 pictures per second, plus the one that a jittering grid may add.
            assert facts["frames"] <= 6
            assert report["frames_received"] >= facts["frames"]

    asyncio.run(scenario())


def test_answers_go_on_when_no_pictures_come_until_the_publisher_has_gone() -> None:
    async def scenario() -> None:
        async with serving(publisher_left_grace_s=1.0) as client:
            stream = await client.created()
            async with client.results(stream["stream_id"]) as ws:
                async with publishing(stream["livekit"]["url"], stream["livekit"]["token"]):
                    await next_result(ws)
                answers = 0
                async with asyncio.timeout(DEADLINE_S):
                    async for message in ws:
                        answers += message.type == 1
                assert ws.close_code == 1001
            report = await client.report(stream["stream_id"])
            assert report["end_reason"] == "livekit_disconnected"
            seen = {result["facts"]["arrived_at_s"] for result in report["results"][-3:]}
            assert answers > 3
            assert len(seen) == 1

    asyncio.run(scenario())


def test_the_next_result_uses_the_new_prompt() -> None:
    async def scenario() -> None:
        async with serving() as client:
            stream = await client.created()
            stream_id = stream["stream_id"]
            async with (
                client.results(stream_id) as ws,
                publishing(stream["livekit"]["url"], stream["livekit"]["token"]),
            ):
                assert (await next_result(ws))["prompt"] == "lanes?"
                await client.call(
                    "PATCH", f"/streams/{stream_id}/config/prompt", json={"prompt": "plates?"}
                )
                known = {r["id"] for r in (await client.report(stream_id))["results"]}
                result = await next_result(ws)
                while result["id"] in known:
                    result = await next_result(ws)
                assert result["prompt"] == "plates?"
                assert result["result"] == "about plates?"

    asyncio.run(scenario())


def test_a_publisher_comes_back_after_its_connection_broke() -> None:
    async def scenario() -> None:
        async with serving() as client:
            stream = await client.created()
            stream_id = stream["stream_id"]
            reconnected = asyncio.Event()
            async with (
                client.results(stream_id) as ws,
                publishing(stream["livekit"]["url"], stream["livekit"]["token"]) as room,
            ):
                room.on("reconnected", reconnected.set)
                await next_result(ws)
                await client.fault(kind="room_disconnect", stream_id=stream_id)
                async with asyncio.timeout(DEADLINE_S):
                    await reconnected.wait()
                before = (await client.report(stream_id))["frames_received"]

                async def more_pictures() -> Any:
                    return (await client.report(stream_id))["frames_received"] > before

                await until(more_pictures)
                assert (await client.report(stream_id))["state"] == "active"

    asyncio.run(scenario())


def test_a_room_that_is_gone_for_good_lets_nobody_in() -> None:
    async def scenario() -> None:
        async with serving() as client:
            stream = await client.created()
            livekit = stream["livekit"]
            gone = asyncio.Event()
            async with (
                client.results(stream["stream_id"]) as ws,
                publishing(livekit["url"], livekit["token"]) as room,
            ):
                room.on("disconnected", lambda _reason: gone.set())
                await next_result(ws)
                await client.fault(kind="room_disconnect", permanent=True)
                assert await close_of(ws) == (1001, "livekit_disconnected")
                async with asyncio.timeout(DEADLINE_S):
                    await gone.wait()
            with pytest.raises(rtc.ConnectError):
                await rtc.Room().connect(livekit["url"], livekit["token"])

    asyncio.run(scenario())


def test_a_token_runs_out_and_the_one_of_a_keepalive_opens_again() -> None:
    async def scenario() -> None:
        async with serving(publish_token_ttl_s=1) as client:
            stream = await client.created()
            livekit = stream["livekit"]
            validate = f"{client.server.root_url}/rtc/validate"

            async def refused() -> bool:
                async with client.http.get(
                    validate, params={"access_token": livekit["token"]}
                ) as response:
                    return response.status == 401

            await until(refused)
            with pytest.raises(rtc.ConnectError):
                await rtc.Room().connect(livekit["url"], livekit["token"])
            path = f"/streams/{stream['stream_id']}/keepalive"
            _, keepalive = await client.call("POST", path)
            async with (
                client.results(stream["stream_id"]) as ws,
                publishing(livekit["url"], keepalive["livekit_token"]),
            ):
                assert (await next_result(ws))["ok"] is True

    asyncio.run(scenario())


def test_a_second_join_of_the_same_identity_takes_over() -> None:
    async def scenario() -> None:
        async with serving() as client:
            stream = await client.created()
            url, token = stream["livekit"]["url"], stream["livekit"]["token"]
            displaced = asyncio.Event()
            async with publishing(url, token) as first:
                first.on("disconnected", lambda _reason: displaced.set())
                async with publishing(url, token):
                    async with asyncio.timeout(DEADLINE_S):
                        await displaced.wait()
                    before = (await client.report(stream["stream_id"]))["frames_received"]

                    async def more_pictures() -> Any:
                        report = await client.report(stream["stream_id"])
                        return report["frames_received"] > before + 2

                    await until(more_pictures)

    asyncio.run(scenario())


def test_two_rooms_do_not_mix() -> None:
    async def scenario() -> None:
        async with serving() as client:
            one, two = await client.created(), await client.created()
            async with (
                client.results(one["stream_id"]) as ws,
                publishing(one["livekit"]["url"], one["livekit"]["token"]),
            ):
                await next_result(ws)
            assert (await client.report(two["stream_id"]))["frames_received"] == 0

    asyncio.run(scenario())


def test_a_long_answer_is_cut_at_the_token_cap() -> None:
    async def scenario() -> None:
        async with serving(engine=CountingEngine(text="x" * 1000)) as client:
            stream = await client.created(processing={"interval_seconds": 0.25})
            async with (
                client.results(stream["stream_id"]) as ws,
                publishing(stream["livekit"]["url"], stream["livekit"]["token"]),
            ):
                result = await next_result(ws)
                # 128 tokens per second for 0.25 s, four characters each.
                assert result["result"] == "x" * (32 * 4)
                assert result["finish_reason"] == "length"

    asyncio.run(scenario())
