"""The frames that a stream still remembers, and which of them a reference means. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from overshoot_flow.local.engines.base import SeenFrame
from overshoot_flow.local.v1.errors import V1Error, chat_error
from overshoot_flow.protocol.v1_uri import (
    DEFAULT_MAX_FPS,
    DEFAULT_TOLERANCE_MS,
    Anchor,
    Direction,
    FrameIndex,
    FrameReference,
    NowOffset,
    SegmentReference,
    StreamTime,
)

_RECENT_FRAMES: Final = 30
_SLOT_SLACK: Final = 0.01


@dataclass(frozen=True, slots=True)
class Retained:
    """A frame with its lifetime index and its moment on the stream's clock."""

    index: int
    at_ms: int
    frame: SeenFrame


class RetainedFrames:
    """Bounded memory of a stream's frames.

    Overflow policy: the oldest frame goes. Frames that go before their time, for want of bytes,
    are counted in `evicted_early`; to a client they are evicted like all others.

    Args:
        retention_s: How long a frame is kept.
        max_bytes: Bound of the kept frames' planes in bytes.
        delay_s: How long after its arrival a frame can be asked about.
    """

    def __init__(self, *, retention_s: float, max_bytes: int, delay_s: float) -> None:
        self._retention_s = retention_s
        self._max_bytes = max_bytes
        self._delay_s = delay_s
        self._frames: deque[Retained] = deque()
        self._bytes = 0
        self._total = 0
        self.first_arrived_s: float | None = None
        self.last_arrived_s: float | None = None
        self.evicted_early = 0

    def add(self, frame: SeenFrame) -> None:
        """Remember `frame`, which arrived after all others."""
        if self.first_arrived_s is None:
            self.first_arrived_s = frame.arrived_at_s
        self.last_arrived_s = frame.arrived_at_s
        at_ms = round((frame.arrived_at_s - self.first_arrived_s) * 1000)
        self._frames.append(Retained(self._total, at_ms, frame))
        self._total += 1
        self._bytes += _plane_bytes(frame)
        self._expire(frame.arrived_at_s)
        while self._bytes > self._max_bytes and len(self._frames) > 1:
            self._drop_oldest()
            self.evicted_early += 1

    def clear(self) -> None:
        """Let go of every frame."""
        self._frames.clear()
        self._bytes = 0

    def time_ms(self, now_s: float) -> int | None:
        """The stream's clock in whole milliseconds, or None before the first frame."""
        return (
            None if self.first_arrived_s is None else round((now_s - self.first_arrived_s) * 1000)
        )

    def available(self, now_s: float) -> Sequence[Retained]:
        """Return what can be asked about now, oldest first."""
        self._expire(now_s)
        newest_s = now_s - self._delay_s
        return [one for one in self._frames if one.frame.arrived_at_s <= newest_s]

    def recent_fps(self) -> float | None:
        """Frames per second over the newest frames, or None with fewer than two."""
        recent = list(self._frames)[-_RECENT_FRAMES:]
        if len(recent) < 2 or recent[-1].at_ms <= recent[0].at_ms:  # noqa: PLR2004 - a rate needs two
            return None
        return (len(recent) - 1) * 1000 / (recent[-1].at_ms - recent[0].at_ms)

    def frame(self, reference: FrameReference, now_s: float) -> SeenFrame:
        """Return the frame that `reference` means.

        Raises:
            V1Error: 410, 409 or 404: it is gone, not there yet, or there is none.
        """
        frames = self.available(now_s)
        if isinstance(reference.at, FrameIndex):
            return self._at_index(frames, reference.at.value).frame
        moment_ms = self._moment_ms(reference.at, now_s)
        tolerance_ms = reference.tolerance_ms or DEFAULT_TOLERANCE_MS
        direction = reference.direction or Direction.NEAREST
        near = [one for one in frames if _fits(one.at_ms - moment_ms, tolerance_ms, direction)]
        if near:
            return min(near, key=lambda one: abs(one.at_ms - moment_ms)).frame
        if not frames or moment_ms > frames[-1].at_ms:
            raise _not_yet()
        raise _empty()

    def segment(self, reference: SegmentReference, now_s: float) -> list[SeenFrame]:
        """Return the frames that a model sees of `reference`, oldest first; at least one.

        Raises:
            V1Error: 410, 409, 404 or 400: as for a frame, or the end is not after the start.
        """
        frames = self.available(now_s)
        start, end = reference.start, reference.end
        inside = [one for one in frames if not self._before(one, start, frames, now_s)]
        if end is not None:
            if self._position(end, frames, now_s) <= self._position(start, frames, now_s):
                raise chat_error(400, "segment_invalid", "the segment ends before it begins")
            inside = [one for one in inside if self._before(one, end, frames, now_s)]
            if isinstance(end, FrameIndex) and end.value > 0:
                self._at_index(frames, end.value - 1)
        if isinstance(start, FrameIndex) and start.value >= 0:
            self._at_index(frames, start.value)
        if not inside:
            raise _empty()
        return [one.frame for one in _thinned(inside, reference.max_fps or DEFAULT_MAX_FPS)]

    def _at_index(self, frames: Sequence[Retained], index: int) -> Retained:
        if not frames:
            raise _not_yet()
        absolute = frames[-1].index + 1 + index if index < 0 else index
        if absolute > frames[-1].index:
            raise _not_yet()
        if absolute < 0:
            raise _empty()
        if absolute < frames[0].index:
            raise chat_error(410, "frame_evicted", f"frame {absolute} is no longer kept")
        return frames[absolute - frames[0].index]

    def _before(
        self, one: Retained, anchor: Anchor, frames: Sequence[Retained], now_s: float
    ) -> bool:
        if isinstance(anchor, FrameIndex):
            return one.index < _absolute(anchor, frames)
        return one.at_ms < self._moment_ms(anchor, now_s)

    def _position(self, anchor: Anchor, frames: Sequence[Retained], now_s: float) -> float:
        """Return a moment on the stream's clock, so that unlike anchors can be compared."""
        if not isinstance(anchor, FrameIndex):
            return self._moment_ms(anchor, now_s)
        absolute = _absolute(anchor, frames)
        if not frames or absolute > frames[-1].index:
            # Behind all that is there, in the order of the indices.
            return (frames[-1].at_ms if frames else 0.0) + absolute + 1
        return frames[max(0, absolute - frames[0].index)].at_ms

    def _moment_ms(self, anchor: StreamTime | NowOffset, now_s: float) -> float:
        if isinstance(anchor, StreamTime):
            return anchor.value
        return (self.time_ms(now_s) or 0.0) + anchor.value

    def _expire(self, now_s: float) -> None:
        while self._frames and self._frames[0].frame.arrived_at_s <= now_s - self._retention_s:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._bytes -= _plane_bytes(self._frames.popleft().frame)


