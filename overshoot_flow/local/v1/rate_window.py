"""The rate limit of one key: requests in windows of a fixed length. Pure: time is passed in."""

from __future__ import annotations

import math
from collections.abc import Mapping

from overshoot_flow.local.v1.errors import rate_limited


class RateWindow:
    """Counts one key's requests.

    Args:
        limit: Requests in one window.
        window_s: Length of a window in seconds; windows begin at its multiples.
    """

    def __init__(self, limit: int, window_s: float) -> None:
        self._limit = limit
        self._window_s = window_s
        self._window = -1
        self._used = 0

    def count(self, now_s: float) -> Mapping[str, str]:
        """Count one request; return the headers of its answer.

        Raises:
            V1Error: 429.
        """
        window = math.floor(now_s / self._window_s)
        if window != self._window:
            self._window, self._used = window, 0
        resets_at_s = (window + 1) * self._window_s
        self._used += 1
        headers = {
            "x-ratelimit-limit": str(self._limit),
            "x-ratelimit-remaining": str(max(0, self._limit - self._used)),
            "x-ratelimit-reset": f"{resets_at_s:.3f}".rstrip("0").rstrip("."),
        }
        if self._used > self._limit:
            message = f"at most {self._limit} requests in {self._window_s:g} s"
            raise rate_limited(message, headers)
        return headers
