"""How far every `infer` step has come with one stream's media."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from overshoot_flow.results import Piece
from overshoot_flow.session.position import Position


@dataclass(slots=True)
class Progress:
    """Positions by step, fed with what the source emits and with the pieces it takes back.

    A source that resumes reads from `start_us` and leaves out what `is_finished` for every step.
    """

    _positions: dict[str, Position] = field(default_factory=dict)
    _resumed: Mapping[str, Position] = field(default_factory=dict)
    _emitted: deque[int] = field(default_factory=deque)

    @property
    def start_us(self) -> int:
        """Media time of the first sample that some step has not finished, as far as is known."""
        return min((p.prefix_us for p in self._positions.values()), default=0)

    def is_finished(self, pts_us: int) -> bool:
        """Whether every known step has finished the sample at `pts_us`."""
        return bool(self._positions) and all(
            position.is_finished(pts_us) for position in self._positions.values()
        )

    def finished_before(self, step_id: str, pts_us: int) -> bool:
        """Whether `step_id` had finished this sample before this part of the run began."""
        resumed = self._resumed.get(step_id)
        return resumed is not None and resumed.is_finished(pts_us)

    def emitted(self, pts_us: int) -> None:
        """The source emits the sample at `pts_us`."""
        self._emitted.append(pts_us)

    def take(self, pieces: Iterable[Piece], step_ids: Iterable[str]) -> None:
        """The source emits finished `pieces`; `step_ids` are the steps that take part."""
        for step_id in step_ids:
            self._positions.setdefault(step_id, Position())
        for piece in pieces:
            self._positions[piece.step_id].finish(piece.start_us, piece.end_us)
        for position in self._positions.values():
            self._advance(position)
        while len(self._emitted) > 1 and self.is_finished(self._emitted[0]):
            self._emitted.popleft()

    def _advance(self, position: Position) -> None:
        """Nothing unfinished lies before the first emitted sample that is unfinished."""
        for pts_us in self._emitted:
            if not position.is_finished(pts_us):
                position.advance(pts_us)
                return
        if self._emitted:
            position.advance(self._emitted[-1] + 1)

    def to_state(self) -> dict[str, Any]:
        """Return plain values for the recovery store."""
        return {step_id: position.to_state() for step_id, position in self._positions.items()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Read `to_state`'s values."""
        return cls(
            {step_id: Position.from_state(position) for step_id, position in state.items()},
            {step_id: Position.from_state(position) for step_id, position in state.items()},
        )
