"""Publishes pictures into a LiveKit room with LiveKit's own SDK.

The sender's statistics, not the settings, say what was delivered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from livekit import rtc
from livekit.rtc.participant import PublishTrackError
from livekit.rtc.room import EventTypes

from overshoot_flow.config import Secret
from overshoot_flow.errors import PublishError
from overshoot_flow.media.access_units import AccessUnit, Picture
from overshoot_flow.media.frames import Frame
from overshoot_flow.transport.departures import DEPARTURES
from overshoot_flow.transport.encoded_track import EncodedTrack
from overshoot_flow.transport.joining import joining_seat
from overshoot_flow.transport.native_logs import keep_native_logs_out
from overshoot_flow.transport.raw_track import RawTrack, Repeats
from overshoot_flow.transport.rooms_left import ROOMS_LEFT
from overshoot_flow.transport.sender_statistics import SenderStatistics, read_statistics

_FIRST_PICTURE_INTERVAL_S: Final = 0.033

_SETTLING_TIMEOUT_S: Final = 90.0
"""Longer than the SDK tries to join a room anew."""

# The SDK's default looks for further network addresses as long as a room lasts, with a set of
# sockets for each round: with two interfaces 35 open files per camera were seen, and 86 with 16
# cameras, where this way it is 18. A fleet would be beyond the usual limit of 1024. When the
# network changes the SDK joins anew.
_CONNECTIONS: Final = rtc.RtcConfiguration(
    continual_gathering_policy=rtc.ContinualGatheringPolicy.GATHER_ONCE
)

_logger = logging.getLogger(__name__)


class LiveKitPublisher:
    """One connection to a room with one video track, of pixels or of access units.

    All methods belong to one event loop. `lost` is set when the room is gone although nobody
    left it; the SDK's own attempts to reconnect are over by then. `flowing` is unset while the
    SDK reconnects: what is captured in that time is lost, so wait for it before `capture`.

    Args:
        url: WebSocket URL of the room.
        token: The stream's newest publish token.
        connect_timeout_s: Bound of joining, once it is this room's turn, and of the first picture's
            way to the wire.
        repeats: How a frame without a successor is repeated; None for the usual way.
        on_captured: Called after every hand-over to the sender, repeated pictures included.
    """

    def __init__(
        self,
        url: str,
        token: Secret,
        *,
        connect_timeout_s: float,
        repeats: Repeats | None = None,
        on_captured: Callable[[], None] = lambda: None,
    ) -> None:
        self._repeats = Repeats() if repeats is None else repeats
        self._on_captured = on_captured
        self._url = url
        self._token = token
        self._connect_timeout_s = connect_timeout_s
        keep_native_logs_out()
        self._room = rtc.Room()
        self._listeners: dict[EventTypes, Callable[..., None]] = {}
        self._outgoing: RawTrack | EncodedTrack | None = None
        self._attendant: asyncio.Task[None] | None = None
        self._leaving = False
        self._is_left_later = False
        # Unset while the SDK joins anew.
        self._settled = asyncio.Event()
        self._settled.set()
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
        self._listeners = {
            "disconnected": self._on_disconnected,
            "reconnecting": self._on_reconnecting,
            "reconnected": self._on_reconnected,
        }
        for event, listener in self._listeners.items():
            self._room.on(event, listener)
        try:
            async with joining_seat(self._url), asyncio.timeout(self._connect_timeout_s):
                await self._join()
            async with asyncio.timeout(self._connect_timeout_s):
                # Not before: without a room the SDK may be ending its threads after the last one,
                # and making a track meanwhile was seen to block for ever.
                self._outgoing = outgoing = self._track_for(first)
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

    async def _join(self) -> None:
        """Join the room; what nobody waits for any more goes on in the background.

        The native side of the SDK goes on with it in any case, and when it has joined and nobody
        takes the room it ends the whole process ("timed out waiting for ReadyForRoomEventRequest",
        livekit 1.2.1).
        """
        options = rtc.RoomOptions(auto_subscribe=False, rtc_config=_CONNECTIONS)
        connecting = self._room.connect(self._url, self._token.reveal(), options)
        joining = asyncio.create_task(connecting, name="join-room")
        try:
            await asyncio.shield(joining)
        except asyncio.CancelledError:
            self._leaving = self._is_left_later = True
            DEPARTURES.add(self._disconnect_when_joined(joining))
            raise

    async def _disconnect_when_joined(self, joining: asyncio.Task[None]) -> None:
        with suppress(rtc.ConnectError):
            await joining
        await self._disconnect()

    async def _until_first_picture_sent(self, first: Picture) -> None:
        """Pictures captured before the transport is up are lost: send none that counts."""
        while True:
            await self.capture(first)
            await asyncio.sleep(_FIRST_PICTURE_INTERVAL_S)
            if await self._has_sent():
                return
            if self.lost.is_set():
                raise PublishError(f"the room closed while joining: {self.lost_reason}")

    async def _has_sent(self) -> bool:
        try:
            return (await self.statistics()).pictures_sent > 0
        except PublishError:
            # While the SDK joins anew there is no sender that could be asked.
            if self._settled.is_set():
                raise
            return False

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
        """Stop sending and leave the room; harmless when it is gone already.

        While the SDK joins the room, or does so anew, it is left in the background, see
        `departures`.
        """
        self._leaving = True
        if self._attendant is not None:
            self._attendant.cancel()
            await asyncio.gather(self._attendant, return_exceptions=True)
            self._attendant = None
        if self._is_left_later:
            return
        if self._settled.is_set():
            await self._disconnect()
        else:
            DEPARTURES.add(self._disconnect_later())

    async def _disconnect_later(self) -> None:
        async with asyncio.timeout(_SETTLING_TIMEOUT_S):
            await self._settled.wait()
        await self._disconnect()

    async def _disconnect(self) -> None:
        try:
            await self._room.disconnect()
        finally:
            # Room and publisher would hold each other until the garbage collector comes by, and
            # with them nearly 1 MiB of memory.
            for event, listener in self._listeners.items():
                self._room.off(event, listener)
            self._listeners.clear()
            ROOMS_LEFT.note()
            # The native source must not be left to the garbage collector.
            if self._outgoing is not None:
                await self._outgoing.aclose()

    def _on_reconnecting(self) -> None:
        self._settled.clear()
        self.flowing.clear()

    def _on_disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        self._settled.set()
        if self._leaving:
            return
        self.lost_reason = rtc.DisconnectReason.Name(reason).lower()
        _logger.info("the room is gone: %s", self.lost_reason)
        self.flowing.clear()
        self.lost.set()

    def _on_reconnected(self) -> None:
        self._settled.set()
        if self._leaving:
            return
        self.reconnects += 1
        if self._outgoing is not None:
            self._outgoing.connection_renewed()
        self.flowing.set()

    def _track_for(self, first: Picture) -> RawTrack | EncodedTrack:
        if isinstance(first, AccessUnit):
            return EncodedTrack(first, self._on_captured)
        return RawTrack(first, self._repeats, self._on_captured)
