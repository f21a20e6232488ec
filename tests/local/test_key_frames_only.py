"""A server that decodes nothing but key frames still has pictures to answer about."""

from __future__ import annotations

import asyncio

import pytest
from local_server_support import HEIGHT, WIDTH, next_result, publishing, serving

from overshoot_flow.local.ingest.jitter import is_key_frame

pytestmark = pytest.mark.xdist_group("real time")

ANSWERS = 15
"""At ten a second: 30 pictures are sent meanwhile."""


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_answers_rest_on_key_frames_alone(codec: str) -> None:
    async def scenario() -> None:
        async with serving(decode_key_frames_only=True) as client:
            stream = await client.created()
            room, stream_id = stream["livekit"], stream["stream_id"]
            async with (
                client.results(stream_id) as ws,
                publishing(room["url"], room["token"], codec),
            ):
                for _ in range(ANSWERS):
                    assert (await next_result(ws))["ok"]
                report = await client.report(stream_id)
            assert 1 <= report["frames_received"] <= ANSWERS / 3
            assert report["width"] == WIDTH
            assert report["height"] == HEIGHT

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\0\0\0\1\x67\x42\0\0\0\1\x68\xce\0\0\0\1\x65\x88", True),
        (b"\0\0\0\1\x41\x9a\0\0\0\1\x41\x9b", False),
        (b"\x50\x01\x00\x9d\x01\x2a", True),
        (b"\x51\x01\x00", False),
        (b"", False),
    ],
)
def test_key_frames_are_told_by_their_first_bytes(data: bytes, expected: bool) -> None:  # noqa: FBT001 - a case's value
    assert is_key_frame(data) is expected
