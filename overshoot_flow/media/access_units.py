"""The unit of encoded video that flows from a source to the publisher without being decoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from overshoot_flow.media.frames import PICKLES, CaptureBasis, Frame

VideoCodec = Literal["h264", "h265"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessUnit:
    """One encoded picture, complete, as an Annex B byte stream.

    It stands where a `Frame` stands and has the same identity and times. Units of one stream come
    in decoding order, which is also presentation order: a stream whose pictures are reordered
    (B-frames) is decoded instead (see `media.passthrough`).

    Attributes:
        stream_key: Key of the source partition that this unit belongs to.
        source: Where the video comes from, without credentials, for people to read.
        pts_us: Presentation time in µs of media time.
        duration_us: Time to the next picture in µs.
        captured_at_us: Wall clock of capture in µs of UTC since 1970, or None when unknown.
        capture_basis: What `captured_at_us` rests on.
        codec: How `data` is encoded.
        width: Width in pixels as decoded.
        height: Height in pixels as decoded.
        is_keyframe: Whether a decoder can begin here: an IDR picture (H.265: an IRAP picture) with
            its parameter sets in `data`.
        data: The NAL units with their start codes.
    """

    stream_key: str
    source: str
    pts_us: int
    duration_us: int
    captured_at_us: int | None = None
    capture_basis: CaptureBasis = "media"
    codec: VideoCodec
    width: int
    height: int
    is_keyframe: bool
    data: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse what is no Annex B access unit of a size."""
        if self.width <= 0 or self.height <= 0:
            msg = f"an access unit of {self.width}x{self.height} pixels cannot be"
            raise ValueError(msg)
        if not self.data.startswith((b"\x00\x00\x01", b"\x00\x00\x00\x01")):
            msg = "an access unit begins with an Annex B start code"
            raise ValueError(msg)

    def __reduce__(self) -> tuple[Any, ...]:
        """Refuse to be pickled, as `Frame` does.

        Raises:
            ConfigurationError: Always; the text says what to do.
        """
        raise PICKLES.refuse()


Picture: TypeAlias = Frame | AccessUnit
"""What can be published: pixels, or an encoded picture."""


def needs_predecessor(picture: Picture) -> bool:
    """Whether `picture` can be shown only to a receiver that has the pictures before it."""
    return isinstance(picture, AccessUnit) and not picture.is_keyframe
