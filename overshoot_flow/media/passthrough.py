"""Whether a stream's access units can be published as they are."""

from __future__ import annotations

from typing import Final

from overshoot_flow.media.annex_b import EncodedPictureData
from overshoot_flow.media.bitstream import is_b_picture

PROBED_PICTURES: Final = 120
"""Pictures in presentation order after which a stream that promises nothing counts as in order."""


def codec_refusal(codec: str) -> str | None:
    """Say why video of `codec` (FFmpeg's name) must be decoded, or None.

    H.265 is decoded: LiveKit's SDK takes it, but a receiver that did not negotiate it gets no
    picture at all, and the service promises nothing about it.
    """
    return None if codec == "h264" else f"{codec} is not known to be taken by the service"


class PassthroughCheck:
    """Watches an H.264 stream for pictures that are shown in another order than decoded.

    WebRTC has no decoding times: reordered pictures would be shown in decoding order.
    """

    def __init__(self) -> None:
        self._newest_pts_us: int | None = None
        self._pictures = 0
        self._rules_out_reordering = False
        self.refusal: str | None = None
        """Why the stream must be decoded, or None so far. It never becomes None again."""

    @property
    def settled(self) -> bool:
        """Whether the answer will not change unless the stream does.

        Until then a careful caller decodes.
        """
        return (
            self.refusal is not None
            or self._rules_out_reordering
            or self._pictures >= PROBED_PICTURES
        )

    def observe(self, picture: EncodedPictureData, pts_us: int) -> str | None:
        """Take the next picture in decoding order; return `refusal`."""
        self._pictures += 1
        parameters = picture.parameters
        if parameters is not None:
            self._rules_out_reordering = parameters.reorders is False
        if self.refusal is None:
            if parameters is not None and parameters.reorders:
                self.refusal = "its parameters announce reordered pictures (B-frames)"
            elif self._newest_pts_us is not None and pts_us <= self._newest_pts_us:
                self.refusal = "its pictures are not in presentation order"
            elif is_b_picture(picture.data):
                self.refusal = "it has B-frames"
        self._newest_pts_us = pts_us
        return self.refusal
