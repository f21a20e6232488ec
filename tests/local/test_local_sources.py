"""Streams whose pictures come from an SDP offer, or from a room that the user runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)
from av import VideoFrame
from local_server_support import (
    HEIGHT,
    WIDTH,
    Client,
    close_of,
    next_result,
    publishing,
    serving,
    until,
)


class GreyTrack(VideoStreamTrack):
    """Grey pictures, 30 a second."""

    async def recv(self) -> VideoFrame:
        picture = VideoFrame.from_ndarray(
            np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8), format="yuv420p"
        )
        picture.pts, picture.time_base = await self.next_timestamp()
        return picture


@contextlib.asynccontextmanager
async def offered_stream(client: Client) -> AsyncIterator[tuple[Any, RTCPeerConnection]]:
    """Create a stream from the SDP offer of a peer that sends grey pictures."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTrack(GreyTrack())
    await peer.setLocalDescription(await peer.createOffer())
    try:
        stream = await client.created(source={"type": "webrtc", "sdp": peer.localDescription.sdp})
        await peer.setRemoteDescription(
            RTCSessionDescription(stream["webrtc"]["sdp"], stream["webrtc"]["type"])
        )
        yield stream, peer
    finally:
        await peer.close()


def test_an_sdp_offer_is_answered_and_its_pictures_are_seen() -> None:
    async def scenario() -> None:
        async with serving() as client, offered_stream(client) as (stream, peer):
            assert stream["livekit"] is None
            assert stream["turn_servers"] == []
            path = f"/streams/{stream['stream_id']}/keepalive"
            assert (await client.call("POST", path))[1]["livekit_token"] is None
            async with client.results(stream["stream_id"]) as ws:
                assert (await next_result(ws))["ok"] is True
                report = await client.report(stream["stream_id"])
                assert (report["width"], report["height"]) == (WIDTH, HEIGHT)
                await peer.close()
                assert await close_of(ws) == (1001, "webrtc_disconnected")

    asyncio.run(scenario())


def test_an_offered_peer_that_is_cut_ends_its_stream() -> None:
    async def scenario() -> None:
        async with (
            serving() as client,
            offered_stream(client) as (stream, _),
            client.results(stream["stream_id"]) as ws,
        ):
            await next_result(ws)
            await client.fault(kind="room_disconnect")
            assert await close_of(ws) == (1001, "webrtc_disconnected")

    asyncio.run(scenario())


def room_source(client: Client, room: str) -> dict[str, str]:
    token = client.server.room_token(room, "overshoot", can_subscribe=True)
    return {"type": "livekit", "url": client.server.room_url, "token": token}


def test_the_users_room_is_joined_and_its_publisher_seen() -> None:
    async def scenario() -> None:
        async with serving() as client:
            camera = client.server.room_token("yard", "camera", can_publish=True)
            async with publishing(client.server.room_url, camera):
                stream = await client.created(source=room_source(client, "yard"))
                assert stream["livekit"] is None
                assert stream["webrtc"] is None
                async with client.results(stream["stream_id"]) as ws:
                    assert (await next_result(ws))["ok"] is True
                report = await client.report(stream["stream_id"])
                assert (report["width"], report["height"]) == (WIDTH, HEIGHT)
                assert report["source"] == "RoomSource"

    asyncio.run(scenario())


def test_the_users_room_may_be_empty_at_first_and_its_publisher_may_return() -> None:
    async def scenario() -> None:
        async with serving(publisher_left_grace_s=10.0) as client:
            camera = client.server.room_token("yard", "camera", can_publish=True)
            stream = await client.created(source=room_source(client, "yard"))
            for _ in range(2):
                before = (await client.report(stream["stream_id"]))["frames_received"]

                async def more_pictures(before: int = before) -> Any:
                    report = await client.report(stream["stream_id"])
                    return report["frames_received"] > before + 5

                async with publishing(client.server.room_url, camera):
                    await until(more_pictures)
            assert (await client.report(stream["stream_id"]))["state"] == "active"

    asyncio.run(scenario())


def test_the_publisher_leaving_the_users_room_ends_the_stream() -> None:
    async def scenario() -> None:
        async with serving() as client:
            camera = client.server.room_token("yard", "camera", can_publish=True)
            stream = await client.created(source=room_source(client, "yard"))
            async with client.results(stream["stream_id"]) as ws:
                async with publishing(client.server.room_url, camera):
                    await next_result(ws)
                assert await close_of(ws) == (1001, "livekit_disconnected")

    asyncio.run(scenario())


def test_a_room_that_cannot_be_joined_is_422_and_names_no_token() -> None:
    async def scenario() -> None:
        async with serving() as client:
            source = room_source(client, "yard") | {"token": "secret-token"}
            status, body = await client.create(source=source)
            assert (status, body["error"]) == (422, "validation_error")
            assert body["details"]["field"] == "source"
            assert "secret-token" not in str(body)
            for _ in range(5):
                await client.created()

    asyncio.run(scenario())
