"""All v1 and v1beta streams of a server: how they are created and looked up."""

from __future__ import annotations

from overshoot_flow.local.accounts import Account
from overshoot_flow.local.api_errors import stream_not_found
from overshoot_flow.local.ingest.room import Rooms
from overshoot_flow.local.sources import NativeRoom, departure
from overshoot_flow.local.stream import Surroundings
from overshoot_flow.local.stream_registry import StreamRegistry
from overshoot_flow.local.v1.stream import V1Stream


class V1Streams(StreamRegistry[V1Stream, NativeRoom]):
    """Owner of every stream that was created through v1 or v1beta.

    Args:
        surroundings: What all streams share.
        rooms: The rooms into which publishers come.
    """

    def __init__(self, surroundings: Surroundings, rooms: Rooms) -> None:
        super().__init__(surroundings.config.max_streams_per_key)
        self._surroundings = surroundings
        self._rooms = rooms

    def create(self, account: Account, generation: str, region: str) -> tuple[V1Stream, str]:
        """Create a stream; return it with a publish token.

        Raises:
            ApiError: 402 without credit, 429 when the key has no slot left, 503 when the server
                stops.
        """
        config = self._surroundings.config
        stream = V1Stream(
            account,
            generation=generation,
            region=region,
            config=config.v1,
            max_bytes=config.max_ring_bytes,
            clock=self._surroundings.clock,
        )
        self._reserve(stream)
        leaving = departure(stream, "livekit_disconnected", config)
        room = NativeRoom(stream=stream, rooms=self._rooms, departure=leaving)
        room.open()
        self._begin(stream, room)
        return stream, room.token()

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

    def publish_token(self, stream: V1Stream) -> str:
        """A fresh publish token of a living stream."""
        return self._live[stream.id][1].token()

    def cut_source(self, stream: V1Stream, *, permanent: bool) -> None:
        """Cut the publisher's connection; for good, or so that it can come back."""
        if permanent:
            stream.end("livekit_disconnected")
        elif (room := self._source(stream)) is not None:
            room.cut()

    def kick_publisher(self, stream: V1Stream) -> None:
        """Send the publisher away, if there is one."""
        if (room := self._source(stream)) is not None:
            room.kick()
