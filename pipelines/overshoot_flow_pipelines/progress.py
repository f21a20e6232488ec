"""Progress on the terminal: one bar per file being watched, one in total."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from overshoot_flow_pipelines.tally import Counts, Tally

_REFRESH_INTERVAL_S: Final = 0.25
_FILES_PER_REFRESH: Final = 4
"""Opening a file takes a while; thousands of them must not hold up what is drawn."""
_MOST_BARS: Final = 8
"""Finished files leave their bar when more than this many are shown."""


class ArchiveProgress:
    """Shows a tally while a run goes on; a context manager.

    Args:
        tally: What is counted.
        names: What people call each stream key, in the order of the files.
        duration_of: Returns a stream's media duration in µs, or None if unknown. It is asked while
            the run goes on, a few files at a time, and on a terminal only.
        console: Where to draw; on anything but a terminal nothing is drawn.
    """

    def __init__(
        self,
        tally: Tally,
        names: Mapping[str, str],
        duration_of: Callable[[str], int | None],
        console: Console,
    ) -> None:
        self._tally = tally
        self._names = names
        self._duration_of = duration_of
        self._durations_us: dict[str, int | None] = {}
        self._unknown = iter(names)
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
        self._total_bar = self._progress.add_task("total", total=None, facts="")
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
        if self._progress.disable:
            return
        while not self._over.wait(_REFRESH_INTERVAL_S):
            self._learn_durations()
            self._draw()
        self._draw()

    def _learn_durations(self) -> None:
        for stream_key in itertools.islice(self._unknown, _FILES_PER_REFRESH):
            self._durations_us[stream_key] = self._duration_of(stream_key)
        if self._total_bar is not None and len(self._durations_us) == len(self._names):
            known_us = [each for each in self._durations_us.values() if each is not None]
            self._progress.update(self._total_bar, total=sum(known_us) or None)

    def _draw(self) -> None:
        seen_us = 0
        for stream_key in self._names:
            duration_us = self._durations_us.get(stream_key)
            counts = self._tally.of(stream_key)
            seen_us += counts.media_end_us
            if stream_key in self._retired:
                continue
            if stream_key not in self._bars:
                if counts.media_end_us == 0 or len(self._bars) >= _MOST_BARS:
                    continue
                self._bars[stream_key] = self._progress.add_task(
                    self._names[stream_key], total=None, facts=""
                )
            self._progress.update(
                self._bars[stream_key],
                total=duration_us,
                completed=counts.media_end_us,
                facts=facts(counts),
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
