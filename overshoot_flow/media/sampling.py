"""Sampling plans: which pictures of a video are looked at, as pure values.

A plan decides about one picture from three facts alone: when it appears on screen, when the next
one replaces it, and whether it is a key frame. It has no memory, so a run that resumes in the
middle of a file picks exactly the pictures that an uninterrupted run picks.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import ClassVar, Final, Protocol

from overshoot_flow.errors import ConfigurationError

US_PER_S: Final = 1_000_000

CLOCK_TOLERANCE_US: Final = 1_000
"""How much earlier than its pts a picture counts as on screen.

Matroska, WebM and FLV round every pts to 1 ms. Without the tolerance a picture that is 0.4 ms
"late" by that rounding would lose its grid point to its predecessor.
"""


class SamplingPlan(Protocol):
    """Chooses pictures on the media-time axis."""

    key_frames_only: ClassVar[bool]
    """Whether exactly the key frames are wanted."""

    def wants(self, pts_us: int, next_pts_us: int, *, is_key_frame: bool) -> bool:
        """Say whether the picture on screen during `[pts_us, next_pts_us)` is a sample.

        Args:
            pts_us: Media time in µs at which the picture appears.
            next_pts_us: Media time of the next picture, or the end of the media for the last one.
            is_key_frame: Whether the picture can be decoded on its own.
        """
        ...

    def next_wanted_us(self, after_us: int) -> int | None:
        """Return the first moment after `after_us` that asks for a picture, in µs of media time.

        A reader may skip unseen what is replaced before that moment. None means that nothing may
        be skipped on this ground.
        """
        ...


@dataclass(frozen=True, slots=True)
class EveryFrame:
    """Every picture is a sample."""

    key_frames_only: ClassVar[bool] = False

    def wants(self, pts_us: int, next_pts_us: int, *, is_key_frame: bool) -> bool:  # noqa: ARG002 - the protocol's signature
        """Want the picture."""
        return True

    def next_wanted_us(self, after_us: int) -> int | None:  # noqa: ARG002 - the protocol's signature
        """Allow no skipping."""
        return None


@dataclass(frozen=True, slots=True)
class Keyframes:
    """Every key frame is a sample; the cheapest plan, at the rhythm the encoder chose."""

    key_frames_only: ClassVar[bool] = True

    def wants(self, pts_us: int, next_pts_us: int, *, is_key_frame: bool) -> bool:  # noqa: ARG002 - the protocol's signature
        """Want the picture if it is a key frame."""
        return is_key_frame

    def next_wanted_us(self, after_us: int) -> int | None:  # noqa: ARG002 - the protocol's signature
        """Ask for no moment: key frames are wanted for what they are."""
        return None


@dataclass(frozen=True, slots=True)
class FramesPerSecond:
    """Samples on the grid `k / fps` seconds of media time, `k = 0, 1, 2, …`.

    A grid point is answered by the picture on screen at that time: the last one whose pts is at
    most `CLOCK_TOLERANCE_US` (exclusive) after it. The first picture of a file is at 0, so no
    grid point lies before it; grid points at or after the end of the media have no answer. A
    picture that answers several grid points (variable frame rate, or `fps` above the file's own
    rate) is one sample. Arithmetic is exact: the grid does not drift however long the file is.

    Args:
        fps: Samples per second of media time, above 0. A float is read as the decimal number it
            prints as (0.1 is exactly one tenth); write `Fraction(1, 3)` for thirds.

    Raises:
        ConfigurationError: `fps` is not a finite number above 0.
    """

    key_frames_only: ClassVar[bool] = False
    fps: Fraction

    def __init__(self, fps: float | str | Decimal | Fraction) -> None:
        try:
            rate = Fraction(str(fps)) if isinstance(fps, float) else Fraction(fps)
        except (ValueError, TypeError, OverflowError, ZeroDivisionError):
            rate = Fraction(0)
        if rate <= 0:
            raise ConfigurationError(f"frames per second must be a number above 0, not {fps!r}")
        object.__setattr__(self, "fps", rate)

    @property
    def interval_us(self) -> Fraction:
        """Distance of two grid points in µs, exact."""
        return US_PER_S / self.fps

    def wants(self, pts_us: int, next_pts_us: int, *, is_key_frame: bool) -> bool:  # noqa: ARG002 - the protocol's signature
        """Want the picture if a grid point falls while it is on screen."""
        grid_us = self.next_wanted_us(pts_us - CLOCK_TOLERANCE_US)
        return grid_us <= next_pts_us - CLOCK_TOLERANCE_US

    def next_wanted_us(self, after_us: int) -> int:
        """Return the first grid point after `after_us`, rounded up to whole µs."""
        numerator, denominator = self.fps.numerator, self.fps.denominator * US_PER_S
        index = max(0, after_us * numerator // denominator + 1)
        return -(-index * denominator // numerator)
