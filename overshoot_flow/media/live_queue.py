"""What a live camera's reader hands over: frames and gaps that leave no moment out."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, replace
from typing import Final

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.media.frames import Frame
from overshoot_flow.results import GapReason

MAX_ADJACENT_GAPS: Final = 16
"""Gaps in a row, without a frame between, beyond which they become one (the first one's reason)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveGap:
    """A stretch of a camera's media time without frames.

    Attributes:
        start_us: Its start in µs of media time.
        end_us: Its end, after its start.
        reason: Why.
        detail: The same for people, without credentials.
        frames_lost: Frames that were there and were given up.
    """

    start_us: int
    end_us: int
    reason: GapReason
    detail: str
    frames_lost: int = 0


class LiveQueue:
    """A bounded queue between a camera's thread and the engine; every method is thread-safe.

    What comes out covers media time from `start_us` to the end without a hole: where no frame
    is, there is a gap. Overflow policy: drop the oldest frames, newest win; what is dropped
    becomes a gap and is counted. The queue never makes anyone wait.

    Args:
        start_us: Media time at which the record begins; until the first frame it is a gap.
        max_frames: Bound in frames.
        max_bytes: Bound in bytes of pixels; one frame always fits.
        report_us: A gap that lasts longer is handed over in parts of this length.

    Raises:
        ConfigurationError: A bound is below 1.
    """

    def __init__(
        self, start_us: int, *, max_frames: int, max_bytes: int, report_us: int = 60_000_000
    ) -> None:
        if min(max_frames, max_bytes, report_us) < 1:
            raise ConfigurationError("the bounds of a camera's queue must be at least 1")
        self._lock = threading.Lock()
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._report_us = report_us
        self._items: deque[Frame | LiveGap] = deque()
        self._frames = 0
        self._bytes = 0
        self._covered_us = start_us
        self._loss: tuple[GapReason, str] | None = (GapReason.OUTAGE, "not connected yet")
        self._is_over = False
        self._given_up: Counter[str] = Counter()

    @property
    def given_up(self) -> Counter[str]:
        """How many frames were given up, by reason."""
        with self._lock:
            return self._given_up.copy()

    @property
    def exhausted(self) -> bool:
        """Whether the record has ended and is handed over."""
        with self._lock:
            return self._is_over and not self._items

    def put(self, frame: Frame) -> None:
        """Add a frame; a hole before it becomes a gap. One of the past is left out."""
        end_us = frame.pts_us + max(1, frame.duration_us)
        with self._lock:
            if self._is_over or end_us <= self._covered_us:
                return
            self._close_hole(frame.pts_us)
            self._loss = None
            self._items.append(frame)
            self._frames += 1
            self._bytes += len(frame.data)
            self._covered_us = end_us
            while self._frames > 1 and (
                self._frames > self._max_frames or self._bytes > self._max_bytes
            ):
                self._drop_oldest()

    def give_up(self, frame: Frame, reason: GapReason, detail: str) -> None:
        """Record a frame that is not worth handing over."""
        end_us = frame.pts_us + max(1, frame.duration_us)
        with self._lock:
            if self._is_over or end_us <= self._covered_us:
                return
            self._close_hole(frame.pts_us)
            self._append_gap(self._covered_us, end_us, reason, detail, frames_lost=1)
            self._given_up[reason] += 1
            self._covered_us = end_us
            self._loss = None

    def lose(self, from_us: int, reason: GapReason, detail: str) -> None:
        """From `from_us` on there is nothing, until the next frame."""
        with self._lock:
            if self._is_over or (self._loss is not None and self._loss[0] is reason):
                return
            if self._loss is not None:
                self._close_hole(from_us)
            self._loss = (reason, detail)

    def end(self, now_us: int, reason: GapReason, detail: str) -> None:
        """End the record; frames that are still here are given up, later ones are ignored."""
        with self._lock:
            if self._is_over:
                return
            while self._frames:
                self._drop_oldest(reason, detail)
            self._loss = self._loss or (reason, detail)
            self._close_hole(now_us)
            self._is_over = True

    def poll(self, max_frames: int, max_gaps: int, now_us: int) -> list[Frame | LiveGap]:
        """Return what is ready, in order, without waiting.

        Dropped frames are reported together, when there is room for a frame again.

        Args:
            max_frames: Most frames to return.
            max_gaps: Most gaps to return.
            now_us: The present in media time.
        """
        taken: list[Frame | LiveGap] = []
        with self._lock:
            if self._loss is not None and now_us - self._covered_us >= self._report_us:
                self._close_hole(now_us)
            while self._items:
                item = self._items[0]
                if isinstance(item, Frame):
                    if max_frames <= 0:
                        break
                    max_frames -= 1
                    self._frames -= 1
                    self._bytes -= len(item.data)
                else:
                    if max_gaps <= 0 or self._still_grows(item, max_frames):
                        break
                    max_gaps -= 1
                taken.append(self._items.popleft())
        return taken

    def _still_grows(self, gap: LiveGap, room: int) -> bool:
        """Say whether `gap`, the oldest item, is better reported later, as one."""
        if self._is_over:
            return False
        if gap.reason is GapReason.DROPPED:
            return room <= 0
        is_given_up = gap.frames_lost > 0 and len(self._items) == 1
        return is_given_up and gap.end_us - gap.start_us < self._report_us

    def _close_hole(self, until_us: int) -> None:
        """Record the time since what is covered; call with the lock held."""
        if until_us <= self._covered_us:
            return
        reason, detail = self._loss or (GapReason.STALLED, "no picture came")
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
            if isinstance(item, Frame):
                break
            adjacent += 1
        last = self._items[-1] if self._items else None
        if isinstance(last, LiveGap) and (last.reason is reason or adjacent >= MAX_ADJACENT_GAPS):
            self._items[-1] = _merged(last, gap)
        else:
            self._items.append(gap)

    def _drop_oldest(
        self,
        reason: GapReason = GapReason.DROPPED,
        detail: str = "newer pictures came before there was room",
    ) -> None:
        """Turn the oldest frame into a gap; call with the lock held."""
        index = next(i for i, item in enumerate(self._items) if isinstance(item, Frame))
        frame = self._items[index]
        if not isinstance(frame, Frame):
            msg = "the oldest frame is a frame"
            raise TypeError(msg)
        self._frames -= 1
        self._bytes -= len(frame.data)
        self._given_up[reason] += 1
        gap = LiveGap(
            start_us=frame.pts_us,
            end_us=frame.pts_us + max(1, frame.duration_us),
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


def _merged(first: LiveGap, second: LiveGap) -> LiveGap:
    return replace(
        first,
        end_us=max(first.end_us, second.end_us),
        frames_lost=first.frames_lost + second.frames_lost,
    )
