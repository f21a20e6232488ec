"""Sends a room's video on to one subscriber."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import av
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from overshoot_flow.local.ingest.peer import MediaPeer
from overshoot_flow.local.ingest.sdp import with_stream_ids


class NewestPictureTrack(MediaStreamTrack):
    """A track with room for one picture.

    Overflow policy: a newer picture replaces one that was not sent yet; `replaced` counts them.
    """

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._picture: av.VideoFrame | None = None
        self._changed = asyncio.Event()
        self.replaced = 0

    def show(self, picture: av.VideoFrame) -> None:
        """Offer the next picture."""
        self.replaced += self._picture is not None
        self._picture = picture
        self._changed.set()

    async def recv(self) -> av.VideoFrame:
        """Return the next picture; part of aiortc's track interface."""
        while self._picture is None:
            if self.readyState != "live":
                raise MediaStreamError
            await self._changed.wait()
            self._changed.clear()
        picture, self._picture = self._picture, None
        return picture

    def stop(self) -> None:
        """End the track; a sender that waits in `recv` wakes up."""
        super().stop()
        self._changed.set()


class Forwarding:
    """The subscriber peer connection of one participant.

    Args:
        addresses: Local addresses for media, or None for every interface but loopback.
        publisher_sid: Whose video it is.
        track_sid: Which of the publisher's tracks it is.
    """

    def __init__(self, addresses: Sequence[str] | None, publisher_sid: str, track_sid: str) -> None:
        self.track = NewestPictureTrack()
        self._ids = (publisher_sid, track_sid)
        self.peer = MediaPeer(addresses)
        self.peer.connection.addTransceiver(self.track, direction="sendonly")

    async def offer(self) -> str:
        """Return the offer for the subscriber."""
        return with_stream_ids(await self.peer.offer(), *self._ids)

    async def close(self) -> None:
        """Stop sending."""
        self.track.stop()
        await self.peer.close()
