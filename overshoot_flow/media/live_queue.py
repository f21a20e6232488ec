"""What a live camera's reader hands over: pictures and gaps that leave no moment out."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, replace
from typing import Final

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.media.access_units import AccessUnit, Picture, needs_predecessor
from overshoot_flow.media.frames import Frame
from overshoot_flow.results import GapReason

MAX_ADJACENT_GAPS: Final = 16
"""Gaps in a row, with no picture between, beyond which they become one (the first one's reason)."""

_NO_PICTURE: Final = (GapReason.STALLED, "no picture came")
_PIXELS_BEFORE: Final = (GapReason.NO_KEY_FRAME, "encoded pictures begin with a key frame")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveGap:
    """A stretch of a camera's media time without pictures.

    Attributes:
        start_us: Its start in µs of media time.
        end_us: Its end, after its start.
        reason: Why.
        detail: The same for people, without credentials.
        frames_lost: Pictures that were there and were given up.
    """

    start_us: int
    end_us: int
    reason: GapReason
    detail: str
    frames_lost: int = 0


class LiveQueue:
    """A bounded queue between a camera's thread and the engine; every method is thread-safe.

    What comes out covers media time from `start_us` to the end without a hole: where no picture
    is, there is a gap. Overflow policy: drop the oldest pictures, newest win; what is dropped
    becomes a gap and is counted. An access unit takes those that cannot be shown without it along:
    all up to the next key frame, whether they are here or still to come. The same holds after
    every other hole. The queue never makes anyone wait.

    Args:
        start_us: Media time at which the record begins; until the first picture it is a gap.
        first_gap: The reason of that gap, for as long as nothing else is known.
        max_frames: Bound in frames.
        max_bytes: Bound in bytes of both kinds of pictures; one frame always fits.
        max_access_units: Bound in access units.
        report_us: A gap that lasts longer is handed over in parts of this length.

    Raises:
        ConfigurationError: A bound is below 1.
    """

    def __init__(
        self,
        start_us: int,
        *,
        max_frames: int,
        max_bytes: int,
        max_access_units: int = 100,
        report_us: int = 60_000_000,
        first_gap: GapReason = GapReason.OUTAGE,
    ) -> None:
        if min(max_frames, max_bytes, max_access_units, report_us) < 1:
            raise ConfigurationError("the bounds of a camera's queue must be at least 1")
        self._lock = threading.Lock()
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._max_access_units = max_access_units
        self._report_us = report_us
        self._items: deque[Picture | LiveGap] = deque()
        self._frames = self._access_units = self._bytes = 0
        self._covered_us = start_us
        self._loss: tuple[GapReason, str] | None = (first_gap, "not connected yet")
        self._pause: tuple[GapReason, str] | None = None
        # Why access units are of no use before the next key frame; None where they are.
        self._broken: tuple[GapReason, str] | None = self._loss
        self._is_over = False
        self._given_up: Counter[str] = Counter()

    @property
    def given_up(self) -> Counter[str]:
        """How many pictures were given up, by reason."""
        with self._lock:
            return self._given_up.copy()

    @property
    def exhausted(self) -> bool:
        """Whether the record has ended and is handed over."""
        with self._lock:
            return self._is_over and not self._items

    def put(self, picture: Picture) -> None:
        """Add a picture; a hole before it becomes a gap. One of the past is left out."""
        end_us = picture.pts_us + max(1, picture.duration_us)
        with self._lock:
            if not self._takes(picture.pts_us, end_us):
                return
            if picture.pts_us > self._covered_us:
                self._broken = self._broken or self._loss or _NO_PICTURE
            if self._broken is not None and needs_predecessor(picture):
                self._give_up(picture.pts_us, end_us, *self._broken)
                return
            self._close_hole(picture.pts_us)
            self._loss = None
            self._broken = None if isinstance(picture, AccessUnit) else _PIXELS_BEFORE
            self._items.append(picture)
            self._count(picture, 1)
            self._covered_us = end_us
            while self._overflows():
                self._drop_oldest()

    def give_up(self, frame: Frame, reason: GapReason, detail: str) -> None:
        """Record a frame that is not worth handing over."""
        end_us = frame.pts_us + max(1, frame.duration_us)
        with self._lock:
            if self._takes(frame.pts_us, end_us):
                self._give_up(frame.pts_us, end_us, reason, detail)
                self._loss = None
                self._broken = (reason, detail)

    @property
    def paused(self) -> bool:
        """Whether nobody wants pictures for the time being."""
        with self._lock:
            return self._pause is not None

    def pass_by(self, pts_us: int) -> None:
        """While paused a picture has come, and need not be looked at: the camera is there."""
        with self._lock:
            if self._pause is not None and not self._is_over:
                self._change_loss(pts_us, self._pause)

    def lose(self, from_us: int, reason: GapReason, detail: str) -> None:
        """From `from_us` on there is nothing, until the next frame or key frame."""
        with self._lock:
            if not self._is_over:
                self._change_loss(from_us, (reason, detail))
                self._broken = (reason, detail)

    def pause(self, now_us: int, reason: GapReason, detail: str) -> None:
        """Nobody wants pictures from now on: what is here is given up, what comes ignored."""
        with self._lock:
            if self._is_over:
                return
            self._drop_all(reason, detail)
            self._pause = self._broken = (reason, detail)
            self._change_loss(now_us, self._pause)

    def go_on(self) -> None:
        """Pictures are wanted again; until the next one comes the gap goes on."""
        with self._lock:
            self._pause = None

    def end(self, now_us: int, reason: GapReason, detail: str) -> None:
        """End the record; pictures that are still here are given up, later ones are ignored."""
        with self._lock:
            if self._is_over:
                return
            self._drop_all(reason, detail)
            self._loss = self._loss or (reason, detail)
            self._close_hole(now_us)
            self._is_over = True

    def poll(self, max_frames: int, max_gaps: int, now_us: int) -> list[Picture | LiveGap]:
        """Return what is ready, in order, without waiting.

        Dropped pictures are reported together, when there is room for a picture again.

        Args:
            max_frames: Most pictures to return.
            max_gaps: Most gaps to return.
            now_us: The present in media time.
        """
        taken: list[Picture | LiveGap] = []
        with self._lock:
            if self._loss is not None and now_us - self._covered_us >= self._report_us:
                self._close_hole(now_us)
            while self._items:
                item = self._items[0]
                if isinstance(item, LiveGap):
                    if max_gaps <= 0 or self._still_grows(item, max_frames):
                        break
                    max_gaps -= 1
                else:
                    if max_frames <= 0:
                        break
                    max_frames -= 1
                    self._count(item, -1)
                taken.append(self._items.popleft())
        return taken

    def _still_grows(self, gap: LiveGap, room: int) -> bool:
        """Say whether `gap`, the oldest item, is better reported later, as one."""
        if self._is_over:
            return False
        if gap.reason is GapReason.DROPPED and room <= 0:
            return True
        is_given_up = gap.frames_lost > 0 and len(self._items) == 1
        return is_given_up and gap.end_us - gap.start_us < self._report_us

    def _takes(self, pts_us: int, end_us: int) -> bool:
        """Whether a picture of that time belongs into the record; call with the lock held."""
        if self._is_over:
            return False
        if end_us <= self._covered_us:
            # What follows may depend on it.
            self._broken = self._broken or self._loss or _NO_PICTURE
            return False
        if self._pause is not None:
            self._change_loss(pts_us, self._pause)
            return False
        return True

    def _give_up(self, pts_us: int, end_us: int, reason: GapReason, detail: str) -> None:
        """Record a picture as lost; call with the lock held."""
        self._close_hole(pts_us)
        self._append_gap(self._covered_us, end_us, reason, detail, frames_lost=1)
        self._given_up[reason] += 1
        self._covered_us = end_us

    def _count(self, picture: Picture, change: int) -> None:
        """Add `picture` to what is here, or take it off; call with the lock held."""
        if isinstance(picture, Frame):
            self._frames += change
        else:
            self._access_units += change
        self._bytes += change * len(picture.data)

    def _overflows(self) -> bool:
        if self._frames + self._access_units <= 1:
            return False
        return (
            self._frames > self._max_frames
            or self._access_units > self._max_access_units
            or self._bytes > self._max_bytes
        )

    def _change_loss(self, from_us: int, loss: tuple[GapReason, str]) -> None:
        """From `from_us` on there is nothing, for this reason; call with the lock held."""
        if self._loss is not None:
            if self._loss[0] is loss[0]:
                return
            self._close_hole(from_us)
        self._loss = loss

    def _close_hole(self, until_us: int) -> None:
        """Record the time since what is covered; call with the lock held."""
        if until_us <= self._covered_us:
            return
        reason, detail = self._loss or _NO_PICTURE
        self._append_gap(self._covered_us, until_us, reason, detail)
        self._covered_us = until_us

    def _append_gap(
        self, start_us: int, end_us: int, reason: GapReason, detail: str, *, frames_lost: int = 0
    ) -> None:
        gap = LiveGap(
            start_us=start_us, end_us=end_us, reason=reason, detail=detail, frames_lost=frames_lost
        )
        adjacent = 0
        for item in reversed(self._items):
            if not isinstance(item, LiveGap):
                break
            adjacent += 1
        last = self._items[-1] if self._items else None
        if isinstance(last, LiveGap) and (last.reason is reason or adjacent >= MAX_ADJACENT_GAPS):
            self._items[-1] = _merged(last, gap)
        else:
            self._items.append(gap)

    def _drop_all(self, reason: GapReason, detail: str) -> None:
        while self._frames + self._access_units:
            self._drop_oldest(reason, detail)

    def _drop_oldest(
        self,
        reason: GapReason = GapReason.DROPPED,
        detail: str = "newer pictures came before there was room",
    ) -> None:
        """Give up the oldest picture and all that need it; call with the lock held."""
        was_access_unit = isinstance(self._give_up_oldest(reason, detail), AccessUnit)
        while was_access_unit:
            oldest = next((item for item in self._items if not isinstance(item, LiveGap)), None)
            if oldest is None:
                self._broken = (reason, detail)
                return
            if not needs_predecessor(oldest):
                return
            self._give_up_oldest(reason, detail)

    def _give_up_oldest(self, reason: GapReason, detail: str) -> Picture:
        """Turn the oldest picture into a gap and return it."""
        index, picture = next(
            (index, item) for index, item in enumerate(self._items) if not isinstance(item, LiveGap)
        )
        self._count(picture, -1)
        self._given_up[reason] += 1
        gap = LiveGap(
            start_us=picture.pts_us,
            end_us=picture.pts_us + max(1, picture.duration_us),
            reason=reason,
            detail=detail,
            frames_lost=1,
        )
        before = self._items[index - 1] if index > 0 else None
        if isinstance(before, LiveGap) and (before.reason is reason or index >= MAX_ADJACENT_GAPS):
            self._items[index - 1] = _merged(before, gap)
            del self._items[index]
        else:
            self._items[index] = gap
        return picture


def _merged(first: LiveGap, second: LiveGap) -> LiveGap:
    return replace(
        first,
        end_us=max(first.end_us, second.end_us),
        frames_lost=first.frames_lost + second.frames_lost,
    )
