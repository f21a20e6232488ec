"""What a replay of dead letters has done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from overshoot_flow.results import Failure
from overshoot_flow.session.windows_again import NotAsked


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAskedLetter:
    """A dead letter that was not asked about again, why, and in words."""

    result_id: str
    stream_key: str
    why: NotAsked
    detail: str

    @classmethod
    def of(cls, failure: Failure, why: NotAsked, detail: str) -> NotAskedLetter:
        """Name the dead letter."""
        return cls(
            result_id=failure.result_id, stream_key=failure.stream_key, why=why, detail=detail
        )


@dataclass(slots=True, kw_only=True)
class ReplayReport:
    """What a replay has done.

    Attributes:
        moved: Dead letters that have become results.
        done_before: Those that had already, or whose identity was a result's already.
        failing: Those that still fail, by the reason of their newest answer.
        not_replayable: Those without a whole answer, or without a schema, that nobody was to be
            asked about, by reason.
        asked: Those that the service was asked about again; they are in `moved` or `failing` too.
        not_asked: Those that were to be asked about, and were not.
        cost_cents: What the answers have cost, as far as the service tells.
    """

    moved: int = 0
    done_before: int = 0
    failing: Counter[str] = field(default_factory=Counter)
    not_replayable: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    not_asked: list[NotAskedLetter] = field(default_factory=list)
    cost_cents: float = 0.0