def _absolute(anchor: FrameIndex, frames: Sequence[Retained]) -> int:
    newest = frames[-1].index if frames else -1
    return newest + 1 + anchor.value if anchor.value < 0 else anchor.value


def _fits(distance_ms: float, tolerance_ms: float, direction: Direction) -> bool:
    if direction is Direction.FORWARD:
        return 0 <= distance_ms <= tolerance_ms
    if direction is Direction.BACKWARD:
        return -tolerance_ms <= distance_ms <= 0
    return abs(distance_ms) <= tolerance_ms


def _thinned(frames: Sequence[Retained], max_fps: float) -> Sequence[Retained]:
    """Return at most `max_fps` frames per second; all of them where they are not more."""
    first_ms = frames[0].at_ms
    # The clock counts whole milliseconds: a hair less than a slot is a slot.
    slots = int((frames[-1].at_ms - first_ms) * max_fps / 1000 + _SLOT_SLACK) + 1
    if len(frames) <= slots:
        return frames
    # The frame nearest to each grid point: jitter of arrival neither doubles nor loses one.
    grid_ms = [first_ms + slot * 1000 / max_fps for slot in range(slots)]
    chosen = [min(frames, key=lambda one: abs(one.at_ms - moment)) for moment in grid_ms]
    return list({one.index: one for one in chosen}.values())


def _plane_bytes(frame: SeenFrame) -> int:
    return frame.image.width * frame.image.height * 3 // 2


def _not_yet() -> V1Error:
    return chat_error(409, "frame_not_yet_produced", "there is no such frame yet")


def _empty() -> V1Error:
    return chat_error(404, "segment_empty", "no frame matches")
