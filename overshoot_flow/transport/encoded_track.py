"""A LiveKit track of pictures that are encoded already.

One access unit that is left out makes every following one useless until the next key frame. With
LiveKit's SDK 1.2.1 that was seen to happen when two units are handed over within the same moment:
the encoder's queue keeps the newer one only. So units keep a least distance. A bandwidth that is
believed to be too small was not seen to leave any out (9 Mbit/s at an estimate of 2 Mbit/s).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from livekit import rtc
from livekit.rtc._proto.room_pb2 import ENCODER_BACKEND_PRE_ENCODED
from livekit.rtc._proto.video_frame_pb2 import ENCODED_FRAME_DELTA, ENCODED_FRAME_KEY

from overshoot_flow.errors import ConfigurationError, PublishError
from overshoot_flow.media.access_units import AccessUnit
from overshoot_flow.protocol.key_frames import KeyFrameGate, KeyFrameStatistics

LEAST_DISTANCE_S: Final = 0.004
"""Between two units. 2 ms were seen to be enough; none at all lost most units of every burst."""

_FEEDBACK_INTERVAL_S: Final = 0.2
"""Nothing is done but counting: asking more often was an eighth of all the work per camera."""
_MAX_BITRATE: Final = 50_000_000
_MAX_FRAMERATE: Final = 120.0
"""Far above what a camera sends: nothing can be done to keep below a bound here."""

_US_PER_S: Final = 1_000_000


class EncodedTrack:
    """A track that sends access units as they are.

    Args:
        first: The key frame that the track begins with.
        on_captured: Called after every hand-over to the sender.

    Attributes:
        track: The SDK's track.
        options: How it is to be published.
        pictures_captured: Access units handed to the sender.

    Raises:
        ConfigurationError: The codec cannot be published without decoding.
    """

    def __init__(self, first: AccessUnit, on_captured: Callable[[], None] = lambda: None) -> None:
        self._on_captured = on_captured
        if first.codec != "h264":
            raise ConfigurationError(
                f"{first.codec} is not published as it is: the service is not known to take it; "
                "decode this source"
            )
        self._gate = KeyFrameGate()
        self._source = rtc.EncodedVideoSource(first.width, first.height)
        self._captured_at_s = float("-inf")
        self.pictures_captured = 0
        self.track = rtc.LocalVideoTrack.create_video_track("video", self._source)
        self.options = rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_CAMERA,
            simulcast=False,
            video_codec=rtc.VideoCodec.H264,
            video_encoder=ENCODER_BACKEND_PRE_ENCODED,
            video_encoding=rtc.VideoEncoding(
                max_bitrate=_MAX_BITRATE, max_framerate=_MAX_FRAMERATE
            ),
        )

    @property
    def key_frames(self) -> KeyFrameStatistics:
        """Key frames that the far side asked for."""
        return self._gate.statistics

    @property
    def awaits_key_frame(self) -> bool:
        """Whether nothing but a key frame can be shown."""
        return self._gate.is_closed

    async def capture(self, unit: AccessUnit) -> None:
        """Hand `unit` to the sender, which copies it.

        Raises:
            PublishError: The sender does not take it.
        """
        loop = asyncio.get_running_loop()
        early_s = self._captured_at_s + LEAST_DISTANCE_S - loop.time()
        if early_s > 0:
            await asyncio.sleep(early_s)
        now_s = self._captured_at_s = loop.time()
        self._gate.published(now_s, is_keyframe=unit.is_keyframe)
        accepted = unit.codec == "h264" and self._source.capture_frame(
            rtc.EncodedVideoFrame(
                data=unit.data,
                width=unit.width,
                height=unit.height,
                codec=rtc.VideoCodec.H264,
                frame_type=ENCODED_FRAME_KEY if unit.is_keyframe else ENCODED_FRAME_DELTA,
                timestamp_us=round(now_s * _US_PER_S),
            )
        )
        if not accepted:
            raise PublishError(f"the sender does not take an access unit of {unit.codec}")
        self.pictures_captured += 1
        self._on_captured()

    async def attend(self, _flowing: asyncio.Event) -> None:
        """Count what the far side asks for, until cancelled.

        A picture without a successor is not repeated, as a raw one is: an access unit decoded
        twice is another picture.
        """
        loop = asyncio.get_running_loop()
        while True:
            if self._source.take_feedback().keyframe_requested:
                self._gate.requested(loop.time())
            await asyncio.sleep(_FEEDBACK_INTERVAL_S)

    def connection_renewed(self) -> None:
        """The far side has lost what it had: only a key frame is of use now."""
        self._gate.close()

    async def aclose(self) -> None:
        """Release the SDK's source."""
        await self._source.aclose()
