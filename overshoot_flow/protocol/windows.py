"""Windows over media time: which stretches are asked about, and which pictures each one holds.

Window `k` of `Windows(length, stride)` is `[k * stride, k * stride + length)`, whatever the frame
rate is and wherever a run resumes. The last window of a medium is the first one that reaches its
end; it is cut there, so it has its true length. Those that would begin after it lie inside it and
are not asked. All arithmetic is exact.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Generic, Protocol, TypeVar

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.media.sampling import CLOCK_TOLERANCE_US, US_PER_S
from overshoot_flow.protocol.media_map import Picture

MAX_OVERLAP: Final = 1_000
"""Windows that may be open at one moment."""


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A stretch `[start_us, end_us)` of media time in µs."""

    start_us: int
    end_us: int


class WindowPlan(Protocol):
    """Says which windows a picture belongs to; a value without memory."""

    def windows_of(self, pts_us: int, duration_us: int) -> Sequence[Window]:
        """Return the windows that hold the picture at `pts_us`, by their start."""
        ...

    def last_start_us(self, end_us: int) -> int:
        """Return where the last window of a medium that ends at `end_us` begins."""
        ...

    def choose(self, window: Window, pts_us: Sequence[int]) -> Sequence[int]:
        """Return the positions in `pts_us` of the pictures that are to be looked at."""
        ...


