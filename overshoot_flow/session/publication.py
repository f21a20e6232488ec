"""One stream's video on its way to the service, over as many connections as it takes."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from overshoot_flow.errors import PublishError
from overshoot_flow.media.access_units import AccessUnit, Picture, needs_predecessor
from overshoot_flow.session.outcomes import Delivery
from overshoot_flow.transport.publisher import Publisher

_ROOM_POLL_S: Final = 0.05
_STATISTICS_TIMEOUT_S: Final = 2.0

_CONNECTIONS: Final = itertools.count(1)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture that was handed to the sender.

    Attributes:
        connection: On which connection of the process.
        number: How many pictures were handed over on it before, repeated ones included.
    """

    connection: int
    number: int


class Publication:
    """Shows pictures in the stream's room and joins it again when it is lost.

    Args:
        stream_id: The stream, for the log.
        new_publisher: Makes a publisher that is not connected yet, with the newest token; an
            error that it raises ends the stream.

    Attributes:
        delivery: What the sender has counted, as far as it was asked.
    """

    def __init__(self, stream_id: str, new_publisher: Callable[[], Publisher]) -> None:
        self._stream_id = stream_id
        self._new_publisher = new_publisher
        self._publisher: Publisher | None = None
        self._is_connected = False
        self._connection_number = 0
        self._shown: Picture | None = None
        # Held by whoever uses the connection or replaces it.
        self._connection = asyncio.Lock()
        self.delivery = Delivery()

    @property
    def connection(self) -> int:
        """Which connection of the process it has now, or had last."""
        return self._connection_number

    @property
    def captured(self) -> int:
        """Pictures handed over on the present connection, repeated ones included."""
        return 0 if self._publisher is None else self._publisher.pictures_captured

    async def begin(self, first: Picture) -> None:
        """Connect and show the first picture.

        Raises:
            PublishError: No connection came about.
        """
        async with self._connection:
            self._publisher = self._new_publisher()
            await self._connect(first)

    async def show(self, picture: Picture) -> Shown | None:
        """Hand `picture` over as soon as the room takes pictures.

        Returns:
            None if the far side lacks what the picture depends on, so that it was not sent.

        Raises:
            PublishError: The sender does not take it, or no connection came about.
        """
        while True:
            async with self._connection:
                if self._is_connected and isinstance(picture, AccessUnit) != isinstance(
                    self._shown, AccessUnit
                ):
                    # Pixels and access units need tracks of their own.
                    await self._disconnect()
                if not self._can_follow(picture):
                    return None
                if not self._is_connected:
                    await self._connect(picture)
                    return Shown(self._connection_number, 0)
                publisher = self._connected
                if publisher.flowing.is_set():
                    await publisher.capture(picture)
                    self._shown = picture
                    return Shown(self._connection_number, publisher.pictures_captured - 1)
            # The SDK reconnects, or `stay` is about to connect another publisher.
            await asyncio.sleep(_ROOM_POLL_S)

    async def stay(self) -> None:
        """Connect again whenever the connection is lost for good, until cancelled.

        With encoded video the next key frame does that: a receiver cannot begin with what was
        shown last.

        Raises:
            PublishError: No connection came about.
        """
        while True:
            publisher = self._connected
            await publisher.lost.wait()
            async with self._connection:
                if publisher is not self._publisher:
                    continue
                await self._disconnect()
                if self._shown is None:
                    raise PublishError("the room is gone before any picture was shown")
                if not isinstance(self._shown, AccessUnit):
                    await self._connect(self._shown)

    async def note_delivery(self) -> None:
        """Keep what the sender counts; a sender that gives no answer leaves the older counts."""
        async with self._connection:
            if not self._is_connected:
                return
            try:
                async with asyncio.timeout(_STATISTICS_TIMEOUT_S):
                    statistics = await self._connected.statistics()
            except (PublishError, TimeoutError) as error:
                _logger.info("stream %s: %s", self._stream_id, str(error) or "no statistics")
                return
            self.delivery = Delivery(
                width=statistics.width or None,
                height=statistics.height or None,
                captured=self._connected.pictures_captured,
                sent=statistics.pictures_sent,
                connection=self._connection_number,
                key_frames=statistics.key_frames,
            )

    async def end(self) -> None:
        """Leave the room."""
        if self._publisher is not None:
            await self._publisher.leave()

    @property
    def _connected(self) -> Publisher:
        if self._publisher is None:
            msg = "begin first"
            raise RuntimeError(msg)
        return self._publisher

    async def _connect(self, first: Picture) -> None:
        self._shown = first
        await self._connected.connect(first)
        self._is_connected = True
        self._connection_number = next(_CONNECTIONS)

    async def _disconnect(self) -> None:
        self._is_connected = False
        before = self._connected
        await before.leave()
        self._publisher = self._new_publisher()
        # `stay` shall wait for the loss of the new one.
        before.lost.set()

    def _can_follow(self, picture: Picture) -> bool:
        return not needs_predecessor(picture) or (
            self._is_connected and not self._connected.awaits_key_frame
        )
