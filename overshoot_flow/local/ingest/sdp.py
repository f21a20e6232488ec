"""What must be added to aiortc's session descriptions. Pure text."""

from __future__ import annotations

import re
from typing import Final

_BITRATES: Final = "x-google-start-bitrate=4000;x-google-min-bitrate=1500;x-google-max-bitrate=8000"
_H264_FORMAT: Final = re.compile(r"(a=fmtp:\d+ [^\r\n]*profile-level-id[^\r\n]*)")
_VP8_MAP: Final = re.compile(r"(a=rtpmap:(\d+) VP8/90000)")
_STREAM_IDS: Final = re.compile(r"a=msid:\S+ \S+")


def with_start_bitrate(sdp: str) -> str:
    """Let a libwebrtc sender start at full size instead of probing its way up.

    aiortc sends no transport-wide feedback, so a sender's estimate starts low and rises slowly:
    without these hints a quarter of the first seconds' pictures is dropped. Bitrates are in
    kbit/s, and the sender's own maximum still holds.
    """
    sdp = _H264_FORMAT.sub(rf"\1;{_BITRATES}", sdp)
    return _VP8_MAP.sub(rf"\1\r\na=fmtp:\2 {_BITRATES}", sdp)


def with_stream_ids(sdp: str, participant_sid: str, track_sid: str) -> str:
    """Name the one offered track so that LiveKit's SDKs find whose track it is."""
    return _STREAM_IDS.sub(f"a=msid:{participant_sid}|{track_sid} {track_sid}", sdp)
