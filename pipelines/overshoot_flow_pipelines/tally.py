"""Counts what a run said, so that it can be shown and added up."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, TypeVar

from overshoot_flow.results import Failure, Gap, Outcome, Result, Usage

_Number = TypeVar("_Number", int, float)
_SUMS: Final = (
    "results",
    "dead_letters",
    "gaps",
    "frames_answered",
    "frames_between",
    "frames_in_dead_letters",
    "frames_in_gaps",
    "cost_cents",
    "seconds_charged",
)


@dataclass(slots=True)
class Counts:
    """Totals of one stream key, or of a run.

    Every frame that a source emitted is in exactly one of `frames_answered`, `frames_between`,
    `frames_in_dead_letters` and `frames_in_gaps` when the run is over.
    """

    results: int = 0
    dead_letters: int = 0
    gaps: int = 0
    frames_answered: int = 0
    frames_between: int = 0
    frames_in_dead_letters: int = 0
    frames_in_gaps: int = 0
    cost_cents: float = 0.0
    seconds_charged: float = 0.0
    credits_remaining_cents: float | None = None
    media_end_us: int = 0
    dead_letter_reasons: Counter[str] = field(default_factory=Counter)
    gap_reasons: Counter[str] = field(default_factory=Counter)
    smallest_delivered_height: int | None = None

    @property
    def frames_settled(self) -> int:
        """Frames whose outcome is known."""
        return (
            self.frames_answered
            + self.frames_between
            + self.frames_in_dead_letters
            + self.frames_in_gaps
        )

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        match outcome:
            case Result():
                self.results += 1
                self.frames_answered += outcome.frames_covered
                self.frames_between += outcome.frames_between
                self._delivered(outcome.delivered_height)
            case Failure():
                self.dead_letters += 1
                self.dead_letter_reasons[outcome.reason] += 1
                self.frames_in_dead_letters += outcome.frames_covered
                self.frames_between += outcome.frames_between
            case Gap():
                self.gaps += 1
                self.gap_reasons[outcome.reason] += 1
                self.frames_in_gaps += outcome.frames_lost
            case Usage():
                self.cost_cents += outcome.cost_cents or 0.0
                self.seconds_charged += outcome.seconds_charged or 0.0
                self.credits_remaining_cents = outcome.credits_remaining_cents
                return
        self.media_end_us = max(self.media_end_us, outcome.media_end_us)

    def include(self, other: Counts) -> None:
        """Add what another process has counted, of other streams on the same account."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.dead_letter_reasons += other.dead_letter_reasons
        self.gap_reasons += other.gap_reasons
        # Credit only shrinks while a run goes on: the smaller figure is the newer one.
        self.credits_remaining_cents = _smaller(
            self.credits_remaining_cents, other.credits_remaining_cents
        )
        self.media_end_us = max(self.media_end_us, other.media_end_us)
        self._delivered(other.smallest_delivered_height)

    def _delivered(self, height: int | None) -> None:
        self.smallest_delivered_height = _smaller(self.smallest_delivered_height, height)


def _smaller(one: _Number | None, other: _Number | None) -> _Number | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


class Tally:
    """Counts per stream key and in total; any thread may add and read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = Counts()
        self._by_stream: dict[str, Counts] = {}

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        with self._lock:
            self._total.add(outcome)
            self._by_stream.setdefault(outcome.stream_key, Counts()).add(outcome)

    @property
    def total(self) -> Counts:
        """Counts over all streams."""
        return self._total

    def streams(self) -> tuple[str, ...]:
        """Return the keys of the streams that have said something."""
        with self._lock:
            return tuple(self._by_stream)

    def of(self, stream_key: str) -> Counts:
        """Counts of one stream, zeros while it has said nothing."""
        with self._lock:
            return self._by_stream.get(stream_key, Counts())
