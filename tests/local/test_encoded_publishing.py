"""Access units over LiveKit's SDK: none is left out on the way, and key frame waits are counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import av
import numpy as np
import pytest
from local_server_support import Client, serving, until

from overshoot_flow.config import Secret
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.media.access_units import AccessUnit
from overshoot_flow.media.annex_b import AnnexBWriter
from overshoot_flow.transport.encoded_track import EncodedTrack
from overshoot_flow.transport.livekit_publisher import LiveKitPublisher

pytestmark = pytest.mark.xdist_group("real time")

FPS = 30
GOP = 30
WIDTH, HEIGHT = 640, 360


@pytest.fixture(scope="module")
def units() -> list[AccessUnit]:
    """Two seconds of noise at more than twice the bandwidth that is believed to be there."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    encoder.framerate = FPS
    encoder.gop_size = GOP
    encoder.bit_rate = 10_000_000
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency"}
    random = np.random.default_rng(0)
    packets = []
    for number in range(2 * FPS):
        noise = random.integers(0, 255, (HEIGHT * 3 // 2, WIDTH), dtype=np.uint8)
        picture = av.VideoFrame.from_ndarray(noise, format="yuv420p")
        picture.pts = number
        packets += encoder.encode(picture)
    packets += encoder.encode(None)
    writer = AnnexBWriter("h264", None)
    pictures = [writer.picture(bytes(packet)) for packet in packets]
    assert sum(packet.size for packet in packets) * 8 / 2 > 9_000_000
    return [
        AccessUnit(
            stream_key="k",
            source="noise",
            pts_us=number * 1_000_000 // FPS,
            duration_us=1_000_000 // FPS,
            codec="h264",
            width=WIDTH,
            height=HEIGHT,
            is_keyframe=picture.is_keyframe,
            data=picture.data,
        )
        for number, picture in enumerate(pictures)
        if picture is not None
    ]


@asynccontextmanager
async def published(
    client: Client, first: AccessUnit
) -> AsyncIterator[tuple[LiveKitPublisher, str]]:
    stream = await client.created()
    room = stream["livekit"]
    publisher = LiveKitPublisher(room["url"], Secret(room["token"]), connect_timeout_s=15)
    await publisher.connect(first)
    try:
        yield publisher, stream["stream_id"]
    finally:
        await publisher.leave()


async def all_arrive(client: Client, stream_id: str, publisher: LiveKitPublisher) -> None:
    """The pictures that the far side has decoded are those that were captured.

    Those captured while connecting count only as far as they were sent.
    """

    async def arrived() -> Any:
        sent = (await publisher.statistics()).pictures_sent
        return (await client.report(stream_id))["frames_received"] == sent or None

    await until(arrived)


def test_no_unit_is_left_out_although_the_bandwidth_is_too_small(units: list[AccessUnit]) -> None:
    async def scenario() -> None:
        async with serving() as client, published(client, units[0]) as (publisher, stream_id):
            before = (await publisher.statistics()).pictures_sent
            for unit in units[1:]:
                await publisher.capture(unit)
                await asyncio.sleep(1 / FPS)
            await all_arrive(client, stream_id, publisher)
            statistics = await publisher.statistics()
            assert statistics.pictures_sent - before >= len(units) - 1
            assert (statistics.width, statistics.height) == (WIDTH, HEIGHT)
            assert statistics.key_frames is not None
            assert statistics.key_frames.requests == 0

    asyncio.run(scenario())


def test_no_unit_of_a_burst_is_left_out(units: list[AccessUnit]) -> None:
    async def scenario() -> None:
        async with serving() as client, published(client, units[0]) as (publisher, stream_id):
            before = (await publisher.statistics()).pictures_sent
            for number in range(1, GOP, 6):
                for unit in units[number : number + 6]:
                    await publisher.capture(unit)
                await asyncio.sleep(6 / FPS)
            await all_arrive(client, stream_id, publisher)
            assert (await publisher.statistics()).pictures_sent - before >= GOP

    asyncio.run(scenario())


def test_a_key_frame_that_is_asked_for_is_waited_for_and_counted(units: list[AccessUnit]) -> None:
    async def scenario() -> None:
        async with serving() as client, published(client, units[0]) as (publisher, stream_id):
            await publisher.capture(units[1])
            await all_arrive(client, stream_id, publisher)
            await ask_for_key_frame(client)

            async def counted() -> Any:
                # The SDK tells of a request when the next picture is due.
                await publisher.capture(replace(units[1], is_keyframe=False))
                key_frames = (await publisher.statistics()).key_frames
                return key_frames if key_frames and key_frames.requests else None

            assert (await until(counted)).waiting_since_s is not None
            await publisher.capture(units[0])
            key_frames = (await publisher.statistics()).key_frames
            assert key_frames is not None
            assert (key_frames.requests, key_frames.waits) == (1, 1)
            assert key_frames.longest_wait_s > 0
            assert key_frames.waiting_since_s is None

    asyncio.run(scenario())


async def ask_for_key_frame(client: Client) -> None:
    """Send the publisher what a receiver sends that has lost a picture."""
    (room,) = client.server._rooms._rooms.values()
    (participant,) = room._participants.values()
    for transceiver in participant._publisher.connection.getTransceivers():
        for source in transceiver.receiver.getSynchronizationSources():
            await transceiver.receiver._send_rtcp_pli(source.source)


def test_h265_is_refused_and_the_text_says_what_to_do(units: list[AccessUnit]) -> None:
    with pytest.raises(ConfigurationError, match=r"h265 is not published as it is.*decode this"):
        EncodedTrack(replace(units[0], codec="h265"))
