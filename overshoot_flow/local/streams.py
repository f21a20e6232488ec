"""All streams of a server: creation within the limits, look-up, and the end of all."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never

from overshoot_flow.local.accounts import Account
from overshoot_flow.local.api_errors import (
    out_of_credit,
    server_stopping,
    stream_not_found,
    too_many_streams,
)
from overshoot_flow.local.ingest.room import Rooms
from overshoot_flow.local.models import Models
from overshoot_flow.local.owned_tasks import OwnedTasks
from overshoot_flow.local.sources import JoinedRoom, NativeRoom, OfferedPeer, Source, departure
from overshoot_flow.local.stream import Stream, Surroundings
from overshoot_flow.local.stream_request import (
    NativeSource,
    RoomSource,
    StreamRequest,
    WebRtcSource,
)

_MAX_REMEMBERED_STREAMS: Final = 200
"""Ended streams that are remembered; the oldest are forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewStream:
    """A stream that was just created, with what the client needs to publish.

    `publish_token` and `answer_sdp` are None where the source type has none.
    """

    stream: Stream
    publish_token: str | None = None
    answer_sdp: str | None = None

    def __repr__(self) -> str:
        """Show which stream it is, not the token."""
        return f"NewStream(stream_id={self.stream.id!r})"


class Streams:
    """Owner of every stream.

    Args:
        surroundings: What all streams share.
        models: The models.
        rooms: The rooms of the native streams.
        addresses: Local addresses for media, or None for every interface but loopback.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        models: Models,
        rooms: Rooms,
        addresses: Sequence[str] | None,
    ) -> None:
        self._surroundings = surroundings
        self._models = models
        self._rooms = rooms
        self._addresses = addresses
        self._live: dict[str, tuple[Stream, Source]] = {}
        self._ended: deque[Stream] = deque(maxlen=_MAX_REMEMBERED_STREAMS)
        self._tasks = OwnedTasks()
        self._stopping = False

    async def create(self, account: Account, request: StreamRequest) -> NewStream:
        """Create a stream.

        Raises:
            ApiError: 422 for an unknown model or a source that cannot be used, 503 for a model
                that takes no streams or a server that stops, 402 without credit, 429 when the key
                has no slot left.
        """
        engine = await self._models.engine(request.model)
        limit = self._surroundings.config.max_streams_per_key
        if account.credits_cents <= 0:
            raise out_of_credit()
        if len(account.streams) >= limit:
            raise too_many_streams(limit)
        stream = Stream(account, request, engine, self._surroundings)
        account.streams.add(stream.id)
        try:
            source, new = await self._open(stream)
        except BaseException:
            account.streams.discard(stream.id)
            raise
        if self._stopping:
            stream.end("server_stopped")
            await source.close()
            raise server_stopping()
        stream.close_source = source.close
        self._live[stream.id] = (stream, source)
        self._tasks.start(self._run(stream), f"stream {stream.id}")
        return new

    def find(self, account: Account, stream_id: str) -> Stream:
        """Return the account's living stream.

        Raises:
            ApiError: 404.
        """
        entry = self._live.get(stream_id)
        if entry is None or entry[0].account is not account or entry[0].end_reason is not None:
            raise stream_not_found()
        return entry[0]

    def find_any(self, account: Account, stream_id: str) -> Stream | None:
        """Return the account's stream, also when it ended a while ago, or None."""
        for stream in self.all():
            if stream.id == stream_id and stream.account is account:
                return stream
        return None

    def publish_token(self, stream: Stream) -> str | None:
        """A fresh publish token, or None for a source that has none."""
        source = self._source(stream)
        return source.token() if isinstance(source, NativeRoom) else None

    def cut_source(self, stream: Stream, *, permanent: bool) -> None:
        """Cut the connection that brings the pictures; for good, or so that it can come back."""
        if permanent:
            native = isinstance(stream.request.source, NativeSource | RoomSource)
            stream.end("livekit_disconnected" if native else "webrtc_disconnected")
        elif (source := self._source(stream)) is not None:
            source.cut()

    def kick_publisher(self, stream: Stream) -> None:
        """Send the publisher of the service's own room away, if there is one."""
        source = self._source(stream)
        if isinstance(source, NativeRoom):
            source.kick()

    def all(self) -> list[Stream]:
        """Every stream that is remembered, the newest last."""
        return [*self._ended, *(stream for stream, _ in self._live.values())]

    def living(self) -> list[Stream]:
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

    def _source(self, stream: Stream) -> Source | None:
        entry = self._live.get(stream.id)
        return None if entry is None else entry[1]

    async def _run(self, stream: Stream) -> None:
        try:
            await stream.run()
        finally:
            del self._live[stream.id]
            self._ended.append(stream)

    async def _open(self, stream: Stream) -> tuple[Source, NewStream]:
        config = self._surroundings.config
        wanted = stream.request.source
        if isinstance(wanted, NativeSource):
            leaving = departure(stream, "livekit_disconnected", config)
            native = NativeRoom(stream=stream, rooms=self._rooms, departure=leaving)
            native.open()
            return native, NewStream(stream=stream, publish_token=native.token())
        if isinstance(wanted, WebRtcSource):
            peer = OfferedPeer(
                stream, self._addresses, departure(stream, "webrtc_disconnected", config)
            )
            try:
                answer_sdp = await peer.open(wanted.sdp)
            except BaseException:
                await peer.close()
                raise
            return peer, NewStream(stream=stream, answer_sdp=answer_sdp)
        if isinstance(wanted, RoomSource):
            joined = JoinedRoom(stream, departure(stream, "livekit_disconnected", config))
            try:
                await joined.open(wanted, config.source_timeout_s)
            except BaseException:
                await joined.close()
                raise
            return joined, NewStream(stream=stream)
        assert_never(wanted)
