"""All v0.2 streams of a server: how they are created, and how their pictures come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from overshoot_flow.local.accounts import Account
from overshoot_flow.local.api_errors import server_stopping
from overshoot_flow.local.ingest.room import Rooms
from overshoot_flow.local.models import Models
from overshoot_flow.local.sources import JoinedRoom, NativeRoom, OfferedPeer, Source, departure
from overshoot_flow.local.stream import Stream, Surroundings
from overshoot_flow.local.stream_registry import StreamRegistry
from overshoot_flow.local.stream_request import (
    NativeSource,
    RoomSource,
    StreamRequest,
    WebRtcSource,
)


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


class Streams(StreamRegistry[Stream, Source]):
    """Owner of every stream of v0.2.

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
        super().__init__(surroundings.config.max_streams_per_key)
        self._surroundings = surroundings
        self._models = models
        self._rooms = rooms
        self._addresses = addresses

    async def create(self, account: Account, request: StreamRequest) -> NewStream:
        """Create a stream.

        Raises:
            ApiError: 422 for an unknown model or a source that cannot be used, 503 for a model
                that takes no streams or a server that stops, 402 without credit, 429 when the key
                has no slot left.
        """
        engine = await self._models.engine(request.model)
        stream = Stream(account, request, engine, self._surroundings)
        self._reserve(stream)
        try:
            source, new = await self._open(stream)
        except BaseException:
            account.streams.discard(stream.id)
            raise
        if self._stopping:
            stream.end("server_stopped")
            await source.close()
            raise server_stopping()
        self._begin(stream, source)
        return new

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
