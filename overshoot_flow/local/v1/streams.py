"""All v1 and v1beta streams of a server: creation within the limits, look-up, the end of all."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from overshoot_flow.local.accounts import Account
from overshoot_flow.local.api_errors import (
    out_of_credit,
    server_stopping,
    stream_not_found,
    too_many_streams,
)
from overshoot_flow.local.ingest.room import Rooms
from overshoot_flow.local.owned_tasks import OwnedTasks
from overshoot_flow.local.sources import NativeRoom, departure
from overshoot_flow.local.stream import Surroundings
from overshoot_flow.local.v1.stream import V1Stream

_MAX_REMEMBERED_STREAMS: Final = 200
"""Ended streams that are remembered; the oldest are forgotten."""


class V1Streams:
    """Owner of every stream that was created through v1 or v1beta.

    Args:
        surroundings: What all streams share.
        rooms: The rooms into which publishers come.
    """

    def __init__(self, surroundings: Surroundings, rooms: Rooms) -> None:
        self._surroundings = surroundings
        self._rooms = rooms
        self._live: dict[str, tuple[V1Stream, NativeRoom]] = {}
        self._ended: deque[V1Stream] = deque(maxlen=_MAX_REMEMBERED_STREAMS)
        self._tasks = OwnedTasks()
        self._stopping = False

    def create(self, account: Account, generation: str, region: str) -> tuple[V1Stream, str]:
        """Create a stream; return it with a publish token.

        Raises:
            ApiError: 402 without credit, 429 when the key has no slot left, 503 when the server
                stops.
        """
        config = self._surroundings.config
        if self._stopping:
            raise server_stopping()
        if account.credits_cents <= 0:
            raise out_of_credit()
        if len(account.streams) >= config.max_streams_per_key:
            raise too_many_streams(config.max_streams_per_key)
        stream = V1Stream(
            account,
            generation=generation,
            region=region,
            config=config.v1,
            max_bytes=config.max_ring_bytes,
            clock=self._surroundings.clock,
        )
        leaving = departure(stream, "livekit_disconnected", config)
        room = NativeRoom(stream=stream, rooms=self._rooms, departure=leaving)
        room.open()
        account.streams.add(stream.id)
        stream.close_source = room.close
        self._live[stream.id] = (stream, room)
        self._tasks.start(self._run(stream), f"stream {stream.id}")
        return stream, room.token()

    def find(self, account: Account, stream_id: str) -> V1Stream:
        """Return the account's living stream.

        Raises:
            ApiError: 404.
        """
        entry = self._live.get(stream_id)
        if entry is None or entry[0].account is not account or entry[0].end_reason is not None:
            raise stream_not_found()
        return entry[0]

    def find_any(self, account: Account, stream_id: str) -> V1Stream:
        """Return the account's stream, also when it ended a short while ago.

        Raises:
            ApiError: 404.
        """
        now_s = self._surroundings.clock.now_s()
        known_s = self._surroundings.config.v1.ended_answer_s
        for stream in self.all():
            is_recent = stream.ended_s is None or now_s - stream.ended_s < known_s
            if stream.id == stream_id and stream.account is account and is_recent:
                return stream
        raise stream_not_found()

    def living_by_id(self, stream_id: str) -> V1Stream | None:
        """Return a living stream, whoever's it is, or None."""
        entry = self._live.get(stream_id)
        return None if entry is None or entry[0].end_reason is not None else entry[0]

    def publish_token(self, stream: V1Stream) -> str:
        """A fresh publish token of a living stream."""
        return self._live[stream.id][1].token()

    def cut_source(self, stream: V1Stream, *, permanent: bool) -> None:
        """Cut the publisher's connection; for good, or so that it can come back."""
        if permanent:
            stream.end("livekit_disconnected")
        elif stream.id in self._live:
            self._live[stream.id][1].cut()

    def kick_publisher(self, stream: V1Stream) -> None:
        """Send the publisher away, if there is one."""
        if stream.id in self._live:
            self._live[stream.id][1].kick()

    def all(self) -> list[V1Stream]:
        """Every stream that is remembered, the newest last."""
        return [*self._ended, *(stream for stream, _ in self._live.values())]

    def living(self) -> list[V1Stream]:
        """Every stream that has not ended."""
        return [stream for stream, _ in self._live.values() if stream.end_reason is None]

    def report(self) -> list[dict[str, Any]]:
        """What `GET /_local/streams` shows."""
        return [stream.report() for stream in self.all()]

    async def close_all(self) -> None:
        """End every stream and wait until all is closed."""
        self._stopping = True
        streams = [stream for stream, _ in self._live.values()]
        for stream in streams:
            stream.end("server_stopped")
        await asyncio.gather(*(stream.closed.wait() for stream in streams))
        await self._tasks.stop()

    async def _run(self, stream: V1Stream) -> None:
        try:
            await stream.run()
        finally:
            del self._live[stream.id]
            self._ended.append(stream)
