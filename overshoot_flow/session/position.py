"""How far a source has come: a prefix of finished media, and finished stretches beyond it.

Answers come out of order (a filtered frame is settled at once, the one before it a second later),
so a single number would either lose or repeat. A position is saved by the engine in the epoch in
which the outcomes of the same pieces are emitted; both survive a crash, or neither does.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from overshoot_flow.errors import ConfigurationError

STATE_VERSION: Final = 1


@dataclass(slots=True)
class Position:
    """Finished media of one stream.

    Attributes:
        prefix_us: Everything before this media time is finished.
    """

    prefix_us: int = 0
    _starts: list[int] = field(default_factory=list)
    _ends: list[int] = field(default_factory=list)

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """Finished stretches beyond the prefix, in order, apart from each other."""
        return list(zip(self._starts, self._ends, strict=True))

    def is_finished(self, pts_us: int) -> bool:
        """Whether the sample at `pts_us` is finished."""
        if pts_us < self.prefix_us:
            return True
        index = bisect_right(self._starts, pts_us) - 1
        return index >= 0 and pts_us < self._ends[index]

    def finish(self, start_us: int, end_us: int) -> None:
        """Everything in `[start_us, end_us)` is finished."""
        start_us = max(start_us, self.prefix_us)
        if start_us >= end_us:
            return
        # All stretches that touch the new one become one with it.
        first = bisect_left(self._ends, start_us)
        last = bisect_right(self._starts, end_us)
        if first < last:
            start_us = min(start_us, self._starts[first])
            end_us = max(end_us, self._ends[last - 1])
        self._starts[first:last] = [start_us]
        self._ends[first:last] = [end_us]
        self.advance(self.prefix_us)

    def advance(self, prefix_us: int) -> None:
        """No unfinished sample lies before `prefix_us`; stretches it overtakes are trimmed."""
        self.prefix_us = max(self.prefix_us, prefix_us)
        while self._starts and self._starts[0] <= self.prefix_us:
            self.prefix_us = max(self.prefix_us, self._ends[0])
            del self._starts[0], self._ends[0]

    def to_state(self) -> dict[str, Any]:
        """Return plain values for the recovery store."""
        return {
            "version": STATE_VERSION,
            "prefix_us": self.prefix_us,
            "stretches": self.stretches,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Read `to_state`'s values.

        Raises:
            ConfigurationError: Another version of this library wrote them.
        """
        if state.get("version") != STATE_VERSION:
            raise ConfigurationError(
                f"the recovery state is of version {state.get('version')}, this library reads "
                f"{STATE_VERSION}: finish the run with the library that began it, or start anew "
                "with an empty state folder and output"
            )
        position = cls(prefix_us=state["prefix_us"])
        for start_us, end_us in state["stretches"]:
            position.finish(start_us, end_us)
        return position
