"""Rooms are joined a few at a time, left even when nobody waits for them, and then forgotten."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
from livekit import rtc
from local_server_support import DEADLINE_S, Client, serving

from overshoot_flow.config import Secret
from overshoot_flow.errors import PublishError
from overshoot_flow.media.frames import Frame
from overshoot_flow.transport.departures import DEPARTURES
from overshoot_flow.transport.joining import JOINS_AT_ONCE
from overshoot_flow.transport.livekit_publisher import LiveKitPublisher

FRAME = Frame(
    stream_key="k",
    source="grey",
    pts_us=0,
    duration_us=1,
    width=64,
    height=64,
    data=bytes(64 * 64 * 3 // 2),
)


async def publisher_of(client: Client, connect_timeout_s: float = DEADLINE_S) -> LiveKitPublisher:
    room = (await client.created())["livekit"]
    return LiveKitPublisher(room["url"], Secret(room["token"]), connect_timeout_s=connect_timeout_s)


@pytest.mark.parametrize("by", ["time-out", "cancellation"])
def test_a_room_is_joined_and_left_when_nobody_waits_for_it(by: str) -> None:
    async def scenario() -> None:
        async with serving() as client:
            is_too_short = by == "time-out"
            publisher = await publisher_of(client, 0.001 if is_too_short else DEADLINE_S)
            left = asyncio.Event()
            # A room that was never joined changes no state.
            publisher._room.on("connection_state_changed", lambda _: left.set())
            connecting = asyncio.create_task(publisher.connect(FRAME))
            if not is_too_short:
                await asyncio.sleep(0.001)
                connecting.cancel()
            with pytest.raises(PublishError if is_too_short else asyncio.CancelledError):
                await connecting
            await publisher.leave()
            assert DEPARTURES.pending == 1
            await asyncio.wait_for(left.wait(), DEADLINE_S)
            await DEPARTURES.end(DEADLINE_S)
            assert DEPARTURES.pending == 0
            assert publisher._room.connection_state == rtc.ConnectionState.CONN_DISCONNECTED

    asyncio.run(scenario())


def test_a_room_that_was_left_is_gone_without_the_garbage_collector() -> None:
    async def scenario() -> None:
        async with serving() as client:
            publisher = await publisher_of(client)
            room = weakref.ref(publisher._room)
            await publisher.connect(FRAME)
            await publisher.leave()
            del publisher
            # What the event loop has called last may still be referred to.
            await asyncio.sleep(0)
            assert room() is None

    gc.collect()
    gc.disable()
    try:
        asyncio.run(scenario())
    finally:
        gc.enable()


def test_few_rooms_are_joined_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = rtc.Room.connect
    joining = most = 0

    async def counted(room: rtc.Room, *arguments: Any, **named: Any) -> None:
        nonlocal joining, most
        joining += 1
        most = max(most, joining)
        try:
            await connect(room, *arguments, **named)
        finally:
            joining -= 1

    monkeypatch.setattr(rtc.Room, "connect", counted)

    async def scenario() -> None:
        async with serving() as client:
            publishers = [await publisher_of(client) for _ in range(2 * JOINS_AT_ONCE)]
            try:
                await asyncio.gather(*[publisher.connect(FRAME) for publisher in publishers])
            finally:
                await asyncio.gather(*[publisher.leave() for publisher in publishers])

    asyncio.run(scenario())
    assert most == JOINS_AT_ONCE
