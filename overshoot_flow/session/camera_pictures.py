"""A camera's video on its way into a v1 stream: it cannot wait, so the count is followed."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from overshoot_flow.media.access_units import Picture
from overshoot_flow.protocol.offset_tracking import OffsetTracking
from overshoot_flow.protocol.v1 import StreamStatus
from overshoot_flow.session.stream_pictures import StreamPictures

_LEAST_DISTANCE: Final = 0.75
_LONGEST_DISTANCE_S: Final = 0.03
"""Two pictures are shown no closer than this part of their distance, and this time."""

_STANDSTILL_INTERVAL_S: Final = 10.0
"""A standstill costs a camera up to a second or two of delay, so there are few."""

_MS_PER_S: Final = 1000

_logger = logging.getLogger(__name__)


class CameraPictures(StreamPictures):
    """Publishes a camera; pictures are numbered by what was handed to the sender."""

    _tracking: OffsetTracking | None = None
    _next_standstill_s = 0.0
    _newest_pts_us = 0

    def _captured(self, number: int) -> None:
        super()._captured(number)
        if self._tracking is not None:
            self._tracking.captured(number, self._captured_at_s)

    def _begin_to_count(self, status: StreamStatus) -> None:
        delivery = self.publication.delivery
        self._tracking = OffsetTracking(
            offset=(status.last_frame_index or 0) + 1 - delivery.captured,
            lag_s=self._lag_s(status),
            unsent=delivery.captured - (delivery.sent or 0),
        )

    def _lag_s(self, status: StreamStatus) -> float:
        """The service's clock minus ours, and the way there, when the newest picture has come."""
        return (status.last_frame_at_ms or 0.0) / _MS_PER_S - self._captured_at_s

    async def show(self, pts_us: int, picture: Picture) -> bool:
        """Publish a picture; see `StreamPictures.show`."""
        async with self._showing:
            await self._keep_distance(pts_us)
            shown = await self.publication.show(picture)
            if shown is None:
                return False
            self.indices.shown(pts_us, shown.number)
            return True

    async def _keep_distance(self, pts_us: int) -> None:
        """Pictures that have waited come at once, and the encoder takes one at a time."""
        distance_s = _LEAST_DISTANCE * (pts_us - self._newest_pts_us) / 1_000_000
        self._newest_pts_us = pts_us
        pause_s = self._captured_at_s + min(distance_s, _LONGEST_DISTANCE_S)
        await asyncio.sleep(max(0.0, pause_s - self.clock.monotonic_s()))

    async def look(self) -> None:
        """See what has become of the pictures that flow.

        After a connection was lost nobody knows what of it has come: then the count begins anew.

        Raises:
            OvershootFlowError: The stream has ended, or the service does not answer.
        """
        tracking = self._tracking
        if tracking is None or self.is_reconnected:
            async with self._still():
                await self._begin_anew()
            return
        await self.publication.note_delivery()
        delivery = self.publication.delivery
        status = await self._status()
        if (
            status.last_frame_index is None
            or status.last_frame_at_ms is None
            or delivery.sent is None
            or delivery.connection != self._known_connection
            or tracking is not self._tracking
        ):
            return
        confirmed = tracking.look(
            captured=delivery.captured,
            sent=delivery.sent,
            index=status.last_frame_index,
            arrived_at_s=status.last_frame_at_ms / _MS_PER_S,
        )
        if confirmed is not None:
            self.indices.confirm(confirmed.captured, confirmed.low, confirmed.high)
        if tracking.is_doubtful and self.clock.monotonic_s() >= self._next_standstill_s:
            _logger.info("stream %s: pictures come too late; they are counted", self.stream_id)
            self._next_standstill_s = self.clock.monotonic_s() + _STANDSTILL_INTERVAL_S
            await self.settle(at_last=True)

    async def _begin_anew(self) -> None:
        newest = self.indices.newest_shown
        self.indices.give_up()
        if newest is not None:
            self.indices.shown(*newest)
        await self._learn()

    async def settle(self, *, at_last: bool) -> bool:
        """Wait until the service has what was shown; see `StreamPictures.settle`."""
        del at_last  # Nothing can be shown again.
        async with self._still():
            if self._tracking is None or self.is_reconnected:
                await self._begin_anew()
                self.indices.give_up()
                return True
            captured, offset = self.publication.captured, self._tracking.offset
            status = await self._until_received(
                lambda status: status.last_frame_index == captured + offset - 1, may_end=True
            )
            await self.publication.note_delivery()
            low, high = self._tracking.settled(
                (status.last_frame_index or 0) + 1 - captured,
                self._lag_s(status),
                captured - (self.publication.delivery.sent or 0),
            )
            self.indices.confirm(captured, low, high)
            return True
