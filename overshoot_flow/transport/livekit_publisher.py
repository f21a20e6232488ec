"""Publishes pictures into a LiveKit room with LiveKit's own SDK.

The sender's statistics, not the settings, say what was delivered.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from livekit import rtc
from livekit.rtc.participant import PublishTrackError

from overshoot_flow.config import Secret
from overshoot_flow.errors import PublishError
from overshoot_flow.media.access_units import AccessUnit, Picture
from overshoot_flow.media.frames import Frame
from overshoot_flow.transport.encoded_track import EncodedTrack
from overshoot_flow.transport.raw_track import RawTrack
from overshoot_flow.transport.sender_statistics import SenderStatistics, read_statistics

_FIRST_PICTURE_INTERVAL_S: Final = 0.033

_logger = logging.getLogger(__name__)


class LiveKitPublisher:
    """One connection to a room with one video track, of pixels or of access units.

    All methods belong to one event loop. `lost` is set when the room is gone although nobody
    left it; the SDK's own attempts to reconnect are over by then. `flowing` is unset while the
    SDK reconnects: what is captured in that time is lost, so wait for it before `capture`.

    Args:
        url: WebSocket URL of the room.
        token: The stream's newest publish token.
        connect_timeout_s: Bound of joining and of the first picture's way to the wire.
    """

    def __init__(self, url: str, token: Secret, *, connect_timeout_s: float) -> None:
        self._url = url
        self._token = token
        self._connect_timeout_s = connect_timeout_s
        self._room = rtc.Room()
        self._outgoing: RawTrack | EncodedTrack | None = None
        self._attendant: asyncio.Task[None] | None = None
        self._leaving = False
        self.lost = asyncio.Event()
        self.lost_reason = ""
        self.flowing = asyncio.Event()
        self.reconnects = 0

    @property
    def pictures_captured(self) -> int:
        """Pictures handed to the sender, repeated ones included."""
        return 0 if self._outgoing is None else self._outgoing.pictures_captured

    @property
    def awaits_key_frame(self) -> bool:
        """Whether an access unit that is no key frame would be of no use to the far side."""
        return self._outgoing is not None and self._outgoing.awaits_key_frame

    async def connect(self, first: Picture) -> None:
        """Join, publish a track of the size of `first` and show it until it is on its way.

        Args:
            first: A frame, or an access unit that is a key frame.

        Raises:
            PublishError: The room cannot be joined, or no picture left within the time-out.
            ConfigurationError: The codec of `first` cannot be published without decoding.
        """
        self._room.on("disconnected", self._on_disconnected)
        self._room.on("reconnecting", self.flowing.clear)
        self._room.on("reconnected", self._on_reconnected)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await self._room.connect(
                    self._url, self._token.reveal(), rtc.RoomOptions(auto_subscribe=False)
                )
                # Not before: without a room the SDK may be ending its threads after the last one,
                # and making a track meanwhile was seen to block for ever.
                self._outgoing = outgoing = _track_for(first)
                await self._room.local_participant.publish_track(outgoing.track, outgoing.options)
                await self._until_first_picture_sent(first)
        except (rtc.ConnectError, PublishTrackError) as error:
            raise PublishError(f"cannot publish into the room: {type(error).__name__}") from None
        except TimeoutError:
            raise PublishError(
                f"no picture reached the room within {self._connect_timeout_s:g} s"
            ) from None
        self.flowing.set()
        self._attendant = asyncio.create_task(outgoing.attend(self.flowing), name="attend-track")

    async def _until_first_picture_sent(self, first: Picture) -> None:
        """Pictures captured before the transport is up are lost: send none that counts."""
        while True:
            await self.capture(first)
            await asyncio.sleep(_FIRST_PICTURE_INTERVAL_S)
            if (await self.statistics()).pictures_sent > 0:
                return
            if self.lost.is_set():
                raise PublishError(f"the room closed while joining: {self.lost_reason}")

    async def capture(self, picture: Picture) -> None:
        """Hand `picture`, of the same kind as the first one, to the sender.

        Raises:
            PublishError: The sender does not take it.
        """
        match self._outgoing, picture:
            case RawTrack() as raw, Frame():
                await raw.capture(picture)
            case EncodedTrack() as encoded, AccessUnit():
                await encoded.capture(picture)
            case _:
                msg = "connect with a picture of this kind first"
                raise RuntimeError(msg)

    async def statistics(self) -> SenderStatistics:
        """Read the sender's statistics; zeros until the sender has any.

        Raises:
            PublishError: The room is going down.
        """
        if self._outgoing is None:
            msg = "connect first"
            raise RuntimeError(msg)
        return await read_statistics(self._outgoing.track, self._outgoing.key_frames)

    async def leave(self) -> None:
        """Stop sending and leave the room; harmless when it is gone already."""
        self._leaving = True
        if self._attendant is not None:
            self._attendant.cancel()
            await asyncio.gather(self._attendant, return_exceptions=True)
            self._attendant = None
        try:
            await self._room.disconnect()
        finally:
            # The native source must not be left to the garbage collector.
            if self._outgoing is not None:
                await self._outgoing.aclose()

    def _on_disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        if self._leaving:
            return
        self.lost_reason = rtc.DisconnectReason.Name(reason).lower()
        _logger.info("the room is gone: %s", self.lost_reason)
        self.flowing.clear()
        self.lost.set()

    def _on_reconnected(self) -> None:
        self.reconnects += 1
        if self._outgoing is not None:
            self._outgoing.connection_renewed()
        self.flowing.set()


def _track_for(first: Picture) -> RawTrack | EncodedTrack:
    return EncodedTrack(first) if isinstance(first, AccessUnit) else RawTrack(first)
