"""What a few seconds of a camera's pictures say about it, without a socket or a clock."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

from overshoot_flow.media.frames import CaptureBasis
from overshoot_flow.media.passthrough import codec_refusal
from overshoot_flow.media.sampling import US_PER_S

ENOUGH_PICTURES: Final = 30
"""More than any codec reorders, and a second of most cameras."""

LARGEST_CLOCK_OFFSET_S: Final = 5.0
"""A camera whose wall clock is off by more has not been set; its time is not used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFacts:
    """One encoded picture, in decoding order.

    Attributes:
        pts_us: Its time stamp in µs of the camera's count, or None.
        arrival_us: When it came, in µs of UTC.
        ntp_us: Its capture time by the camera's sender reports in µs of UTC, or None.
        is_key_frame: Whether it can be decoded on its own.
    """

    pts_us: int | None
    arrival_us: int
    ntp_us: int | None
    is_key_frame: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraFacts:
    """What is known of a camera after watching it.

    Attributes:
        codec: FFmpeg's name of the codec, such as `h264`.
        width: Width in pixels, of a decoded picture.
        height: Height in pixels.
        fps: Pictures per second, measured; None when too few came.
        gop_pictures: Pictures from one key frame to the next, or None when no second one came.
        gop_s: The same in seconds of media time.
        pictures: How many pictures were watched.
        has_b_frames: Whether pictures are shown in another order than decoded.
        clock_basis: What capture times will rest on: `ntp` (sender reports) or `arrival`.
        clock_offset_s: The camera's wall clock minus ours by its sender reports, or None.
        passthrough_refusal: Why its pictures cannot be published as they are, or None.
    """

    codec: str
    width: int
    height: int
    fps: float | None
    gop_pictures: int | None
    gop_s: float | None
    pictures: int
    has_b_frames: bool
    clock_basis: CaptureBasis
    clock_offset_s: float | None
    passthrough_refusal: str | None


class CameraObservation:
    """Collects pictures until they say enough."""

    def __init__(self) -> None:
        self._pictures: list[PictureFacts] = []

    def take(self, picture: PictureFacts) -> None:
        """Take the next picture in decoding order."""
        self._pictures.append(picture)

    @property
    def is_enough(self) -> bool:
        """Whether more pictures would say no more."""
        return (
            len(self._pictures) >= ENOUGH_PICTURES
            and len(self._key_frames()) > 1
            and any(picture.ntp_us is not None for picture in self._pictures)
        )

    def facts(
        self,
        *,
        codec: str,
        width: int,
        height: int,
        announces_b_frames: bool,
        pixels_for: str | None,
    ) -> CameraFacts:
        """Sum up.

        Args:
            codec: FFmpeg's name of the codec.
            width: Width of a decoded picture.
            height: Its height.
            announces_b_frames: Whether the decoder saw that pictures are reordered.
            pixels_for: What in the fleet file needs decoded pictures, or None.
        """
        keys = self._key_frames()
        gop_pictures = keys[-1] - keys[-2] if len(keys) > 1 else None
        fps = self._fps()
        has_b_frames = announces_b_frames or self._is_reordered()
        offset_s = self._clock_offset_s()
        is_set = offset_s is not None and abs(offset_s) <= LARGEST_CLOCK_OFFSET_S
        return CameraFacts(
            codec=codec,
            width=width,
            height=height,
            fps=fps,
            gop_pictures=gop_pictures,
            gop_s=None if gop_pictures is None or fps is None else gop_pictures / fps,
            pictures=len(self._pictures),
            has_b_frames=has_b_frames,
            clock_basis="ntp" if is_set else "arrival",
            clock_offset_s=offset_s,
            passthrough_refusal=_passthrough_refusal(
                codec, has_b_frames=has_b_frames, pixels_for=pixels_for
            ),
        )

    def _key_frames(self) -> list[int]:
        return [index for index, each in enumerate(self._pictures) if each.is_key_frame]

    def _times_us(self) -> list[int]:
        return [each.pts_us for each in self._pictures if each.pts_us is not None]

    def _is_reordered(self) -> bool:
        return any(later <= earlier for earlier, later in pairwise(self._times_us()))

    def _fps(self) -> float | None:
        times_us = sorted(self._times_us())
        # The median, because a picture that was lost or a jump of the clock is no other rate.
        steps_us = [later - earlier for earlier, later in pairwise(times_us) if later > earlier]
        return US_PER_S / median(steps_us) if steps_us else None

    def _clock_offset_s(self) -> float | None:
        offsets_us = [
            each.ntp_us - each.arrival_us for each in self._pictures if each.ntp_us is not None
        ]
        return median(offsets_us) / US_PER_S if offsets_us else None


def _passthrough_refusal(codec: str, *, has_b_frames: bool, pixels_for: str | None) -> str | None:
    refusal = codec_refusal(codec)
    if refusal is not None:
        return refusal
    if has_b_frames:
        # WebRTC has no decoding times: they would be shown in decoding order.
        return "it has B-frames"
    return pixels_for
