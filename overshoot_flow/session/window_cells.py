"""From a stream's frames to its windows, each with the frames that it settles. Pure.

A frame may lie in several windows, and is settled with the last one of them: that in whose stride
it lies. So the windows in order settle all frames in order, and a window finishes the media from
its start up to where the next one begins.

That is also why a run goes on rightly after a crash, though windows overlap. The source reads from
the first unfinished frame on. Every window that was finished before is begun once more by the
frames that it shares with its successors, but never gets a frame to settle: those are finished and
do not come again. So a window without a frame to settle is not asked. In an unbroken run such a
window has no frame in its stride, and the next one shows everything that it would have shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from overshoot_flow.protocol.windows import FilledWindow, Window, WindowAssembler, WindowPlan
from overshoot_flow.session.outcomes import PendingFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowCell:
    """A window that is over, and what is finished with it.

    Attributes:
        window: The stretch; the last one of a medium has its true length.
        pictures: Every frame that begins in it, oldest first; at least one.
        seen: Those of them that are to be looked at.
        settles: The frames that are settled with it, oldest first: those in its stride, those
            after it that no window looks at, and, with the first window, those before it.
        frames_covered: How many of `settles` lie in the window.
        until_us: Media time up to which everything is finished with this window.
    """

    window: Window
    pictures: tuple[PendingFrame, ...]
    seen: tuple[PendingFrame, ...]
    settles: tuple[PendingFrame, ...]
    frames_covered: int
    until_us: int


@dataclass(slots=True)
class _Stride:
    """The frames from the start of a window to the start of the next; None before the first."""

    window: Window | None
    frames: list[PendingFrame]
    filled: FilledWindow[PendingFrame] | None = None


@dataclass(slots=True)
class WindowCells:
    """Puts frames, which come in the order of their pts, into windows.

    Args:
        plan: Which windows there are.

    Attributes:
        newest_is_seen: Whether some window looks at the frame that was pushed last.
    """

    plan: WindowPlan
    newest_is_seen: bool = field(init=False, default=False)
    _assembler: WindowAssembler[PendingFrame] = field(init=False)
    _strides: deque[_Stride] = field(init=False, default_factory=deque)
    _seen_pts_us: dict[Window, list[int]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with no window open."""
        self._assembler = WindowAssembler(self.plan)

    @property
    def needed_from_us(self) -> int | None:
        """Pts of the oldest frame that a window to come can show; None if there is none yet."""
        return self._strides[0].frames[0].pts_us if self._strides else None

    def push(self, frame: PendingFrame) -> list[WindowCell]:
        """Take the next frame; return the windows that are finished with its coming, in order.

        Raises:
            ValueError: It does not come after the one before.
        """
        for filled in self._assembler.push(frame):
            self._fill(filled)
        windows = self.plan.windows_of(frame.pts_us, frame.duration_us)
        self._look_at(frame, windows)
        self._put(frame, windows[-1] if windows else None)
        over = []
        while len(self._strides) > 1 and (filled_now := self._strides[0].filled) is not None:
            stride = self._strides.popleft()
            over.append(_cell(stride, filled_now, _start_us(self._strides[0])))
        return over

    def finish(self, end_us: int) -> list[WindowCell]:
        """Return the windows that the end of the medium at `end_us` finishes, in order."""
        self._seen_pts_us.clear()
        closed = self._assembler.finish(end_us)
        for filled in closed:
            self._fill(filled)
        if closed:
            self._end_with(closed[-1])
        if not self._strides:
            return []
        strides, self._strides = self._strides, deque()
        starts_us = [_start_us(stride) for stride in list(strides)[1:]]
        cells = []
        for stride, until_us in zip(strides, (*starts_us, end_us), strict=True):
            if stride.filled is None:
                # No window ever began: these frames stay unsettled.
                self._strides.append(stride)
            else:
                cells.append(_cell(stride, stride.filled, until_us))
        return cells

    def take_unsettled(self) -> tuple[PendingFrame, ...]:
        """Give up what is not over; return the frames that are settled with no window, in order."""
        frames = tuple(self._unsettled())
        self._strides.clear()
        self._seen_pts_us.clear()
        self._assembler = WindowAssembler(self.plan)
        return frames

    def _unsettled(self) -> Iterator[PendingFrame]:
        for stride in self._strides:
            yield from stride.frames

    def _look_at(self, frame: PendingFrame, windows: Sequence[Window]) -> None:
        """Plans choose by what came before, so it is known at once whether a frame is looked at."""
        self.newest_is_seen = False
        self._seen_pts_us = {
            window: seen
            for window, seen in self._seen_pts_us.items()
            if window.end_us > frame.pts_us
        }
        for window in windows:
            seen = self._seen_pts_us.setdefault(window, [])
            if len(self.plan.choose(window, (*seen, frame.pts_us))) > len(seen):
                seen.append(frame.pts_us)
                self.newest_is_seen = True

    def _put(self, frame: PendingFrame, window: Window | None) -> None:
        newest = self._strides[-1] if self._strides else None
        if newest is not None and window in {None, newest.window}:
            newest.frames.append(frame)
            return
        stride = _Stride(window, [frame])
        if newest is not None and newest.window is None:
            # Frames before the first window are settled with it.
            stride.frames[:0] = newest.frames
            self._strides.clear()
        self._strides.append(stride)

    def _fill(self, filled: FilledWindow[PendingFrame]) -> None:
        for stride in self._strides:
            if _starts_at(stride, filled.window.start_us):
                stride.filled = filled

    def _end_with(self, last: FilledWindow[PendingFrame]) -> None:
        """The last window settles everything from its start on."""
        start_us = last.window.start_us
        later: list[PendingFrame] = []
        while self._strides and _start_us(self._strides[-1]) > start_us:
            later[:0] = self._strides.pop().frames
        if self._strides and _starts_at(self._strides[-1], start_us):
            self._strides[-1].frames.extend(later)
        elif later:
            self._strides.append(_Stride(last.window, later, last))


def _start_us(stride: _Stride) -> int:
    return stride.frames[0].pts_us if stride.window is None else stride.window.start_us


def _starts_at(stride: _Stride, start_us: int) -> bool:
    return stride.window is not None and stride.window.start_us == start_us


def _cell(stride: _Stride, filled: FilledWindow[PendingFrame], until_us: int) -> WindowCell:
    window = filled.window
    covered = sum(window.start_us <= frame.pts_us < window.end_us for frame in stride.frames)
    return WindowCell(
        window=window,
        pictures=filled.pictures,
        seen=filled.chosen,
        settles=tuple(stride.frames),
        frames_covered=covered,
        until_us=until_us,
    )
