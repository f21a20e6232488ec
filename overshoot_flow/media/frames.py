"""The unit of pixels that flows from a source to the publisher."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

CaptureBasis = Literal["ntp", "arrival", "media"]
"""Where a capture time comes from: the camera's clock, our clock on arrival, or media time only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One decoded picture in planar YUV 4:2:0 (I420).

    Attributes:
        stream_key: Key of the source partition that this frame belongs to.
        source: Where the video comes from, without credentials, for people to read.
        pts_us: Presentation time in µs of media time; the first picture of a file is at 0.
        duration_us: Time to the next sample of the plan, or the picture's own duration.
        captured_at_us: Wall clock of capture in µs of UTC since 1970, or None when unknown.
        capture_basis: What `captured_at_us` rests on.
        width: Width in pixels, even.
        height: Height in pixels, even.
        data: The Y, U and V planes one after another without padding:
            `width * height * 3 // 2` bytes.
    """

    stream_key: str
    source: str
    pts_us: int
    duration_us: int
    captured_at_us: int | None = None
    capture_basis: CaptureBasis = "media"
    width: int
    height: int
    data: bytes | bytearray | memoryview = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a buffer that is not exactly three packed planes."""
        expected = self.width * self.height * 3 // 2
        if self.width % 2 or self.height % 2 or len(self.data) != expected:
            msg = (
                f"an I420 frame of {self.width}x{self.height} needs even sizes and "
                f"{expected} bytes, got {len(self.data)}"
            )
            raise ValueError(msg)
