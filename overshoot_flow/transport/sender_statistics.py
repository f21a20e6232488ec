"""What WebRTC says it sent."""

from __future__ import annotations

from dataclasses import dataclass

from livekit import rtc
from livekit.rtc._proto.stats_pb2 import QualityLimitationReason

from overshoot_flow.errors import PublishError
from overshoot_flow.protocol.key_frames import KeyFrameStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderStatistics:
    """What the sender counts; pictures include those that were repeated.

    `key_frames` is set when encoded video is published as it is.
    """

    pictures_sent: int
    width: int
    height: int
    target_bitrate: float
    limited_by: str
    resolution_changes: int
    key_frames: KeyFrameStatistics | None = None


NOTHING_SENT = SenderStatistics(
    pictures_sent=0,
    width=0,
    height=0,
    target_bitrate=0.0,
    limited_by="none",
    resolution_changes=0,
)


async def read_statistics(
    track: rtc.LocalVideoTrack, key_frames: KeyFrameStatistics | None
) -> SenderStatistics:
    """Read the statistics of a LiveKit track; zeros until the sender has any.

    Raises:
        PublishError: The room is going down.
    """
    try:
        entries = await track.get_stats()
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
                limited_by=QualityLimitationReason.Name(limit).removeprefix("LIMITATION_").lower(),
                resolution_changes=sender.quality_limitation_resolution_changes,
                key_frames=key_frames,
            )
    return NOTHING_SENT
