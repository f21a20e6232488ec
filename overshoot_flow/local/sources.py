"""Where a stream's pictures come from: a room of ours, an SDP offer, or the user's own room."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import av
import numpy as np
from aiortc.mediastreams import MediaStreamTrack
from livekit import rtc
from livekit.protocol import models

from overshoot_flow.errors import TransportError
from overshoot_flow.local.api_errors import ApiError, invalid
from overshoot_flow.local.ingest.peer import MediaPeer, read_pictures
from overshoot_flow.local.ingest.room import Room, Rooms
from overshoot_flow.local.ingest.tokens import Grant
from overshoot_flow.local.leased_stream import Departure, EndReason, LeasedStream
from overshoot_flow.local.owned_tasks import OwnedTasks
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.local.stream_request import RoomSource

_PICTURES_BUFFERED: Final = 30
"""Pictures that the SDK holds for us; it drops the oldest."""


def departure(stream: LeasedStream, reason: EndReason, config: ServerConfig) -> Departure:
    """The rule by which `stream` ends after its publisher has gone."""
    return Departure(
        stream=stream,
        reason=reason,
        left_grace_s=config.publisher_left_grace_s,
        lost_grace_s=config.publisher_lost_grace_s,
    )


@dataclass(slots=True, kw_only=True)
class NativeRoom:
    """A room that exists for one stream; the room's listener."""

    stream: LeasedStream
    rooms: Rooms
    departure: Departure
    room: Room | None = None

    @property
    def grant(self) -> Grant:
        """What the stream's publish tokens allow."""
        return Grant(
            room=f"stream-{self.stream.id}",
            identity="publisher",
            can_publish=True,
            can_subscribe=False,
        )

    def open(self) -> None:
        """Open the room."""
        self.room = self.rooms.open(self.grant.room, self)

    def token(self) -> str:
        """A fresh publish token."""
        return self.rooms.mint.mint(self.grant)

    def cut(self) -> None:
        """Cut the publisher's connections; the room stays."""
        if self.room is not None:
            self.room.cut_connections()

    def kick(self) -> None:
        """Send the publisher away; the room stays."""
        if self.room is not None:
            self.room.dismiss_everybody(models.PARTICIPANT_REMOVED)

    async def close(self) -> None:
        """Close the room for ever."""
        self.departure.cancel()
        if self.room is not None:
            await self.rooms.close(self.room)

    def publisher_arrived(self) -> None:
        """Part of the room's listener."""
        self.departure.publisher_arrived()

    def publisher_gone(self, *, said_goodbye: bool) -> None:
        """Part of the room's listener."""
        self.departure.publisher_gone(said_goodbye=said_goodbye)

    def picture_arrived(self, picture: av.VideoFrame) -> None:
        """Part of the room's listener."""
        self.stream.picture_arrived(picture)


class OfferedPeer:
    """A peer connection made from the client's SDP offer.

    Args:
        stream: Who takes the pictures.
        addresses: Local addresses for media, or None for every interface but loopback.
        leaving: What happens when the peer has gone.
    """

    def __init__(
        self, stream: LeasedStream, addresses: Sequence[str] | None, leaving: Departure
    ) -> None:
        self._stream = stream
        self._departure = leaving
        self._tasks = OwnedTasks()
        self._offered_video = False
        self._peer = MediaPeer(addresses, on_track=self._track_arrived, on_lost=self._lost)

    async def open(self, offer_sdp: str) -> str:
        """Return the SDP answer.

        Raises:
            ApiError: 422, the offer cannot be used.
        """
        try:
            answer_sdp = await self._peer.answer(offer_sdp)
        except TransportError as error:
            raise invalid("source.sdp", str(error)) from error
        if not self._offered_video:
            raise invalid("source.sdp", "offers no video to be sent here")
        return answer_sdp

    def cut(self) -> None:
        """Cut the connection; a peer connection cannot come back."""
        self._tasks.start(self._peer.close(), f"cut of {self._stream.id}")
        self._lost()

    async def close(self) -> None:
        """Close the connection."""
        self._departure.cancel()
        await self._peer.close()
        await self._tasks.stop()

    def _track_arrived(self, track: MediaStreamTrack) -> None:
        self._offered_video = True
        self._tasks.start(self._read(track), f"pictures of {self._stream.id}")

    async def _read(self, track: MediaStreamTrack) -> None:
        await read_pictures(track, self._stream.picture_arrived)
        self._departure.publisher_gone(said_goodbye=True)

    def _lost(self) -> None:
        self._departure.publisher_gone(said_goodbye=True)


