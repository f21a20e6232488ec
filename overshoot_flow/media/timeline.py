"""Media time: the clock of a file made to start at 0 and never run backwards."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from overshoot_flow.media.sampling import US_PER_S

MAX_FORWARD_JUMP_S: Final = 10
"""A longer step is a break of the clock in formats that may break (MPEG-TS, MPEG-PS).

FFmpeg's own tools draw the line at the same place.
"""


class Timeline:
    """Repairs the time stamps of packets in decode order and converts them to media time.

    The rules, in this order:

    1. A missing pts is the dts and the reverse; if both are missing, one frame duration after
       the packet before. (Where pictures are reordered nothing is filled in: the decoder knows
       better.)
    2. A dts that runs backwards, or forward by more than `MAX_FORWARD_JUMP_S` in a format whose
       clock may break, starts a new stretch: its first picture follows the latest picture so
       far by one frame duration, and the rest of the stretch keeps its distances.
    3. Media time 0 is the pts of the first key frame.

    Args:
        time_base: Length of one tick in seconds.
        frame_duration_ticks: Nominal duration of a picture, for where the file has none.
        may_break: Whether the format's clock may jump forward without meaning it.
        reordered: Whether decode order differs from presentation order.
    """

    def __init__(
        self, time_base: Fraction, frame_duration_ticks: int, *, may_break: bool, reordered: bool
    ) -> None:
        self._us_numerator = time_base.numerator * US_PER_S
        self._us_denominator = time_base.denominator
        self._frame_duration = frame_duration_ticks
        self._reordered = reordered
        self._max_step = int(MAX_FORWARD_JUMP_S / time_base) if may_break else None
        self._offset = 0
        self._last_dts: int | None = None
        self._latest_pts: int | None = None
        self._origin: int | None = None

    @property
    def frame_duration_ticks(self) -> int:
        """Nominal duration of a picture in ticks."""
        return self._frame_duration

    def start_at(self, pts: int) -> None:
        """Make the repaired `pts` media time 0."""
        self._origin = pts

    def forget_position(self) -> None:
        """Accept any next dts: the file was positioned elsewhere on purpose."""
        self._last_dts = None

    def repair(self, pts: int | None, dts: int | None) -> tuple[int | None, int | None]:
        """Return the pts and dts of the next packet in decode order, in ticks."""
        if not self._reordered:
            if pts is None and dts is None and self._latest_pts is not None:
                pts = self._latest_pts - self._offset + self._frame_duration
            pts = dts if pts is None else pts
            dts = pts if dts is None else dts
        if dts is not None:
            if self._last_dts is not None and self._breaks(dts + self._offset - self._last_dts):
                anchor = dts if pts is None else pts
                latest = self._last_dts if self._latest_pts is None else self._latest_pts
                self._offset = latest + self._frame_duration - anchor
            dts += self._offset
            self._last_dts = dts
        if pts is not None:
            pts += self._offset
            self._latest_pts = pts if self._latest_pts is None else max(self._latest_pts, pts)
        return pts, dts

    def _breaks(self, step: int) -> bool:
        return step < 0 or (self._max_step is not None and step > self._max_step)

    def media_us(self, ticks: int) -> int:
        """Convert a repaired time stamp to µs of media time, rounded down."""
        origin = 0 if self._origin is None else self._origin
        return (ticks - origin) * self._us_numerator // self._us_denominator

    def ticks_at(self, media_us: int) -> int:
        """Return the last tick at or before a media time."""
        origin = 0 if self._origin is None else self._origin
        return origin + media_us * self._us_denominator // self._us_numerator

    def duration_us(self, ticks: int) -> int:
        """Convert a duration in ticks to µs, at least 1."""
        return max(1, ticks * self._us_numerator // self._us_denominator)
