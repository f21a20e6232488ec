"""When rows that wait become a file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    """Bounds that make a file.

    Attributes:
        rows: Rows that are enough for a file.
        log_bytes: Bytes that are enough; a log is read back into memory as a whole.
        interval_s: Seconds after which the first row has waited long enough.
        buffer_bytes: Bytes of rows that may be in memory.
    """

    rows: int
    log_bytes: int
    interval_s: float
    buffer_bytes: int

    def is_due(self, rows: int, log_bytes: int, since_s: float | None, now_s: float) -> bool:
        """Whether the rows of a log that was begun at `since_s` should become files now."""
        if rows == 0 or since_s is None:
            return False
        waited_s = now_s - since_s
        return rows >= self.rows or log_bytes >= self.log_bytes or waited_s >= self.interval_s
