"""The ingest's pure parts, its tokens, and the bounds of its queues."""

from __future__ import annotations

import asyncio

import av
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from aiortc.mediastreams import MediaStreamError

from overshoot_flow.errors import TransportError
from overshoot_flow.local.inference import Answer
from overshoot_flow.local.ingest.forwarding import NewestPictureTrack
from overshoot_flow.local.ingest.peer import MediaPeer
from overshoot_flow.local.ingest.sdp import with_start_bitrate, with_stream_ids
from overshoot_flow.local.ingest.tokens import Grant, TokenMint
from overshoot_flow.local.result_socket import ResultSocket
from overshoot_flow.local.stream import SentResult

CAMERA = Grant(room="yard", identity="camera", can_publish=True, can_subscribe=False)


def test_start_bitrates_are_added_to_video_formats_only() -> None:
    sdp = (
        "a=rtpmap:96 VP8/90000\r\n"
        "a=rtpmap:97 rtx/90000\r\n"
        "a=fmtp:97 apt=96\r\n"
        "a=fmtp:103 packetization-mode=1;profile-level-id=42e01f\r\n"
    )
    lines = with_start_bitrate(sdp).splitlines()
    assert [line.split("=")[1].split(" ")[0] for line in lines if "x-google" in line] == [
        "fmtp:96",
        "fmtp:103",
    ]
    assert "a=fmtp:97 apt=96" in lines
    assert next(line for line in lines if "fmtp:103" in line).startswith(
        "a=fmtp:103 packetization-mode=1;profile-level-id=42e01f;x-google-start-bitrate="
    )


def test_an_offered_track_is_named_after_its_publisher() -> None:
    assert with_stream_ids("a=msid:x y\r\nb=1\r\n", "PA_1", "TR_1") == (
        "a=msid:PA_1|TR_1 TR_1\r\nb=1\r\n"
    )


def test_a_token_opens_what_it_was_minted_for() -> None:
    mint = TokenMint(60)
    assert mint.verify(mint.mint(CAMERA)) == CAMERA


def test_foreign_expired_and_broken_tokens_are_refused_without_being_shown() -> None:
    mint = TokenMint(60)
    for token in (
        TokenMint(60).mint(CAMERA),
        TokenMint(-1).mint(CAMERA),
        mint.mint(CAMERA)[:-2],
        "nonsense",
        "",
    ):
        with pytest.raises(TransportError) as caught:
            mint.verify(token)
        assert not token or token not in str(caught.value)


def test_early_candidates_are_bounded_and_counted() -> None:
    async def scenario() -> None:
        peer = MediaPeer(("127.0.0.1",))
        for _ in range(70):
            await peer.add_candidate("{}")
        await peer.close()
        assert peer.candidates_dropped == 6

    asyncio.run(scenario())


def test_a_peer_refuses_nonsense_with_an_error_of_ours() -> None:
    async def scenario() -> None:
        peer = MediaPeer(("127.0.0.1",))
        with pytest.raises(TransportError):
            await peer.answer("v=0\r\nm=video\r\n")
        await peer.close()

    asyncio.run(scenario())


def test_a_forwarded_track_sends_the_newest_picture_and_counts_the_others() -> None:
    async def scenario() -> None:
        track = NewestPictureTrack()
        waiting = asyncio.create_task(track.recv())
        await asyncio.sleep(0)
        older, newer = (av.VideoFrame(64, 64, "yuv420p") for _ in range(2))
        track.show(older)
        track.show(newer)
        assert await waiting is newer
        assert track.replaced == 1
        ending = asyncio.create_task(track.recv())
        await asyncio.sleep(0)
        track.stop()
        with pytest.raises(MediaStreamError):
            await ending

    asyncio.run(scenario())


def test_a_result_socket_that_is_too_slow_loses_the_oldest_and_counts_it() -> None:
    async def scenario() -> None:
        request = make_mocked_request("GET", "/")
        listener = ResultSocket(web.WebSocketResponse(), request, max_queued=2)
        results = [SentResult(Answer(message={"id": number}, facts={})) for number in range(3)]
        for result in results:
            listener.take(result)
        assert listener.results_dropped == 1
        assert list(listener._waiting) == results[1:]

    asyncio.run(scenario())
