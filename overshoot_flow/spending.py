"""What is spent, and whether a budget allows more."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from overshoot_flow.errors import ConfigurationError


class Spending:
    """Counts what is spent; every method may be called from any thread.

    Args:
        spent_cents: What was spent before.

    Attributes:
        before_cents: The same, as it was at construction.
    """

    def __init__(self, spent_cents: float = 0.0) -> None:
        self.before_cents = spent_cents
        self._lock = threading.Lock()
        self._spent_cents = spent_cents

    @property
    def spent_cents(self) -> float:
        """What is spent so far."""
        with self._lock:
            return self._spent_cents

    def spend(self, cents: float) -> None:
        """Note what was spent."""
        with self._lock:
            self._spent_cents += cents

    def allows(self, limit_cents: float | None, next_cents: float) -> bool:
        """Whether `next_cents` more stay within the limit, if there is one."""
        if limit_cents is None:
            return True
        spent_cents = self.spent_cents
        return spent_cents < limit_cents and spent_cents + next_cents <= limit_cents


@dataclass(frozen=True, slots=True)
class RunBudget:
    """What all streams of a process may spend together in one run.

    Args:
        limit_cents: The most.
        spending: What they spend; a new limit may go on with it. Not compared.
    """

    limit_cents: float
    spending: Spending = field(default_factory=Spending, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much one `infer` step may spend in one run, over restarts with the same state.

    Args:
        run_cents: The most on all streams of a process together; None for no limit.
        stream_cents: The most on each stream; None for no limit.

    Raises:
        ConfigurationError: A limit is not above 0.
    """

    run_cents: float | None = None
    stream_cents: float | None = None

    def __post_init__(self) -> None:
        """Check the limits."""
        for name in ("run_cents", "stream_cents"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigurationError(f"{name} is {value:g}; it must be above 0, or None")
