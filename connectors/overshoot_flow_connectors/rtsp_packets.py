"""A camera's packets with their times, one for each picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from av.packet import Packet
from av.video.stream import VideoStream

from overshoot_flow.media.bitstream import continues_idr_picture, idr_slices


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedPacket:
    """One encoded picture as it came.

    Attributes:
        packet: The access unit, in Annex B where the codec has it.
        pts_us: Its time stamp in µs of the camera's count, or None.
        arrival_us: When it came, in µs of UTC.
        ntp_us: Its capture time by the camera's sender reports in µs of UTC, or None.
    """

    packet: Packet[VideoStream]
    pts_us: int | None
    arrival_us: int
    ntp_us: int | None


class PictureJoiner:
    """Joins the parts of a key frame that the demuxer has cut at repeated parameter sets.

    Some servers (GStreamer's payloader with `config-interval=-1`) repeat the parameter sets before
    every slice of a key frame, and FFmpeg takes each repetition for the beginning of a picture. A
    camera does it always or never: where its first key frame came in one piece, nothing is held
    back any more.

    Args:
        codec: How the stream is encoded, by FFmpeg's name.
    """

    def __init__(self, codec: str) -> None:
        self._watches = codec == "h264"
        self._has_joined = False
        self._held: TimedPacket | None = None

    def take(self, timed: TimedPacket) -> Sequence[TimedPacket]:
        """Take the next packet; return those that are complete by now."""
        if not self._watches:
            return (timed,)
        held, self._held = self._held, None
        if held is not None:
            if continues_idr_picture(bytes(timed.packet)):
                self._has_joined = True
                self._held = _joined(held, timed)
                return ()
            self._watches = self._has_joined
        complete = () if held is None else (held,)
        if self._watches and timed.packet.is_keyframe:
            self._held = timed
            return complete
        return (*complete, timed)


def _joined(first: TimedPacket, second: TimedPacket) -> TimedPacket:
    packet = Packet(bytes(first.packet) + idr_slices(bytes(second.packet)))
    packet.pts = first.packet.pts
    packet.is_keyframe = True
    packet.is_corrupt = first.packet.is_corrupt or second.packet.is_corrupt
    return replace(
        first,
        packet=cast("Packet[VideoStream]", packet),
        pts_us=second.pts_us if first.pts_us is None else first.pts_us,
        ntp_us=second.ntp_us if first.ntp_us is None else first.ntp_us,
    )
