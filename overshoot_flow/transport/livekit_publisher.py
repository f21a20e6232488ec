"""Publishes frames into a LiveKit room with LiveKit's own SDK.

WebRTC adapts to the bandwidth it believes in; left alone it halves the resolution and nobody
notices. So the publisher asks for one layer at full resolution with a bitrate that fits the size,
and reads the sender's statistics: they, not the settings, say what was delivered. Under pressure
frames are dropped instead, which the statistics count.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from livekit import rtc
from livekit.rtc._proto.room_pb2 import DEGRADATION_PREFERENCE_MAINTAIN_RESOLUTION
from livekit.rtc._proto.stats_pb2 import QualityLimitationReason
from livekit.rtc.participant import PublishTrackError

from overshoot_flow.config import Secret
from overshoot_flow.errors import PublishError
from overshoot_flow.media.frames import Frame

HOLD_INTERVAL_S: Final = 0.066
"""A picture without a successor is sent again this often. A receiver's jitter buffer gives a
picture out only when the next one begins, and a silent sender looks like a lost one."""

_BITS_PER_PIXEL_PER_S: Final = 4.0
_BITRATE_RANGE: Final = (800_000, 12_000_000)
_MAX_FRAMERATE: Final = 60.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderStatistics:
    """What WebRTC says it sent: pictures include those that were repeated."""

    pictures_sent: int
    width: int
    height: int
    target_bitrate: float
    limited_by: str
    resolution_changes: int


def bitrate_for(width: int, height: int) -> int:
    """Return the bits per second at which small text stays readable at this size."""
    low, high = _BITRATE_RANGE
    return min(high, max(low, round(width * height * _BITS_PER_PIXEL_PER_S)))


class LiveKitPublisher:
    """One connection to a room with one video track.

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
        self._source: rtc.VideoSource | None = None
        self._track: rtc.LocalVideoTrack | None = None
        self._shown: rtc.VideoFrame | None = None
        self._shown_anew = asyncio.Event()
        self._holder: asyncio.Task[None] | None = None
        self._leaving = False
        self.lost = asyncio.Event()
        self.lost_reason = ""
        self.flowing = asyncio.Event()
        self.pictures_captured = 0
        self.reconnects = 0

    async def connect(self, first: Frame) -> None:
        """Join, publish a track of the size of `first` and show it until it is on its way.

        Raises:
            PublishError: The room cannot be joined, or no picture left within the time-out.
        """
        self._room.on("disconnected", self._on_disconnected)
        self._room.on("reconnecting", self.flowing.clear)
        self._room.on("reconnected", self._on_reconnected)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await self._join(first)
                await self._until_first_picture_sent(first)
        except (rtc.ConnectError, PublishTrackError) as error:
            raise PublishError(f"cannot publish into the room: {type(error).__name__}") from None
        except TimeoutError:
            raise PublishError(
                f"no picture reached the room within {self._connect_timeout_s:g} s"
            ) from None

    async def _join(self, first: Frame) -> None:
        await self._room.connect(
            self._url, self._token.reveal(), rtc.RoomOptions(auto_subscribe=False)
        )
        self._source = rtc.VideoSource(first.width, first.height)
        self._track = rtc.LocalVideoTrack.create_video_track("video", self._source)
        await self._room.local_participant.publish_track(
            self._track,
            rtc.TrackPublishOptions(
                source=rtc.TrackSource.SOURCE_CAMERA,
                simulcast=False,
                video_codec=rtc.VideoCodec.VP8,
                video_encoding=rtc.VideoEncoding(
                    max_bitrate=bitrate_for(first.width, first.height),
                    max_framerate=_MAX_FRAMERATE,
                ),
                degradation_preference=DEGRADATION_PREFERENCE_MAINTAIN_RESOLUTION,
            ),
        )

    async def _until_first_picture_sent(self, first: Frame) -> None:
        """Pictures captured before the transport is up are lost: send none that counts."""
        while True:
            self.capture(first)
            await asyncio.sleep(HOLD_INTERVAL_S / 2)
            if (await self.statistics()).pictures_sent > 0:
                break
            if self.lost.is_set():
                raise PublishError(f"the room closed while joining: {self.lost_reason}")
        self.flowing.set()
        self._holder = asyncio.create_task(self._hold_picture(), name="hold-picture")

    def capture(self, frame: Frame) -> None:
        """Hand `frame` to the encoder; the SDK copies its pixels."""
        picture = rtc.VideoFrame(
            frame.width, frame.height, rtc.VideoBufferType.I420, _sdk_buffer(frame.data)
        )
        self._shown = picture
        self._shown_anew.set()
        self._send(picture)

    def _send(self, picture: rtc.VideoFrame) -> None:
        if self._source is None:
            msg = "connect first"
            raise RuntimeError(msg)
        self._source.capture_frame(picture)
        self.pictures_captured += 1

    async def _hold_picture(self) -> None:
        while True:
            self._shown_anew.clear()
            try:
                async with asyncio.timeout(HOLD_INTERVAL_S):
                    await self._shown_anew.wait()
            except TimeoutError:
                if self._shown is not None and self.flowing.is_set():
                    self._send(self._shown)

    async def statistics(self) -> SenderStatistics:
        """Read the sender's statistics; zeros until the sender has any.

        Raises:
            PublishError: The room is going down.
        """
        if self._track is None:
            msg = "connect first"
            raise RuntimeError(msg)
        try:
            entries = await self._track.get_stats()
        except Exception as error:  # noqa: BLE001 - the SDK raises nothing narrower
            raise PublishError(f"no sender statistics: {error}") from None
        for entry in entries:
            if entry.HasField("outbound_rtp"):
                sender = entry.outbound_rtp.outbound
                limit = sender.quality_limitation_reason
                return SenderStatistics(
                    pictures_sent=sender.frames_sent,
                    width=sender.frame_width,
                    height=sender.frame_height,
                    target_bitrate=sender.target_bitrate,
                    limited_by=QualityLimitationReason.Name(limit)
                    .removeprefix("LIMITATION_")
                    .lower(),
                    resolution_changes=sender.quality_limitation_resolution_changes,
                )
        return SenderStatistics(
            pictures_sent=0,
            width=0,
            height=0,
            target_bitrate=0.0,
            limited_by="none",
            resolution_changes=0,
        )

    async def leave(self) -> None:
        """Stop sending and leave the room; harmless when it is gone already."""
        self._leaving = True
        if self._holder is not None:
            self._holder.cancel()
            await asyncio.gather(self._holder, return_exceptions=True)
            self._holder = None
        await self._room.disconnect()
        if self._source is not None:
            await self._source.aclose()
            self._source = None

    def _on_disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        if self._leaving:
            return
        self.lost_reason = rtc.DisconnectReason.Name(reason).lower()
        _logger.info("the room is gone: %s", self.lost_reason)
        self.flowing.clear()
        self.lost.set()

    def _on_reconnected(self) -> None:
        self.reconnects += 1
        self.flowing.set()


def _sdk_buffer(data: bytes | bytearray | memoryview) -> bytes | bytearray:
    """The SDK wants the owner of the memory, not a view of it."""
    return data.tobytes() if isinstance(data, memoryview) else data
