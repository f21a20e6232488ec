"""A fleet on the terminal: a live table there, a line every minute elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from overshoot_flow_pipelines.fleet_view import CameraRow, Condition, FleetView, headline

_REFRESHES_PER_SECOND: Final = 2
_LINE_INTERVAL_S: Final = 60.0
_LINES_AROUND_ROWS: Final = 8
"""Title, heading, frame and what stands below them."""

_STYLES: Final = {
    Condition.WATCHED: "green",
    Condition.WAITING: "yellow",
    Condition.BEGINNING: "dim",
    Condition.PROBLEM: "red",
    Condition.ENDING: "dim",
}
_COLUMNS: Final = (
    *("fps in", "published", "delivered", "lag"),
    *("results", "dead letters", "gaps", "cents"),
)

_logger = logging.getLogger(__name__)


def fleet_screen(view: FleetView, console: Console) -> AbstractContextManager[object]:
    """Show `view` while the block runs: as a table on a terminal, else as a line every minute."""
    return _live_table(view, console) if console.is_terminal else FleetLines(view)


@contextmanager
def _live_table(view: FleetView, console: Console) -> Iterator[None]:
    before = sys.stderr
    with Live(
        get_renderable=lambda: table(view, console.height - _LINES_AROUND_ROWS),
        console=console,
        refresh_per_second=_REFRESHES_PER_SECOND,
        transient=True,
    ):
        # Log lines go above the table instead of through it.
        handlers = [
            each
            for each in logging.getLogger().handlers
            if isinstance(each, logging.StreamHandler) and each.stream is before
        ]
        for handler in handlers:
            handler.setStream(sys.stderr)
        try:
            yield
        finally:
            for handler in handlers:
                handler.setStream(before)


def table(view: FleetView, most_rows: int) -> Table:
    """Draw the fleet; where it does not fit, cameras with problems are shown first.

    Args:
        view: The fleet.
        most_rows: How many rows there is room for; at least one is drawn.
    """
    rows = view.rows()
    shown = sorted(rows, key=lambda row: row.condition is not Condition.PROBLEM)
    shown = shown[: max(1, most_rows)]
    left_out = len(rows) - len(shown)
    drawn = Table(title=headline(rows, view.tally.total), title_justify="left", expand=True)
    drawn.add_column("camera", no_wrap=True)
    drawn.add_column("state", ratio=1, no_wrap=True, overflow="ellipsis")
    for name in _COLUMNS:
        drawn.add_column(name, justify="right", no_wrap=True)
    for row in rows if left_out == 0 else shown:
        drawn.add_row(row.name, Text(_state(row), _STYLES[row.condition]), *_cells(row))
    notes = [f"and {left_out} cameras more"] if left_out else []
    if view.file_problem is not None:
        notes.append(f"the fleet file is wrong, the fleet goes on as it was: {view.file_problem}")
    drawn.caption = Text("\n".join(notes), style="red", overflow="ellipsis") if notes else None
    return drawn


def _state(row: CameraRow) -> str:
    return f"{row.condition.value}: {row.detail}" if row.detail else row.condition.value


def _cells(row: CameraRow) -> tuple[str, ...]:
    return (
        f"{row.fps:.1f}",
        f"{row.published}",
        "" if row.delivered is None else f"{row.delivered[0]}x{row.delivered[1]}",
        "" if row.lag_s is None else f"{row.lag_s:.1f} s",
        f"{row.counts.results}",
        f"{row.counts.dead_letters}",
        f"{row.counts.gaps}",
        f"{row.counts.cost_cents:.2f}",
    )


class FleetLines:
    """Logs how a fleet is doing every minute; a context manager.

    Args:
        view: The fleet.
        interval_s: The time between two lines.
    """

    def __init__(self, view: FleetView, interval_s: float = _LINE_INTERVAL_S) -> None:
        self._view = view
        self._interval_s = interval_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fleet lines", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._interval_s):
            _logger.info("%s", headline(self._view.rows(), self._view.tally.total))
