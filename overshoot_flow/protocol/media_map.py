"""From the service's clock back to media time.

A v0.2 result carries no media timestamp. Known are: when each frame was published, when the
result came, and how long the service says it took since the end of the window that it looked at.
So the window ended at `received - total latency`, and what the model can have seen was published
between `window end - window length - transit` and `window end`, where `transit` bounds the way of
a picture through encoder, network, jitter buffer and decoder, and of the answer back. The picture
that was on screen when the window began belongs to it too, since publishers repeat pictures.

Frames are settled in publishing order: a result settles every frame up to the end of its
interval, so each published frame is settled exactly once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Picture(Protocol):
    """What is known of a published frame; `Frame` is one."""

    @property
    def pts_us(self) -> int:
        """Media time in µs."""
        ...

    @property
    def duration_us(self) -> int:
        """Time until the next picture in µs."""
        ...


P = TypeVar("P", bound=Picture)


@dataclass(frozen=True, slots=True)
class MediaInterval:
    """Half-open stretch of media time `[start_us, end_us)` that an answer is about."""

    start_us: int
    end_us: int
    uncertainty_us: int


@dataclass(frozen=True, slots=True)
class Settlement(Generic[P]):
    """Frames that one outcome settles.

    Attributes:
        covered: Frames inside the outcome's interval that nothing had settled before.
        between: Frames before the interval that fell between two windows.
        unanswered: Frames before the interval for which an answer was due and never came.
    """

    covered: tuple[P, ...]
    between: tuple[P, ...]
    unanswered: tuple[P, ...]


@dataclass(slots=True)
class _Published(Generic[P]):
    picture: P
    at_s: float


@dataclass(slots=True)
class PublishedMedia(Generic[P]):
    """Log of what was published into one stream, and of what is settled.

    Args:
        length_s: Length of the windows that the service looks at; 0 for single frames.
        period_s: Time between two windows.
        transit_s: Bound of a picture's way to the model and of the answer's way back.
        horizon_s: How far back answers may reach; older, settled entries are forgotten.
    """

    length_s: float
    period_s: float
    transit_s: float
    horizon_s: float
    _log: deque[_Published[P]] = field(default_factory=deque)
    _unsettled: deque[_Published[P]] = field(default_factory=deque)

    @property
    def unsettled(self) -> int:
        """How many published frames no outcome has settled."""
        return len(self._unsettled)

    @property
    def last_published_at_s(self) -> float | None:
        """When the newest frame was published."""
        return self._log[-1].at_s if self._log else None

    def published(self, picture: P, at_s: float) -> None:
        """Note that `picture` was handed to the sender at `at_s`; times never go back."""
        entry = _Published(picture, at_s)
        self._log.append(entry)
        self._unsettled.append(entry)
        oldest_kept_s = at_s - self.horizon_s
        while len(self._log) > 1 and self._log[1].at_s < oldest_kept_s:
            self._log.popleft()

    def window_end_s(self, received_at_s: float, total_latency_s: float | None) -> float:
        """When the window of an answer that came at `received_at_s` ended."""
        return received_at_s - (total_latency_s or 0.0)

    def interval(self, received_at_s: float, total_latency_s: float | None) -> MediaInterval | None:
        """Return the media time that an answer is about; None before the first frame.

        An answer without a latency may be about anything of the last period as well.
        """
        if not self._log:
            return None
        transit_s = self.transit_s + (self.period_s if total_latency_s is None else 0.0)
        newest_s = self.window_end_s(received_at_s, total_latency_s)
        oldest_s = newest_s - self.length_s - transit_s
        seen = [entry.picture for entry in self._log if oldest_s <= entry.at_s <= newest_s]
        seen.append(self._on_screen(oldest_s))
        return MediaInterval(
            start_us=min(picture.pts_us for picture in seen),
            end_us=max(picture.pts_us + max(picture.duration_us, 1) for picture in seen),
            uncertainty_us=round(transit_s * 1_000_000),
        )

    def _on_screen(self, at_s: float) -> P:
        """The newest picture published until `at_s`, else the oldest one known."""
        shown = self._log[0].picture
        for entry in self._log:
            if entry.at_s > at_s:
                break
            shown = entry.picture
        return shown

    def settle(self, interval: MediaInterval) -> Settlement[P]:
        """Settle all frames before the end of `interval`."""
        covered: list[P] = []
        before: list[_Published[P]] = []
        while self._unsettled and self._unsettled[0].picture.pts_us < interval.end_us:
            entry = self._unsettled.popleft()
            if entry.picture.pts_us < interval.start_us:
                before.append(entry)
            else:
                covered.append(entry.picture)
        # Windows come every period: a longer stretch without one had an answer due.
        silent_s = before[-1].at_s - before[0].at_s if before else 0.0
        answer_was_due = silent_s > 1.5 * self.period_s + self.length_s
        pictures = tuple(entry.picture for entry in before)
        return Settlement(
            covered=tuple(covered),
            between=() if answer_was_due else pictures,
            unanswered=pictures if answer_was_due else (),
        )

    def take_unsettled(self, published_until_s: float | None = None) -> tuple[P, ...]:
        """Give up waiting for the frames published until then (default: all); return them."""
        taken: list[P] = []
        while self._unsettled and (
            published_until_s is None or self._unsettled[0].at_s <= published_until_s
        ):
            taken.append(self._unsettled.popleft().picture)
        return tuple(taken)

    def restart(self) -> None:
        """Forget the log: a new stream has seen nothing yet.

        Raises:
            RuntimeError: Frames of the old stream are unsettled; they would be lost.
        """
        if self._unsettled:
            msg = "settle or take the frames of the old stream first"
            raise RuntimeError(msg)
        self._log.clear()
