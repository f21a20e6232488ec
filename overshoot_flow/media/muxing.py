"""From access units to a video file, without encoding anew."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import av
import av.error

from overshoot_flow.errors import MediaError
from overshoot_flow.media.access_units import AccessUnit

MP4_MEDIA_TYPE: Final = "video/mp4"

_US: Final = Fraction(1, 1_000_000)


def mp4_of(units: Sequence[AccessUnit]) -> bytes:
    """Return an MP4 file of H.264 access units; its time begins with the first one.

    Args:
        units: Consecutive units of one size, at least one, the first a key frame.

    Raises:
        MediaError: They cannot be written.
    """
    first = units[0]
    file = io.BytesIO()
    try:
        with av.open(file, "w", format="mp4") as container:
            track = container.add_mux_stream(
                first.codec, rate=None, width=first.width, height=first.height
            )
            track.time_base = _US
            for unit in units:
                packet = av.Packet(unit.data)
                packet.stream = track
                packet.time_base = _US
                packet.pts = packet.dts = unit.pts_us - first.pts_us
                packet.duration = unit.duration_us
                packet.is_keyframe = unit.is_keyframe
                container.mux(packet)
    except av.error.FFmpegError as error:
        detail = error.strerror or str(error)
        raise MediaError(f"{len(units)} pictures cannot become a video: {detail}") from error
    return file.getvalue()
