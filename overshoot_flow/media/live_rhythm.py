"""Notices a camera's missing pictures, and how many come."""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Final

_LEAST_HOLE_US: Final = 500_000
_HOLE_DISTANCES: Final = 3
_REMEMBERED_DISTANCES: Final = 15
_FIRST_DISTANCE_US: Final = 40_000
_RATE_WINDOW_S: Final = 3.0
_RATE_PICTURES: Final = 1024
"""More than any camera sends within the window."""


class PictureRhythm:
    """Notices from time stamps alone that pictures are missing."""

    def __init__(self) -> None:
        self._newest_us: int | None = None
        self._distances_us: deque[int] = deque(maxlen=_REMEMBERED_DISTANCES)

    @property
    def distance_us(self) -> int:
        """The usual distance between two pictures."""
        return round(median(self._distances_us)) if self._distances_us else _FIRST_DISTANCE_US

    @property
    def expected_us(self) -> int:
        """When the next picture is to be expected; 0 before the first one."""
        return 0 if self._newest_us is None else self._newest_us + self.distance_us

    def take(self, media_us: int) -> int | None:
        """Take a picture's time; return where the hole before it begins, or None."""
        newest_us, self._newest_us = self._newest_us, media_us
        if newest_us is None:
            return None
        distance_us = media_us - newest_us
        if distance_us <= 0:
            self._newest_us = newest_us
            return None
        usual_us = self.distance_us if self._distances_us else distance_us
        self._distances_us.append(distance_us)
        if distance_us <= max(_LEAST_HOLE_US, _HOLE_DISTANCES * usual_us):
            return None
        return newest_us + usual_us


class PictureRate:
    """Measures pictures per second; written by one thread, read by any."""

    def __init__(self) -> None:
        self._arrivals_s: deque[float] = deque(maxlen=_RATE_PICTURES)

    def take(self, arrival_s: float) -> None:
        """A picture has come at `arrival_s` of a monotonic clock."""
        self._arrivals_s.append(arrival_s)

    def per_second(self, now_s: float) -> float:
        """Return the rate of the last seconds; 0 where none or only one came."""
        recent_s = [at_s for at_s in self._arrivals_s.copy() if now_s - at_s <= _RATE_WINDOW_S]
        if len(recent_s) < 2:  # noqa: PLR2004 - a distance has two ends
            return 0.0
        distance_s = (recent_s[-1] - recent_s[0]) / (len(recent_s) - 1)
        # Silence since the newest picture counts as soon as it is longer than usual.
        watched_s = recent_s[-1] - recent_s[0] + max(0.0, now_s - recent_s[-1] - distance_s)
        return (len(recent_s) - 1) / watched_s if watched_s > 0 else 0.0
