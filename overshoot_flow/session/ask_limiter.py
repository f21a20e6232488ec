"""One key's limiter of questions, for the sessions of one event loop."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from overshoot_flow.protocol.rate_limit import RateFacts, RateLimiter
from overshoot_flow.session.clock import Clock

_MAX_WAITING: Final = 100_000
"""Of one stream; whoever asks has a far smaller bound, so that nothing is ever refused."""
_LONG_PAUSE_S: Final = 30.0
"""Whoever sees no answers for so long shall know why."""

_logger = logging.getLogger(__name__)


class AskLimiter:
    """Gives out turns; who has had one says how it ended. Streams take turns with each other.

    Args:
        max_in_flight: Questions under way at one time.
        clock: Time.
    """

    def __init__(self, max_in_flight: int, clock: Clock) -> None:
        self._clock = clock
        self._limiter: RateLimiter[asyncio.Future[None]] = RateLimiter(
            max_in_flight=max_in_flight, max_waiting=_MAX_WAITING
        )
        self._timer: asyncio.TimerHandle | None = None
        self._told_until_s = 0.0

    @property
    def in_flight(self) -> int:
        """Questions under way."""
        return self._limiter.in_flight

    async def turn(self, stream_key: str, *, again: bool = False) -> None:
        """Wait until a question about `stream_key` may be sent.

        Exactly one of `answered`, `limited` and `not_sent` follows.

        Args:
            stream_key: The stream.
            again: Whether the question was sent before: then it goes before all others of it.
        """
        turn = asyncio.get_running_loop().create_future()
        if again:
            self._limiter.put_back(stream_key, turn)
        elif not self._limiter.offer(stream_key, turn):
            msg = f"more than {_MAX_WAITING} questions wait"
            raise RuntimeError(msg)
        self._give_turns()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.not_sent()
            raise

    def answered(self, facts: RateFacts | None) -> None:
        """A question ended; `facts` is None without an answer."""
        self._limiter.answered(self._clock.monotonic_s(), self._wall_s(), facts)
        self._give_turns()

    def limited(self, facts: RateFacts, retry_after_s: float | None) -> None:
        """A question was refused because there were too many."""
        self._limiter.limited(self._clock.monotonic_s(), self._wall_s(), facts, retry_after_s)
        self._tell_long_pause(retry_after_s or 0.0)
        self._give_turns()

    def not_sent(self) -> None:
        """The turn was not used."""
        self._limiter.not_sent()
        self._give_turns()

    def _tell_long_pause(self, pause_s: float) -> None:
        now_s = self._clock.monotonic_s()
        if pause_s >= _LONG_PAUSE_S and now_s >= self._told_until_s:
            self._told_until_s = now_s + pause_s
            _logger.warning("the service wants no question for %.0f s; none is sent", pause_s)

    def _wall_s(self) -> float:
        return self._clock.wall_us() / 1_000_000

    def _give_turns(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now_s = self._clock.monotonic_s()
        while (turn := self._limiter.take(now_s)) is not None:
            if turn.done():
                # Whoever waited for it has gone.
                self._limiter.not_sent()
            else:
                turn.set_result(None)
        next_s = self._limiter.next_take_s(now_s)
        if next_s is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, next_s - now_s), self._give_turns)
