"""One v1 stream's video: what publishing an archive and a camera have in common."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from overshoot_flow.errors import (
    PublishError,
    RateLimitError,
    ServiceUnavailableError,
    StreamEndedError,
    TransportError,
)
from overshoot_flow.media.access_units import Picture
from overshoot_flow.protocol.picture_indices import PictureIndices
from overshoot_flow.protocol.v02 import Room
from overshoot_flow.protocol.v1 import StreamState, StreamStatus
from overshoot_flow.session.clock import Clock
from overshoot_flow.session.publication import Publication
from overshoot_flow.transport.http_v1 import OvershootV1
from overshoot_flow.transport.livekit_publisher import LiveKitPublisher
from overshoot_flow.transport.raw_track import HOLD_INTERVAL_S, Repeats

REPEAT_INTERVAL_S: Final = 0.5
"""A repeated picture is a frame that a model may have to look at once more, so they are few."""

_POLL_S: Final = (0.03, 0.25)
_QUIET_S: Final = 0.5
"""So much longer than usual without a new frame, and the service has all that it will get."""

_LONG_QUIET_S: Final = 3.0
"""The same for a service that does not tell how old its newest frame is."""

_LONGEST_WAIT_S: Final = 20.0

TRANSIENT_ERRORS: Final = (TransportError, ServiceUnavailableError, RateLimitError)
"""After these it is looked again."""

_logger = logging.getLogger(__name__)


class StreamPictures(ABC):
    """Publishes into one stream, over as many connections as it takes, and locates its pictures.

    Args:
        stream_id: The stream.
        room: Gives the stream's room with the newest token.
        http: The service's client.
        connect_timeout_s: Bound of joining the room.
        clock: Time.

    Attributes:
        publication: The way to the room.
        indices: Where the pictures are.
    """

    def __init__(
        self,
        stream_id: str,
        room: Callable[[], Room],
        http: OvershootV1,
        *,
        connect_timeout_s: float,
        clock: Clock,
    ) -> None:
        self.stream_id = stream_id
        self.clock = clock
        self._room = room
        self._http = http
        self._connect_timeout_s = connect_timeout_s
        self._repeats = Repeats(HOLD_INTERVAL_S)
        self._known_connection = 0
        self._usual_age_s = 0.0
        self._captured_at_s = 0.0
        # Nothing new is shown while it is waited until everything has come.
        self._showing = asyncio.Lock()
        self.publication = Publication(stream_id, self._new_publisher)
        self.indices = PictureIndices()

    def _new_publisher(self) -> LiveKitPublisher:
        room = self._room()
        publisher = LiveKitPublisher(
            room.url,
            room.token,
            connect_timeout_s=self._connect_timeout_s,
            repeats=self._repeats,
            on_captured=lambda: self._captured(publisher.pictures_captured - 1),
        )
        return publisher

    async def begin(self, pts_us: int, first: Picture) -> None:
        """Connect, show the first picture, and wait until the service has it.

        Raises:
            OvershootFlowError: No connection came about, or the stream has ended.
        """
        await self.publication.begin(first)
        self.indices.shown(pts_us, 0)
        status = await self._until_received(lambda status: status.last_frame_index is not None)
        self._usual_age_s = _age_s(status)
        async with self._still():
            await self._learn()
        self._repeats.interval_s = REPEAT_INTERVAL_S

    @abstractmethod
    async def show(self, pts_us: int, picture: Picture) -> bool:
        """Publish a picture; False if the far side lacks what it depends on.

        Raises:
            OvershootFlowError: It could not be published.
        """

    @abstractmethod
    async def settle(self, *, at_last: bool) -> bool:
        """Wait until the service has everything that was published; then pictures are located.

        Args:
            at_last: Whether to locate them within bounds if some were lost.

        Returns:
            False if pictures since the last time are not located: they are to be published again.

        Raises:
            OvershootFlowError: The stream has ended, or the service does not answer.
        """

    @property
    def is_reconnected(self) -> bool:
        """Whether the connection is another one than that whose count is known."""
        return self._known_connection != self.publication.connection

    def _captured(self, number: int) -> None:
        """A picture was handed to the sender after `number` others, repeated ones included."""
        del number
        self._captured_at_s = self.clock.monotonic_s()

    @abstractmethod
    def _begin_to_count(self, status: StreamStatus) -> None:
        """Everything handed over has come, and this is what the service says."""

    @asynccontextmanager
    async def _still(self) -> AsyncIterator[None]:
        """Show nothing meanwhile, neither new nor again."""
        async with self._showing:
            self._repeats.paused = True
            try:
                yield
            finally:
                self._repeats.paused = False

    async def _learn(self) -> None:
        """Learn which index the picture has that is on screen; to be called while all is still.

        A connection that is replaced meanwhile stays an unknown one.
        """
        connection = self.publication.connection
        status = await self._until_received(lambda _: False, may_end=True)
        await self.publication.note_delivery()
        if status.last_frame_index is None or self.publication.connection != connection:
            return
        self._known_connection = connection
        self.indices.newest_is_at(status.last_frame_index)
        self._begin_to_count(status)

    async def _until_received(
        self, done: Callable[[StreamStatus], bool], *, may_end: bool = False
    ) -> StreamStatus:
        """Ask where the stream stands until `done`, or, if it may, until nothing more comes.

        Raises:
            PublishError: The service never tells.
            StreamEndedError: The stream has ended.
        """
        deadline_s = self.clock.monotonic_s() + _LONGEST_WAIT_S
        pause_s, longest_s = _POLL_S
        newest, unchanged_since_s = None, self.clock.monotonic_s()
        while True:
            status = await self._status_until(deadline_s)
            now_s = self.clock.monotonic_s()
            if status.last_frame_index != newest:
                newest, unchanged_since_s = status.last_frame_index, now_s
            is_over = (
                _age_s(status) > self._usual_age_s + _QUIET_S
                or now_s - unchanged_since_s > _LONG_QUIET_S
            )
            if done(status) or (may_end and is_over):
                return status
            if now_s > deadline_s:
                raise PublishError("the service does not tell which frames it has received")
            await asyncio.sleep(pause_s)
            pause_s = min(longest_s, 1.5 * pause_s)

    async def _status_until(self, deadline_s: float) -> StreamStatus:
        """Whether the stream still lives is for the lease to say, not for a failed look."""
        while True:
            try:
                return await self._status()
            except TRANSIENT_ERRORS as error:
                if self.clock.monotonic_s() > deadline_s:
                    raise
                _logger.info("stream %s: %s", self.stream_id, error)
            await asyncio.sleep(_POLL_S[1])

    async def _status(self) -> StreamStatus:
        status = await self._http.stream(self.stream_id)
        if status.state is StreamState.ENDED:
            raise StreamEndedError(status.end_reason or "ended")
        return status


def _age_s(status: StreamStatus) -> float:
    """How long ago the newest frame came that can be asked about; 0 if it is not told."""
    told = (status.first_frame_at_ms, status.stream_time_ms, status.last_frame_at_ms)
    first_ms, clock_ms, last_ms = (each or 0.0 for each in told)
    return max(0.0, first_ms + clock_ms - last_ms) / 1000
