"""OpenAI's own SDK, pointed at the local server, asks about a stream that is being published."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import openai
import pytest
from local_server_support import until
from v1_support import HEIGHT, MODEL, WIDTH, picture, serving_v1

from overshoot_flow.config import Secret, Service
from overshoot_flow.media.frames import Frame
from overshoot_flow.transport.http_v1 import OvershootV1
from overshoot_flow.transport.livekit_publisher import LiveKitPublisher

pytestmark = pytest.mark.xdist_group("real time")

FIRST_STAMP = 500
STAMPS = {
    "type": "object",
    "properties": {"stamps": {"type": "array", "items": {"type": "integer"}}},
    "required": ["stamps"],
    "additionalProperties": False,
}


def frame(stamp: int) -> Frame:
    planes = np.ascontiguousarray(picture(stamp).to_ndarray())
    return Frame(
        stream_key="k",
        source="pattern",
        pts_us=stamp * 50_000,
        duration_us=50_000,
        width=WIDTH,
        height=HEIGHT,
        data=planes.tobytes(),
    )


@contextlib.asynccontextmanager
async def watched() -> AsyncIterator[tuple[openai.AsyncOpenAI, str]]:
    """The SDK, and a stream into which stamped pictures are published meanwhile."""
    async with serving_v1() as client, contextlib.AsyncExitStack() as stack:
        service = Service(key=Secret(client.key), base_url=client.server.v1_url)
        overshoot = OvershootV1(service)
        stack.push_async_callback(overshoot.aclose)
        created = await overshoot.create_stream()
        publisher = LiveKitPublisher(created.room.url, created.room.token, connect_timeout_s=20)
        stack.push_async_callback(publisher.leave)
        await publisher.connect(frame(FIRST_STAMP))

        async def publish() -> None:
            for stamp in range(FIRST_STAMP, FIRST_STAMP + 10_000):
                await publisher.capture(frame(stamp))
                await asyncio.sleep(0.05)

        publishing = asyncio.create_task(publish())
        try:

            async def has_some() -> bool:
                return ((await overshoot.stream(created.stream_id)).last_frame_index or 0) >= 10

            await until(has_some)
            async with openai.AsyncOpenAI(
                base_url=client.server.v1_url, api_key=client.key, max_retries=0
            ) as sdk:
                yield sdk, f"ovs://streams/{created.stream_id}"
        finally:
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)


def question(kind: str, url: str) -> dict[str, Any]:
    text = {"type": "text", "text": "Which stamps?"}
    content: Any = [text, {"type": kind, kind: {"url": url}}]
    response_format: Any = {
        "type": "json_schema",
        "json_schema": {"name": "stamps", "strict": True, "schema": STAMPS},
    }
    messages = [{"role": "user", "content": content}]
    return {"model": MODEL, "messages": messages, "response_format": response_format}


def stamps_in(text: str | None) -> list[int]:
    assert text is not None
    stamps: list[int] = json.loads(text)["stamps"]
    assert all(FIRST_STAMP <= stamp < FIRST_STAMP + 10_000 for stamp in stamps)
    return stamps


def test_the_sdk_gets_answers_about_a_live_stream() -> None:
    async def scenario() -> None:
        async with watched() as (sdk, stream):
            newest = await sdk.chat.completions.create(
                **question("image_url", f"{stream}?frame_index=-1")
            )
            (stamp,) = stamps_in(newest.choices[0].message.content)
            assert newest.choices[0].finish_reason == "stop"
            assert newest.usage is not None
            assert newest.usage.total_tokens > newest.usage.completion_tokens > 0

            segment = f"{stream}?start_frame_index=2&end_frame_index=6&max_fps=100"
            events = await sdk.chat.completions.create(
                **question("video_url", segment),
                stream=True,
                stream_options={"include_usage": True},
            )
            chunks = [chunk async for chunk in events]
            texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
            stamps = stamps_in("".join(texts))
            assert len(stamps) == 4
            assert stamps == sorted(stamps)
            assert stamps[-1] < stamp
            assert chunks[-1].usage is not None
            assert {model.id async for model in sdk.models.list()} >= {MODEL}

    asyncio.run(scenario())


def test_the_sdk_raises_what_the_service_refuses() -> None:
    async def scenario() -> None:
        async with watched() as (sdk, stream):
            with pytest.raises(openai.ConflictError) as early:
                await sdk.chat.completions.create(
                    **question("image_url", f"{stream}?frame_index=99999")
                )
            assert "frame_not_yet_produced" in early.value.response.text
            with pytest.raises(openai.AuthenticationError):
                await sdk.with_options(api_key="ovs-wrong").chat.completions.create(
                    **question("image_url", f"{stream}?frame_index=0")
                )

    asyncio.run(scenario())
