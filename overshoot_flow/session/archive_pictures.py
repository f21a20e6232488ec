"""An archive's video on its way into a v1 stream: nothing is lost, because it can wait.

The next picture is shown when the one before was sent, and one that the encoder has left out is
shown again. So an encoder that is slower than the media slows the publishing down. After a stretch
of pictures it is waited until the service has as many as were sent; if some were lost on the way,
nobody can tell which, and the stretch is published again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from overshoot_flow.media.access_units import AccessUnit, Picture
from overshoot_flow.protocol.v1 import StreamStatus
from overshoot_flow.session.stream_pictures import StreamPictures

_SENDING_POLL_S: Final = 0.005
_SENDING_TIMEOUT_S: Final = 0.4
"""A picture that is not sent after this long was left out by the encoder."""

_SENDING_ATTEMPTS: Final = 5

_logger = logging.getLogger(__name__)


class ArchivePictures(StreamPictures):
    """Publishes an archive; pictures are numbered by what the sender says it has sent."""

    _offset = 0
    _sent = 0
    _unsent = 0

    def _begin_to_count(self, status: StreamStatus) -> None:
        delivery = self.publication.delivery
        self._sent = delivery.sent or 0
        self._unsent = delivery.captured - self._sent
        self._offset = (status.last_frame_index or 0) + 1 - self._sent

    async def show(self, pts_us: int, picture: Picture) -> bool:
        """Publish a picture and wait until it is sent; see `StreamPictures.show`."""
        async with self._showing:
            before = self._sent
            for _ in range(_SENDING_ATTEMPTS):
                if await self.publication.show(picture) is None:
                    return False
                self.indices.shown(pts_us, before)
                # An access unit decoded twice is another picture.
                if await self._is_sent() or isinstance(picture, AccessUnit):
                    break
            return True

    async def _is_sent(self) -> bool:
        """Wait until the sender has dealt with everything; say whether it has sent a new one."""
        before = self._sent
        deadline_s = self.clock.monotonic_s() + _SENDING_TIMEOUT_S
        while not self.is_reconnected:
            await self.publication.note_delivery()
            delivery = self.publication.delivery
            sent = delivery.sent or 0
            is_over = self.clock.monotonic_s() > deadline_s
            if delivery.connection == self._known_connection and (
                is_over or delivery.captured - sent <= self._unsent
            ):
                self._sent, self._unsent = sent, delivery.captured - sent
                return sent > before
            if is_over:
                return False
            await asyncio.sleep(_SENDING_POLL_S)
        # What became of it is found out when the stretch is settled.
        return True

    async def settle(self, *, at_last: bool) -> bool:
        """Wait until the service has all that was sent; see `StreamPictures.settle`."""
        async with self._still():
            if self.is_reconnected:
                if at_last:
                    self.indices.give_up()
                await self._learn()
                return at_last
            await self._is_sent()
            sent, offset = self._sent, self._offset
            status = await self._until_received(
                lambda status: status.last_frame_index == sent + offset - 1, may_end=True
            )
            if self.is_reconnected:
                return False
            self._offset = (status.last_frame_index or 0) + 1 - sent
            if self._offset != offset:
                lost = offset - self._offset
                _logger.info("stream %s: %d pictures were lost on the way", self.stream_id, lost)
                if not at_last:
                    return False
            self.indices.confirm(sent, min(offset, self._offset), max(offset, self._offset))
            return True
