"""The time of a live camera, as a pure function of its packets' time stamps and arrivals.

A camera has up to three clocks: the time stamps of its packets (they may begin anywhere, jump and
drift), the wall clock in its RTCP sender reports (it may be wrong), and the arrival of its packets
at this machine (it jitters). Out of them come two times for every picture:

- **Media time**: µs since the camera's first start in the run, that is since its *anchor*, a
  moment of this machine's UTC. It goes on over reconnections, outages and restarts, and it only
  grows. Within a *segment* it keeps the distances of the camera's time stamps; it is slewed
  towards the arrival times by at most 500 ppm (5 % in a segment's first seconds, because the
  first picture comes late), so that a camera whose clock drifts stays near UTC for
  months. Where the time stamps break (a new connection, a reset, a jump) a new segment begins,
  whose first picture is placed by its arrival.
- **Capture time**: UTC by the sender reports where they are there and believable, else by arrival.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.media.frames import CaptureBasis

_SLEW_PPM: Final = 500
_FIRST_SLEW_PPM: Final = 50_000
_REORDERING_US: Final = 1_000_000
"""Time stamps in decode order go back by less than this where pictures are reordered."""
_DEFAULT_DISTANCE_US: Final = 40_000
_PPM: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockLimits:
    """Where a camera's clock stops being believed.

    Args:
        jump_s: A step of the time stamps against the arrivals by more is a break.
        offset_s: A wall clock of the camera that is off by more is not used as capture time.
        drift_ppm: A clock that drifts by more is flagged.
        window_s: The earliest arrival of this much time counts: what is later was delayed.
        settled_s: Drift is judged after this much time.

    Raises:
        ConfigurationError: A limit is not above 0.
    """

    jump_s: float = 2.0
    offset_s: float = 5.0
    drift_ppm: float = 200.0
    window_s: float = 10.0
    settled_s: float = 60.0

    def __post_init__(self) -> None:
        """Refuse limits that every clock would break."""
        for name in ("jump_s", "offset_s", "drift_ppm", "window_s", "settled_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigurationError(f"the clock limit {name} must be above 0 and finite")


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketTime:
    """When the picture in a packet was.

    Attributes:
        media_us: Media time in µs.
        captured_at_us: Wall clock of capture in µs of UTC.
        capture_basis: `ntp` (sender report) or `arrival`.
        segment: Number of the stretch of unbroken time stamps, from 1.
    """

    media_us: int
    captured_at_us: int
    capture_basis: CaptureBasis
    segment: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockHealth:
    """What is known about a camera's clocks.

    Attributes:
        segments: How often the time stamps began anew, the first time included.
        offset_s: The camera's wall clock minus ours; None without sender reports.
        offset_exceeded: Whether it is off by more than the limit, so that it is not used.
        drift_ppm: How much faster than ours its time stamps run; None until it is known.
        drift_exceeded: Whether they drift by more than the limit.
    """

    segments: int = 0
    offset_s: float | None = None
    offset_exceeded: bool = False
    drift_ppm: float | None = None
    drift_exceeded: bool = False


class CameraClock:
    """Turns the times of one camera's packets into media time and capture time.

    Args:
        anchor_us: UTC in µs at media time 0.
        limits: Where a clock stops being believed.
    """

    def __init__(self, anchor_us: int, limits: ClockLimits | None = None) -> None:
        self._anchor_us = anchor_us
        self._limits = limits or ClockLimits()
        self._jump_us = round(self._limits.jump_s * 1_000_000)
        self._newest_media_us = -1
        self._segments = 0
        self._offset_us: int | None = None  # media time minus time stamp, within the segment
        self._newest_pts_us = 0
        self._distance_us = _DEFAULT_DISTANCE_US
        self._delays = _EarliestArrivals(0, 0)
        self._wall_offset_us: int | None = None

    @property
    def health(self) -> ClockHealth:
        """What is known about the clocks; may be read by any thread."""
        drift_ppm = self._delays.drift_ppm(self._limits.settled_s)
        offset_us = self._wall_offset_us
        return ClockHealth(
            segments=self._segments,
            offset_s=None if offset_us is None else offset_us / 1_000_000,
            offset_exceeded=offset_us is not None and not self._believes(offset_us),
            drift_ppm=drift_ppm,
            drift_exceeded=drift_ppm is not None and abs(drift_ppm) > self._limits.drift_ppm,
        )

    def disconnected(self) -> None:
        """Whatever comes next has time stamps of its own."""
        self._offset_us = None

    def stamp(self, pts_us: int | None, arrival_us: int, ntp_us: int | None) -> PacketTime:
        """Return the time of the next packet in decode order.

        Args:
            pts_us: Its time stamp in µs of the camera's own count, or None if it has none.
            arrival_us: When it came, in µs of UTC; never smaller than before.
            ntp_us: Its capture time by the sender reports in µs of UTC, or None.
        """
        media_us = self._media_us(pts_us, arrival_us)
        self._newest_media_us = max(self._newest_media_us, media_us)
        captured_us, basis = self._captured(media_us, arrival_us, ntp_us)
        return PacketTime(
            media_us=media_us,
            captured_at_us=captured_us,
            capture_basis=basis,
            segment=max(1, self._segments),
        )

    def _media_us(self, pts_us: int | None, arrival_us: int) -> int:
        if pts_us is None:
            if self._offset_us is None:
                return max(arrival_us - self._anchor_us, self._newest_media_us + 1)
            pts_us = self._newest_pts_us + self._distance_us
        delay_us = arrival_us - pts_us
        if self._offset_us is None or self._breaks(pts_us, delay_us, self._offset_us):
            offset_us = self._begin_segment(pts_us, arrival_us)
        else:
            offset_us = self._offset_us
            self._delays.take(delay_us, arrival_us)
        step_us = pts_us - self._newest_pts_us
        if step_us > 0:
            self._newest_pts_us = pts_us
            if step_us < self._jump_us:
                self._distance_us = step_us
            offset_us += self._slew_us(offset_us, step_us)
        self._offset_us = offset_us
        return pts_us + offset_us

    def _breaks(self, pts_us: int, delay_us: int, offset_us: int) -> bool:
        if pts_us < self._newest_pts_us - _REORDERING_US:
            return True
        expected_us = self._anchor_us + offset_us
        # No network delivers early. A late packet alone proves nothing; a whole window of them
        # says that the camera's clock stood still.
        if delay_us < expected_us - self._jump_us:
            return True
        earliest_us = self._delays.earliest_us
        return earliest_us is not None and earliest_us > expected_us + self._jump_us

    def _begin_segment(self, pts_us: int, arrival_us: int) -> int:
        self._segments += 1
        self._newest_pts_us = pts_us
        self._delays = _EarliestArrivals(round(self._limits.window_s * 1_000_000), arrival_us)
        self._delays.take(arrival_us - pts_us, arrival_us)
        earliest_us = 0
        if self._newest_media_us >= 0:
            earliest_us = self._newest_media_us + self._distance_us
        return max(arrival_us - self._anchor_us, earliest_us) - pts_us

    def _slew_us(self, offset_us: int, step_us: int) -> int:
        earliest_us = self._delays.earliest_us
        ppm = _SLEW_PPM
        if earliest_us is None:
            # Before a window is full only this is known: what came earlier was not captured later.
            earliest_us, ppm = self._delays.smallest_us, _FIRST_SLEW_PPM
        error_us = earliest_us - self._anchor_us - offset_us
        most_us = step_us * ppm // _PPM
        return max(-most_us, min(most_us, error_us))

    def _captured(
        self, media_us: int, arrival_us: int, ntp_us: int | None
    ) -> tuple[int, CaptureBasis]:
        if ntp_us is not None:
            self._wall_offset_us = ntp_us - arrival_us
            if self._believes(self._wall_offset_us):
                return ntp_us, "ntp"
        # A packet that was delayed was captured earlier than it came.
        return min(arrival_us, self._anchor_us + media_us), "arrival"

    def _believes(self, offset_us: int) -> bool:
        return abs(offset_us) <= self._limits.offset_s * 1_000_000


class _EarliestArrivals:
    """The smallest delay of every window: the network's jitter lies above it, drift moves it."""

    def __init__(self, window_us: int, begun_us: int) -> None:
        self._window_us = window_us
        self._begun_us = begun_us
        self._smallest_us: int | None = None
        self._first: tuple[int, int] | None = None
        self._latest: tuple[int, int] | None = None

    @property
    def earliest_us(self) -> int | None:
        """Smallest delay of the latest full window, or None."""
        return None if self._latest is None else self._latest[1]

    @property
    def smallest_us(self) -> int:
        """Smallest delay of the window that is not full yet."""
        return self._smallest_us or 0

    def take(self, delay_us: int, arrival_us: int) -> None:
        if self._smallest_us is not None and arrival_us - self._begun_us >= self._window_us:
            self._latest = (arrival_us, self._smallest_us)
            self._first = self._first or self._latest
            self._begun_us, self._smallest_us = arrival_us, None
        if self._smallest_us is None or delay_us < self._smallest_us:
            self._smallest_us = delay_us

    def drift_ppm(self, settled_s: float) -> float | None:
        """How much the time stamps gain on the arrivals; None before it can be told."""
        first, latest = self._first, self._latest
        if first is None or latest is None or latest[0] - first[0] < settled_s * 1_000_000:
            return None
        return (first[1] - latest[1]) / (latest[0] - first[0]) * _PPM
