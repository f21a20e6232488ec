"""Progress on the terminal: one bar per file being watched, one in total."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from overshoot_flow_pipelines.tally import Counts, Tally

_REFRESH_INTERVAL_S: Final = 0.25
_MOST_BARS: Final = 8
"""Finished files leave their bar when more than this many are shown."""


class ArchiveProgress:
    """Shows a tally while a run goes on; a context manager.

    Args:
        tally: What is counted.
        durations_us: Media duration by stream key, in the order of the files; None if unknown.
        names: What people call each stream key.
        console: Where to draw; on anything but a terminal nothing is drawn.
    """

    def __init__(
        self,
        tally: Tally,
        durations_us: Mapping[str, int | None],
        names: Mapping[str, str],
        console: Console,
    ) -> None:
        self._tally = tally
        self._durations_us = durations_us
        self._names = names
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[facts]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._bars: dict[str, TaskID] = {}
        self._retired: set[str] = set()
        self._total_bar: TaskID | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._refresh, name="progress", daemon=True)

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._progress.start()
        known = [duration for duration in self._durations_us.values() if duration is not None]
        self._total_bar = self._progress.add_task("total", total=sum(known) or None, facts="")
        self._thread.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop drawing."""
        self._over.set()
        self._thread.join()
        self._progress.stop()

    def _refresh(self) -> None:
        while not self._over.wait(_REFRESH_INTERVAL_S):
            self._draw()
        self._draw()

    def _draw(self) -> None:
        seen_us = 0
        for stream_key, duration_us in self._durations_us.items():
            counts = self._tally.of(stream_key)
            seen_us += counts.media_end_us
            if stream_key in self._retired:
                continue
            if stream_key not in self._bars:
                if counts.media_end_us == 0 or len(self._bars) >= _MOST_BARS:
                    continue
                self._bars[stream_key] = self._progress.add_task(
                    self._names[stream_key], total=duration_us, facts=""
                )
            self._progress.update(
                self._bars[stream_key], completed=counts.media_end_us, facts=facts(counts)
            )
            if duration_us is not None and counts.media_end_us >= duration_us:
                self._retire(stream_key)
        if self._total_bar is not None:
            self._progress.update(
                self._total_bar, completed=seen_us, facts=facts(self._tally.total)
            )

    def _retire(self, stream_key: str) -> None:
        if len(self._bars) >= _MOST_BARS:
            self._progress.update(self._bars[stream_key], visible=False)
            del self._bars[stream_key]
            self._retired.add(stream_key)


def facts(counts: Counts) -> str:
    """One line of numbers beside a bar."""
    return (
        f"{counts.frames_settled} frames, {counts.results} results, "
        f"{counts.dead_letters} dead letters, {counts.cost_cents:.2f} cents"
    )
