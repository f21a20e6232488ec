"""A client-side rate limiter that follows the service's headers. Pure: time is passed in.

The service counts requests per key in windows of its own and says with each answer how many are
left. Answers overtake one another, and a request under way may or may not be counted yet; so what
is left is the lowest count of the service's window minus what is under way. That never promises
too much, and is exact whenever nothing is under way.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

DEFAULT_PAUSE_S: Final = 1.0
"""The contract's `retry-after`, should an answer 429 not name it."""

LONGEST_RESET_S: Final = 60.0
"""A reset further away than this says that a clock is wrong."""

_NUMBER: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class RateFacts:
    """What the headers of one answer say.

    Attributes:
        limit: Requests in one window of the service.
        remaining: Requests left in it.
        resets_at_s: When the next one begins, in seconds of UTC since 1970.
    """

    limit: int | None = None
    remaining: int | None = None
    resets_at_s: float | None = None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> RateFacts:
        """Read headers, which have lower-case names; what is no number is not there."""
        limit = _number(headers.get("x-ratelimit-limit"))
        remaining = _number(headers.get("x-ratelimit-remaining"))
        return cls(
            limit=None if limit is None else int(limit),
            remaining=None if remaining is None else int(remaining),
            resets_at_s=_number(headers.get("x-ratelimit-reset")),
        )


class RateLimiter(Generic[Item]):
    """Says which waiting request goes next, and when. One per API key.

    Cameras take turns, so one with a thousand windows due delays another by one request. Within a
    camera the order is kept. `now_s` is a monotonic clock, `wall_s` UTC since 1970; both are read
    by the caller.

    Args:
        max_in_flight: Requests under way at one time.
        max_waiting: Requests of one camera that may wait; more are refused (`refused` counts them)
            and stay with their owner.
    """

    def __init__(self, *, max_in_flight: int, max_waiting: int) -> None:
        self._max_in_flight = max_in_flight
        self._max_waiting = max_waiting
        self._waiting: dict[str, deque[Item]] = {}
        self._turns: deque[str] = deque()
        self._limit: int | None = None
        self._lowest: int | None = None
        self._window_ends_at_s: float | None = None
        self._resets_s: float | None = None
        self._held_until_s: float | None = None
        self.in_flight = 0
        self.refused = 0

    def offer(self, camera: str, item: Item) -> bool:
        """Let `item` wait for its turn; False means that too many of the camera wait already."""
        queue = self._waiting.get(camera)
        if queue is not None and len(queue) >= self._max_waiting:
            self.refused += 1
            return False
        self._queue(camera).append(item)
        return True

    def put_back(self, camera: str, item: Item) -> None:
        """Let an item that was taken and is to be asked again wait before all of its camera's."""
        self._queue(camera).appendleft(item)

    def forget(self, camera: str) -> list[Item]:
        """Take everything of a camera out of the queue and return it."""
        queue = self._waiting.pop(camera, None)
        if queue is None:
            return []
        self._turns.remove(camera)
        return list(queue)

    def take(self, now_s: float) -> Item | None:
        """Return the item that is to be sent now, or None.

        Exactly one `answered`, `limited` or `not_sent` follows.
        """
        if not self._turns or not self._may_send(now_s):
            return None
        camera = self._turns.popleft()
        queue = self._waiting[camera]
        item = queue.popleft()
        if queue:
            self._turns.append(camera)
        else:
            del self._waiting[camera]
        self.in_flight += 1
        return item

    def next_take_s(self, now_s: float) -> float | None:
        """Return when `take` may give something; None: not before an `offer` or an `answered`."""
        if not self._turns or self.in_flight >= self._max_in_flight:
            return None
        times_s = [now_s]
        if self._held_until_s is not None:
            times_s.append(self._held_until_s)
        if self._left(now_s) == 0:
            if self._resets_s is None:
                return None
            times_s.append(self._resets_s)
        return max(times_s)

    def answered(self, now_s: float, wall_s: float, facts: RateFacts | None = None) -> None:
        """Note the end of one request; without an answer `facts` is None."""
        self.in_flight -= 1
        if facts is None or facts.remaining is None:
            # It may have been counted.
            if self._lowest is not None:
                self._lowest = max(0, self._lowest - 1)
        else:
            self._learn(now_s, wall_s, facts, facts.remaining)
        if self._lowest == 0 and self.in_flight == 0 and self._resets_s is None:
            # Nobody says when to go on, and no answer is due that could.
            self._resets_s = now_s + DEFAULT_PAUSE_S

    def not_sent(self) -> None:
        """What `take` gave was not sent after all."""
        self.in_flight -= 1

    def limited(
        self, now_s: float, wall_s: float, facts: RateFacts, retry_after_s: float | None
    ) -> None:
        """Note an answer 429, which is also the end of one request: nothing is sent for a while."""
        self.answered(now_s, wall_s, facts)
        pause_s = retry_after_s
        if pause_s is None and facts.resets_at_s is not None:
            pause_s = _wait_s(facts.resets_at_s, wall_s)
        until_s = now_s + (DEFAULT_PAUSE_S if pause_s is None else pause_s)
        self._held_until_s = max(until_s, self._held_until_s or until_s)

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return sum(map(len, self._waiting.values()))

    def _queue(self, camera: str) -> deque[Item]:
        if camera not in self._waiting:
            self._waiting[camera] = deque()
            self._turns.append(camera)
        return self._waiting[camera]

    def _may_send(self, now_s: float) -> bool:
        if self.in_flight >= self._max_in_flight:
            return False
        if self._held_until_s is not None:
            if now_s < self._held_until_s:
                return False
            self._held_until_s = None
        return self._left(now_s) != 0

    def _left(self, now_s: float) -> int | None:
        """Return how many more may be sent in the service's window; None if it is not known."""
        if self._resets_s is not None and now_s >= self._resets_s:
            self._lowest, self._resets_s = self._limit, None
        if self._lowest is None:
            return None
        return max(0, self._lowest - self.in_flight)

    def _learn(self, now_s: float, wall_s: float, facts: RateFacts, remaining: int) -> None:
        if facts.limit:
            self._limit = facts.limit
        window = facts.resets_at_s
        known = self._window_ends_at_s
        # A window that a wrong clock puts far away must not silence those that follow.
        is_known = known is not None and known <= wall_s + LONGEST_RESET_S
        if window is not None and known is not None and is_known and window < known:
            # An answer that was overtaken speaks of a window that is over.
            return
        same_window = window is not None and window == known
        if same_window and self._lowest is not None:
            self._lowest = min(self._lowest, remaining)
        else:
            self._lowest = remaining
        if window is not None:
            self._window_ends_at_s = window
            self._resets_s = now_s + _wait_s(window, wall_s)


def _wait_s(resets_at_s: float, wall_s: float) -> float:
    return min(max(0.0, resets_at_s - wall_s), LONGEST_RESET_S)


def _number(text: str | None) -> float | None:
    if text is None or not _NUMBER.fullmatch(text.strip()):
        return None
    return float(text)
