"""Jitter buffers: one that gives a picture out with its last packet, one for key frames alone.

aiortc's own waits for the first packet of the next picture, so the last picture of a video, and
each one of a slow video for a whole frame time, stays unseen. Receivers that are built on libwebrtc
go by the marker bit, as this one does.
"""

from __future__ import annotations

from typing import Any, Final

from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtp import RtpPacket

_CAPACITY: Final = 512
"""In packets: a key frame of half a megabyte fits."""

_START_CODE: Final = b"\0\0\0\1"
_NAL_TYPE_MASK: Final = 0x1F
_IDR_SLICE: Final = 5


class MarkerJitterBuffer(JitterBuffer):
    """aiortc's jitter buffer for video, which also heeds the marker bit."""

    def __init__(self) -> None:
        super().__init__(capacity=_CAPACITY, is_video=True)

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Take a packet; return whether a key frame is to be asked for, and a complete picture."""
        wants_key_frame, picture = super().add(packet)
        if picture is not None and not picture.data:
            # Padding that followed the marker: an empty packet would end the decoder.
            picture = None
        if picture is None:
            picture = self._marked_picture()
        return wants_key_frame, picture

    def _marked_picture(self) -> JitterFrame | None:
        if self._origin is None:
            return None
        payload: list[bytes] = []
        for count in range(self.capacity):
            packet: Any = self._packets[(self._origin + count) % self.capacity]
            if packet is None:
                return None
            payload.append(packet._data)  # noqa: SLF001 - where aiortc keeps the depacketized payload
            if packet.marker:
                picture = JitterFrame(data=b"".join(payload), timestamp=packet.timestamp)
                self.remove(count + 1)
                return picture
        return None


class KeyFrameJitterBuffer(MarkerJitterBuffer):
    """Gives out key frames alone, so that nothing else is decoded."""

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Take a packet; return whether a key frame is to be asked for, and a key frame."""
        wants_key_frame, picture = super().add(packet)
        if picture is not None and not is_key_frame(picture.data):
            picture = None
        return wants_key_frame, picture


def is_key_frame(data: bytes) -> bool:
    """Say whether a picture as aiortc assembles it, H.264 or VP8, depends on no other."""
    if not data.startswith(_START_CODE):
        # VP8: the first bit of a key frame is 0.
        return bool(data) and not data[0] & 1
    return any(unit[0] & _NAL_TYPE_MASK == _IDR_SLICE for unit in data.split(_START_CODE) if unit)


def replace_jitter_buffer(receiver: Any, *, key_frames_only: bool) -> None:  # noqa: ANN401 - aiortc's receiver, whose buffer has no public name
    """Give `receiver` a buffer of ours, before its first packet."""
    kind = KeyFrameJitterBuffer if key_frames_only else MarkerJitterBuffer
    receiver._RTCRtpReceiver__jitter_buffer = kind()  # noqa: SLF001 - see above