class JoinedRoom:
    """A room that the user runs, joined with LiveKit's own SDK as a subscriber.

    The first video track is the stream's; when it ends, the next one takes its place.

    Args:
        stream: Who takes the pictures.
        leaving: What happens when the publisher has gone.
    """

    def __init__(self, stream: LeasedStream, leaving: Departure) -> None:
        self._stream = stream
        self._departure = leaving
        self._tasks = OwnedTasks()
        self._room = rtc.Room()
        self._track: Any = None
        self._closing = False
        self._room.on("track_subscribed", self._subscribed)
        self._room.on("track_unsubscribed", self._unsubscribed)
        self._room.on("disconnected", self._disconnected)

    async def open(self, source: RoomSource, timeout_s: float) -> None:
        """Join the room.

        Raises:
            ApiError: 422, the room cannot be joined.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._room.connect(source.url, source.token)
        except TimeoutError:
            raise _unreachable(f"no answer within {timeout_s:g} s") from None
        except rtc.ConnectError:
            # Its text may carry the URL with the token.
            raise _unreachable("the room's server refuses, or is not there") from None

    def cut(self) -> None:
        """Leave the room."""
        self._tasks.start(self._room.disconnect(), f"cut of {self._stream.id}")

    async def close(self) -> None:
        """Leave the room."""
        self._closing = True
        self._departure.cancel()
        await self._room.disconnect()
        await self._tasks.stop()

    def _subscribed(self, track: Any, _publication: Any, _participant: Any) -> None:  # noqa: ANN401 - the SDK has no types here
        if track.kind != rtc.TrackKind.KIND_VIDEO or self._track is not None:
            return
        self._track = track
        self._departure.publisher_arrived()
        self._tasks.start(self._read(track), f"pictures of {self._stream.id}")

    def _unsubscribed(self, track: Any, _publication: Any, _participant: Any) -> None:  # noqa: ANN401 - the SDK has no types here
        if track is self._track:
            self._track = None
            self._departure.publisher_gone(said_goodbye=True)

    def _disconnected(self, _reason: Any) -> None:  # noqa: ANN401 - the SDK has no types here
        if not self._closing:
            self._stream.end("livekit_disconnected")

    async def _read(self, track: Any) -> None:  # noqa: ANN401 - the SDK has no types here
        video = rtc.VideoStream(track, format=rtc.VideoBufferType.I420, capacity=_PICTURES_BUFFERED)
        try:
            async for event in video:
                if track is not self._track:
                    break
                self._stream.picture_arrived(_as_picture(event.frame))
        finally:
            await video.aclose()


Source = NativeRoom | OfferedPeer | JoinedRoom


def _as_picture(frame: rtc.VideoFrame) -> av.VideoFrame:
    if frame.width % 2 or frame.height % 2:
        frame = frame.convert(rtc.VideoBufferType.RGBA)
        rgba = np.frombuffer(frame.data, np.uint8).reshape(frame.height, frame.width, 4)
        return av.VideoFrame.from_ndarray(rgba, format="rgba")
    planes = np.frombuffer(frame.data, np.uint8).reshape(frame.height * 3 // 2, frame.width)
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def _unreachable(why: str) -> ApiError:
    return invalid("source", f"the room cannot be joined: {why}")