@dataclass(frozen=True, slots=True, init=False)
class Windows:
    """Windows of a fixed length at a fixed distance.

    Args:
        length_s: Length of a window in seconds.
        stride_s: Distance of two starts in seconds; None is `length_s`: neither overlap nor gap.
        max_fps: Pictures per second of a window that are looked at, or None for all.

    Raises:
        ConfigurationError: A value is no number above 0, or more than `MAX_OVERLAP` windows would
            hold the same picture.
    """

    length_us: Fraction
    stride_us: Fraction
    max_fps: Fraction | None

    def __init__(
        self,
        length_s: float | str | Fraction,
        stride_s: float | str | Fraction | None = None,
        max_fps: float | str | Fraction | None = None,
    ) -> None:
        length_us = _positive("length_s", length_s) * US_PER_S
        stride_us = length_us if stride_s is None else _positive("stride_s", stride_s) * US_PER_S
        if length_us < 1 or stride_us < 1:
            raise ConfigurationError("length_s and stride_s must be at least 1 µs")
        if length_us / stride_us > MAX_OVERLAP:
            raise ConfigurationError(
                f"windows of {length_s} s every {stride_s} s overlap more than {MAX_OVERLAP} "
                "times; lengthen the stride"
            )
        object.__setattr__(self, "length_us", length_us)
        object.__setattr__(self, "stride_us", stride_us)
        fps = None if max_fps is None else _positive("max_fps", max_fps)
        object.__setattr__(self, "max_fps", fps)

    def window(self, index: int) -> Window:
        """Return window number `index`, from 0."""
        start_us = index * self.stride_us
        # Rounding both bounds up keeps every whole µs in the windows that it is in exactly.
        return Window(_up(start_us), _up(start_us + self.length_us))

    def windows_of(self, pts_us: int, duration_us: int = 0) -> Sequence[Window]:  # noqa: ARG002 - the protocol's signature
        """Return the windows that hold the moment `pts_us`, none before 0."""
        first = max(0, (pts_us - self.length_us) // self.stride_us + 1)
        return [self.window(index) for index in range(first, pts_us // self.stride_us + 1)]

    def last_start_us(self, end_us: int) -> int:
        """Return the start of the first window that reaches `end_us`, or of the last before it."""
        index = max(0, _up((end_us - self.length_us) / self.stride_us))
        if index * self.stride_us >= end_us:
            # The medium ends between two windows.
            index = max(0, index - 1)
        return self.window(index).start_us

    def until(self, end_us: int) -> Iterator[Window]:
        """Yield every window of a medium of `end_us` µs, the last one cut."""
        if end_us <= 0:
            return
        last_start_us = self.last_start_us(end_us)
        index = 0
        while (window := self.window(index)).start_us <= last_start_us:
            yield Window(window.start_us, min(window.end_us, end_us))
            index += 1

    def choose(self, window: Window, pts_us: Sequence[int]) -> Sequence[int]:
        """Choose the first picture of every `1 / max_fps` seconds from the window's start on."""
        if self.max_fps is None:
            return range(len(pts_us))
        chosen: list[int] = []
        newest = -1
        for position, moment_us in enumerate(pts_us):
            # The same tolerance for containers' rounding as in sampling.
            slot = (
                int((moment_us - window.start_us + CLOCK_TOLERANCE_US) * self.max_fps) // US_PER_S
            )
            if slot > newest:
                chosen.append(position)
                newest = slot
        return chosen


@dataclass(frozen=True, slots=True, init=False)
class Interval:
    """One picture every so often: the first one of each `[k * every, (k + 1) * every)`.

    Args:
        every_s: The distance in seconds.

    Raises:
        ConfigurationError: It is no number above 0.
    """

    grid: Windows

    def __init__(self, every_s: float | str | Fraction) -> None:
        object.__setattr__(self, "grid", Windows(every_s))

    def windows_of(self, pts_us: int, duration_us: int = 0) -> Sequence[Window]:
        """Return the one window that holds the moment `pts_us`."""
        return self.grid.windows_of(pts_us, duration_us)

    def last_start_us(self, end_us: int) -> int:
        """Return the start of the window that holds the end."""
        return self.grid.last_start_us(end_us)

    def choose(self, window: Window, pts_us: Sequence[int]) -> Sequence[int]:  # noqa: ARG002 - the protocol's signature
        """Choose the first picture."""
        return range(min(1, len(pts_us)))


@dataclass(frozen=True, slots=True)
class EveryFrame:
    """Every picture is a window of its own, as long as it is on screen."""

    def windows_of(self, pts_us: int, duration_us: int) -> Sequence[Window]:
        """Return the picture's own window."""
        return (Window(pts_us, pts_us + max(1, duration_us)),)

    def last_start_us(self, end_us: int) -> int:
        """Return the end: every window before it is asked."""
        return end_us

    def choose(self, window: Window, pts_us: Sequence[int]) -> Sequence[int]:  # noqa: ARG002 - the protocol's signature
        """Choose the picture."""
        return range(len(pts_us))


@dataclass(frozen=True, slots=True)
class Shifted:
    """Another plan's windows for a medium that begins at `origin_us` instead of 0."""

    plan: WindowPlan
    origin_us: int

    def windows_of(self, pts_us: int, duration_us: int) -> Sequence[Window]:
        """Return the windows that hold the picture, none before the origin."""
        windows = self.plan.windows_of(pts_us - self.origin_us, duration_us)
        return [self._moved(window, self.origin_us) for window in windows]

    def last_start_us(self, end_us: int) -> int:
        """Return where the last window of a medium that ends at `end_us` begins."""
        return self.plan.last_start_us(end_us - self.origin_us) + self.origin_us

    def choose(self, window: Window, pts_us: Sequence[int]) -> Sequence[int]:
        """Choose as the other plan does."""
        moved = self._moved(window, -self.origin_us)
        return self.plan.choose(moved, [moment_us - self.origin_us for moment_us in pts_us])

    @staticmethod
    def _moved(window: Window, by_us: int) -> Window:
        return Window(window.start_us + by_us, window.end_us + by_us)


def from_origin(plan: WindowPlan, origin_us: int) -> WindowPlan:
    """Return `plan` for a medium that begins at `origin_us`."""
    return Shifted(plan, origin_us) if origin_us else plan


P = TypeVar("P", bound=Picture)


@dataclass(frozen=True, slots=True)
class FilledWindow(Generic[P]):
    """A window that is over.

    Attributes:
        window: The stretch; at the end of a medium with its true length.
        pictures: Every picture that begins in it, oldest first; at least one.
        chosen: Those of them that are to be looked at.
    """

    window: Window
    pictures: tuple[P, ...]
    chosen: tuple[P, ...]


class WindowAssembler(Generic[P]):
    """Puts pictures, which come in the order of their pts, into their windows.

    A window without a picture is never asked about, so it does not appear.

    Args:
        plan: Which windows there are.
    """

    def __init__(self, plan: WindowPlan) -> None:
        self._plan = plan
        self._open: dict[Window, list[P]] = {}
        self._newest_pts_us: int | None = None

    def push(self, picture: P) -> list[FilledWindow[P]]:
        """Take the next picture; return the windows that are over with its coming.

        Raises:
            ValueError: It does not come after the one before.
        """
        if self._newest_pts_us is not None and picture.pts_us <= self._newest_pts_us:
            msg = f"a picture at {picture.pts_us} µs came after one at {self._newest_pts_us} µs"
            raise ValueError(msg)
        self._newest_pts_us = picture.pts_us
        over = [window for window in self._open if window.end_us <= picture.pts_us]
        filled = [self._close(window, window.end_us) for window in over]
        for window in self._plan.windows_of(picture.pts_us, picture.duration_us):
            self._open.setdefault(window, []).append(picture)
        return filled

    def finish(self, end_us: int) -> list[FilledWindow[P]]:
        """Return the windows that the end of the medium at `end_us` closes, with true lengths."""
        last_start_us = self._plan.last_start_us(end_us)
        closing = [window for window in self._open if window.start_us <= last_start_us]
        filled = [self._close(window, min(window.end_us, end_us)) for window in closing]
        self._open.clear()
        return filled

    @property
    def open_pictures(self) -> int:
        """How many pictures are held for windows that are not over."""
        held = {picture.pts_us for pictures in self._open.values() for picture in pictures}
        return len(held)

    def _close(self, window: Window, end_us: int) -> FilledWindow[P]:
        pictures = self._open.pop(window)
        positions = self._plan.choose(window, [picture.pts_us for picture in pictures])
        return FilledWindow(
            Window(window.start_us, end_us),
            tuple(pictures),
            tuple(pictures[position] for position in positions),
        )


Item = TypeVar("Item")


def evenly(items: Sequence[Item], limit: int) -> tuple[Item, ...]:
    """Return at most `limit` of `items`, evenly spread, the first and the last among them.

    Of a window that is too much for a model this keeps what shows most of it; a limit of 1 keeps
    the middle one.
    """
    count = len(items)
    if count <= limit:
        return tuple(items)
    if limit == 1:
        return (items[count // 2],)
    return tuple(items[round(Fraction(i * (count - 1), limit - 1))] for i in range(limit))


def window_result_id(
    source_identity: str,
    window: Window,
    *,
    prompt_version: str,
    model: str,
    output_schema: Mapping[str, Any] | None,
) -> str:
    """Return 32 hex digits that are the same whenever the same is asked about the same video.

    Neither the API's generation nor the way the video takes is part of it.

    Args:
        source_identity: What the video is, such as a file's digest.
        window: The stretch with its true length.
        prompt_version: The prompt and everything else that makes the question.
        model: Model id.
        output_schema: JSON Schema of the answer, or None.
    """
    about = [
        source_identity,
        window.start_us,
        window.end_us,
        prompt_version,
        model,
        output_schema,
    ]
    canonical = json.dumps(about, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def _positive(name: str, value: float | str | Fraction) -> Fraction:
    try:
        # A float means the decimal number that it prints as.
        number = Fraction(str(value)) if isinstance(value, float) else Fraction(value)
    except (ValueError, TypeError, OverflowError, ZeroDivisionError):
        number = Fraction(0)
    if number <= 0:
        raise ConfigurationError(f"{name} must be a number above 0, not {value!r}")
    return number


def _up(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)
