"""What a Parquet partition remembers between epochs, as a pure state machine.

Rows go into an append-only log. When the log is rolled it becomes staged Parquet files, in epoch N;
they are published at the end of epoch N+1, because only then it is certain that N is durable:
published earlier, a crash would repeat them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from overshoot_flow.errors import ConfigurationError

STATE_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetState:
    """The state that the engine saves at the end of an epoch.

    Attributes:
        run_id: The run that writes; the output says the same.
        sequence: Number of the log that is being filled.
        log_bytes: Length of that log at the end of the epoch.
        log_rows: Rows in it.
        log_since_s: When its first row was written, in seconds of UTC since 1970.
        staged: Sequences whose files are staged and become visible when this state is durable.
    """

    run_id: str
    sequence: int = 0
    log_bytes: int = 0
    log_rows: int = 0
    log_since_s: float | None = None
    staged: tuple[int, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """Return plain values for the recovery store."""
        return {
            "version": STATE_VERSION,
            "run_id": self.run_id,
            "sequence": self.sequence,
            "log_bytes": self.log_bytes,
            "log_rows": self.log_rows,
            "log_since_s": self.log_since_s,
            "staged": list(self.staged),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Read `to_plain`'s values.

        Raises:
            ConfigurationError: Another version of this library wrote them.
        """
        if plain.get("version") != STATE_VERSION:
            raise ConfigurationError(
                f"the sink's recovery state is of version {plain.get('version')}, this library "
                f"reads {STATE_VERSION}: finish the run with the library that began it, or begin "
                "anew with an empty state folder and output"
            )
        return cls(
            run_id=plain["run_id"],
            sequence=plain["sequence"],
            log_bytes=plain["log_bytes"],
            log_rows=plain["log_rows"],
            log_since_s=plain["log_since_s"],
            staged=tuple(plain["staged"]),
        )

    def grown(self, log_bytes: int, log_rows: int, now_s: float) -> Self:
        """The log is so long at the end of this epoch."""
        since_s = self.log_since_s
        if since_s is None and log_rows > 0:
            since_s = now_s
        return replace(self, log_bytes=log_bytes, log_rows=log_rows, log_since_s=since_s)

    def rolled(self) -> Self:
        """The log's rows are staged as files; the next log is empty."""
        return replace(
            self,
            sequence=self.sequence + 1,
            log_bytes=0,
            log_rows=0,
            log_since_s=None,
            staged=(*self.staged, self.sequence),
        )

    def published(self) -> Self:
        """All staged files are visible."""
        return replace(self, staged=())
