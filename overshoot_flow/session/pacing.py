"""When to publish a frame: at the pace of its pts, in wall time."""

from __future__ import annotations


class Pacer:
    """Turns pts into due times.

    The service's clock is wall time, so one second of media must take one second. A pause in the
    media longer than `longest_pause_s` (frames that a filter left out) is shortened to it: nobody
    pays for watching a still picture. When publishing falls behind, later frames keep their
    distance instead of rushing.

    Args:
        first_pts_us: pts of the frame that is on screen.
        now_s: The monotonic time at which its turn began.
        longest_pause_s: Longest time between two frames.
    """

    def __init__(self, first_pts_us: int, now_s: float, *, longest_pause_s: float) -> None:
        self._pts_us = first_pts_us
        self._due_s = now_s
        self._longest_pause_s = longest_pause_s

    def due_s(self, pts_us: int, now_s: float) -> float:
        """Return the monotonic time at which the frame with `pts_us` is due."""
        distance_s = max(0.0, (pts_us - self._pts_us) / 1_000_000)
        self._pts_us = pts_us
        self._due_s = max(now_s, self._due_s + min(distance_s, self._longest_pause_s))
        return self._due_s
