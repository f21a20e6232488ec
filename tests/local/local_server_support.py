"""A local server in the test's own event loop, an engine that counts, and real publishers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from livekit import rtc

from overshoot_flow.local.engines.base import EngineAnswer, Question, SeenFrame
from overshoot_flow.local.server import LocalServer, ServerConfig

KEY = "ovs-test-key"
OTHER_KEY = "ovs-other-key"
DEADLINE_S = 20.0
WIDTH, HEIGHT = 320, 180


@dataclass
class CountingEngine:
    """Answers with the prompt and says in its facts what it was shown."""

    name: str = "counting"
    text: str = ""
    calls: list[int] = field(default_factory=list)

    def answer(self, frames: Sequence[SeenFrame], question: Question) -> EngineAnswer:
        self.calls.append(len(frames))
        newest = frames[-1]
        facts = {
            "frames": len(frames),
            "width": newest.image.width,
            "height": newest.image.height,
            "format": newest.image.format.name,
            "arrived_at_s": newest.arrived_at_s,
            "schema": question.output_schema,
        }
        return EngineAnswer(text=self.text or f"about {question.prompt}", facts=facts)


@dataclass
class Client:
    """Speaks HTTP with the server as one API key."""

    server: LocalServer
    http: aiohttp.ClientSession
    key: str = KEY

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.key}"}
        async with self.http.request(
            method, f"{self.server.base_url}{path}", headers=headers, **options
        ) as response:
            return response.status, await response.json()

    async def create(self, **changes: Any) -> tuple[int, Any]:
        return await self.call("POST", "/streams", json=request_body(**changes))

    async def created(self, **changes: Any) -> Any:
        status, body = await self.create(**changes)
        assert status == 201, body
        return body

    async def fault(self, **order: Any) -> None:
        async with self.http.post(f"{self.server.root_url}/_local/faults", json=order) as response:
            assert response.status == 200, await response.text()

    async def report(self, stream_id: str) -> Any:
        async with self.http.get(f"{self.server.root_url}/_local/streams") as response:
            return next(s for s in await response.json() if s["stream_id"] == stream_id)

    def results(self, stream_id: str) -> contextlib.AbstractAsyncContextManager[Any]:
        return self._results(stream_id)

    @contextlib.asynccontextmanager
    async def _results(self, stream_id: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with self.http.ws_connect(f"{self.server.base_url}/ws/streams/{stream_id}") as ws:
            await ws.send_json({"api_key": self.key})
            yield ws


def request_body(**changes: Any) -> dict[str, Any]:
    """A valid body of `POST /streams` in frame mode; `changes` replace its top-level fields."""
    body: dict[str, Any] = {
        "mode": "frame",
        "processing": {"interval_seconds": 0.1},
        "inference": {"prompt": "lanes?", "model": "Qwen/Qwen3.5-9B"},
    }
    return body | changes


@contextlib.asynccontextmanager
async def serving(**knobs: Any) -> AsyncIterator[Client]:
    """Run a server with a counting engine and fault injection."""
    defaults: dict[str, Any] = {
        "engine": CountingEngine(),
        "keys": {KEY: 100.0, OTHER_KEY: 100.0},
        "allow_faults": True,
        "publisher_left_grace_s": 0.2,
    }
    async with (
        LocalServer(ServerConfig(**(defaults | knobs))) as server,
        aiohttp.ClientSession() as http,
    ):
        yield Client(server, http)


@contextlib.asynccontextmanager
async def publishing(url: str, token: str, codec: str = "VP8") -> AsyncIterator[rtc.Room]:
    """Publish a picture 20 times a second with the real LiveKit SDK."""
    room = rtc.Room()
    await room.connect(url, token, rtc.RoomOptions(auto_subscribe=False))
    source = rtc.VideoSource(WIDTH, HEIGHT)
    track = rtc.LocalVideoTrack.create_video_track("video", source)
    options = rtc.TrackPublishOptions(
        source=rtc.TrackSource.SOURCE_CAMERA,
        simulcast=False,
        video_codec=getattr(rtc.VideoCodec, codec),
        video_encoding=rtc.VideoEncoding(max_bitrate=1_000_000, max_framerate=30),
    )
    await room.local_participant.publish_track(track, options)

    async def capture() -> None:
        luma = 0
        while True:
            luma = (luma + 8) % 200
            data = bytes([luma + 16]) * (WIDTH * HEIGHT) + bytes([128]) * (WIDTH * HEIGHT // 2)
            source.capture_frame(
                rtc.VideoFrame(WIDTH, HEIGHT, rtc.VideoBufferType.I420, bytearray(data))
            )
            await asyncio.sleep(0.05)

    capturing = asyncio.create_task(capture())
    try:
        yield room
    finally:
        capturing.cancel()
        await asyncio.gather(capturing, return_exceptions=True)
        await room.disconnect()


async def until(holds: Callable[[], Awaitable[Any]]) -> Any:
    """Wait until `holds` returns something true, and return it; fail after a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if value := await holds():
                return value
            await asyncio.sleep(0.02)


async def close_of(ws: aiohttp.ClientWebSocketResponse) -> tuple[int | None, str | None]:
    """Read to the end; return the close code and reason."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            message = await ws.receive()
            if message.type is aiohttp.WSMsgType.CLOSE:
                return message.data, message.extra
            if message.type in (
                aiohttp.WSMsgType.CLOSED,
                aiohttp.WSMsgType.CLOSING,
                aiohttp.WSMsgType.ERROR,
            ):
                return ws.close_code, None


async def next_result(ws: aiohttp.ClientWebSocketResponse) -> Any:
    """Return the next result."""
    return await ws.receive_json(timeout=DEADLINE_S)
