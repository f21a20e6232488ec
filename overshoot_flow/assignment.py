"""What is asked about one stream, where, and on what terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from overshoot_flow.config import Inference, Service
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.spending import RunBudget


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The question about one stream key.

    Args:
        inference: What is asked.
        services: Where it may be asked: the first one with a free slot is taken.
        priority: When there are fewer slots than streams, the greater number goes first.
        dwell_s: How long a stream keeps its slot while others of the same priority wait; None to
            keep it.
        budget_cents: At most this much is spent on the stream in one run; None for no limit.
        run_budget: What this stream and others may spend together, or None for no limit.
        labels: Names and values of the user's own; they stand in every record.

    Raises:
        ConfigurationError: There is no service, a number is not above 0, or a service cannot be
            asked this.
        LimitError: An answer may be longer than v0.2 allows.
    """

    inference: Inference
    services: tuple[Service, ...]
    priority: int = 0
    dwell_s: float | None = None
    budget_cents: float | None = None
    run_budget: RunBudget | None = None
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not self.services:
            raise ConfigurationError("no service to ask: name at least one")
        for name in ("dwell_s", "budget_cents"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigurationError(f"{name} is {value:g}; it must be above 0, or None")
        if all(each.generation != "v0.2" for each in self.services):
            return
        new = self.inference.needs_v1
        if new is not None:
            raise ConfigurationError(
                f"{new} can be asked of v1 and v1beta only: give the base URL of one of them, or "
                f"leave {new} out"
            )
        self.inference.check_token_rate()

    def same_stream(self, other: Assignment) -> bool:
        """Whether a stream that was leased for this can go on, in v0.2 with a new prompt."""
        if self.services != other.services:
            return False
        if self.services[0].generation != "v0.2":
            # There every question stands for itself.
            return True
        theirs = replace(other.inference, prompt=self.inference.prompt)
        return self.inference == theirs
