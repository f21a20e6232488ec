"""The unit of pixels that flows from a source to the publisher."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from overshoot_flow.errors import ConfigurationError

CaptureBasis = Literal["ntp", "arrival", "media"]
"""Where a capture time comes from: the camera's clock, our clock on arrival, or media time only."""


@dataclass(slots=True)
class PickleGuard:
    """Counts the frames that something wanted to pickle.

    The engine does it with whatever crosses processes, and forgets the exception that it gets.
    """

    refused: int = 0

    def refuse(self) -> ConfigurationError:
        """Count one, and return what to say."""
        self.refused += 1
        return self.explanation()

    def explanation(self) -> ConfigurationError:
        """Say what to do."""
        return ConfigurationError(
            "a frame was about to leave its process: pixels stay where they are decoded. An "
            "operator between the source and infer exchanges items or keeps them as state "
            "(key_on with a stateful operator or a sink, redistribute): use map_frames and "
            "filter_frames there, or pass on what you made of the frame instead of the frame"
        )


PICKLES: Final = PickleGuard()
"""The guard of this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One decoded picture in planar YUV 4:2:0 (I420). It refuses to be pickled.

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

    def __reduce__(self) -> tuple[Any, ...]:
        """Refuse to be pickled: a frame of 1080p is 3 MB, and the engine pickles it twice.

        Raises:
            ConfigurationError: Always; the text says what to do.
        """
        raise PICKLES.refuse()
