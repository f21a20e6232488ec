"""A LiveKit track of pixels, which WebRTC encodes.

WebRTC adapts to the bandwidth it believes in; left alone it halves the resolution and nobody
notices. So one layer at full resolution is asked for, with a bitrate that fits the size. Under
pressure frames are dropped instead, which the statistics count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from livekit import rtc
from livekit.rtc._proto.room_pb2 import DEGRADATION_PREFERENCE_MAINTAIN_RESOLUTION

from overshoot_flow.media.frames import Frame

HOLD_INTERVAL_S: Final = 0.066
"""A picture without a successor is sent again this often. A receiver's jitter buffer gives a
picture out only when the next one begins, and a silent sender looks like a lost one."""

_PAUSE_POLL_S: Final = 0.02
_BITS_PER_PIXEL_PER_S: Final = 4.0
_BITRATE_RANGE: Final = (800_000, 12_000_000)
_MAX_FRAMERATE: Final = 60.0


def bitrate_for(width: int, height: int) -> int:
    """Return the bits per second at which small text stays readable at this size."""
    low, high = _BITRATE_RANGE
    return min(high, max(low, round(width * height * _BITS_PER_PIXEL_PER_S)))


@dataclass(slots=True)
class Repeats:
    """How a picture without a successor is repeated; whoever made it may change it at any time.

    Attributes:
        interval_s: It is sent again this often.
        paused: Whether it is not sent again at all.
    """

    interval_s: float = HOLD_INTERVAL_S
    paused: bool = False


class RawTrack:
    """A track of the size of `first`.

    Args:
        first: The first picture.
        repeats: How pictures are repeated.
        on_captured: Called after every hand-over to the encoder, repeated pictures included.

    Attributes:
        track: The SDK's track.
        options: How it is to be published.
        pictures_captured: Pictures handed to the encoder, repeated ones included.
    """

    key_frames = None
    """A raw track makes key frames whenever it is asked."""
    awaits_key_frame = False

    def __init__(
        self, first: Frame, repeats: Repeats, on_captured: Callable[[], None] = lambda: None
    ) -> None:
        self._repeats = repeats
        self._on_captured = on_captured
        self._source = rtc.VideoSource(first.width, first.height)
        self._shown: rtc.VideoFrame | None = None
        self._shown_anew = asyncio.Event()
        self.pictures_captured = 0
        self.track = rtc.LocalVideoTrack.create_video_track("video", self._source)
        self.options = rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_CAMERA,
            simulcast=False,
            video_codec=rtc.VideoCodec.VP8,
            video_encoding=rtc.VideoEncoding(
                max_bitrate=bitrate_for(first.width, first.height),
                max_framerate=_MAX_FRAMERATE,
            ),
            degradation_preference=DEGRADATION_PREFERENCE_MAINTAIN_RESOLUTION,
        )

    async def capture(self, frame: Frame) -> None:
        """Hand `frame` to the encoder; the SDK copies its pixels."""
        picture = rtc.VideoFrame(
            frame.width, frame.height, rtc.VideoBufferType.I420, _sdk_buffer(frame.data)
        )
        self._shown = picture
        self._shown_anew.set()
        self._send(picture)

    def _send(self, picture: rtc.VideoFrame) -> None:
        self._source.capture_frame(picture)
        self.pictures_captured += 1
        self._on_captured()

    async def attend(self, flowing: asyncio.Event) -> None:
        """Repeat a picture without a successor while `flowing` is set, until cancelled."""
        while True:
            self._shown_anew.clear()
            is_paused = self._repeats.paused
            # After a pause the full time passes before the first repetition.
            interval_s = _PAUSE_POLL_S if is_paused else self._repeats.interval_s
            try:
                async with asyncio.timeout(interval_s):
                    await self._shown_anew.wait()
            except TimeoutError:
                wanted = flowing.is_set() and not is_paused and not self._repeats.paused
                if self._shown is not None and wanted:
                    self._send(self._shown)

    def connection_renewed(self) -> None:
        """Nothing is lost for a raw track: the encoder begins anew by itself."""

    async def aclose(self) -> None:
        """Release the SDK's source."""
        await self._source.aclose()


def _sdk_buffer(data: bytes | bytearray | memoryview) -> bytes | bytearray:
    """The SDK wants the owner of the memory, not a view of it."""
    return data.tobytes() if isinstance(data, memoryview) else data
