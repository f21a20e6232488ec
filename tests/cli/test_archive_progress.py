"""What is drawn while an archive run goes on."""

from __future__ import annotations

import io
import threading

from rich.console import Console

from overshoot_flow.results import Gap, GapReason
from overshoot_flow_pipelines.progress import ArchiveProgress
from overshoot_flow_pipelines.tally import Tally

NAMES = {f"key-{number}": f"video-{number}.mp4" for number in range(12)}


def seen_to_the_end(stream_key: str) -> Gap:
    return Gap(
        stream_key=stream_key,
        source="s",
        media_start_us=0,
        media_end_us=1_000_000,
        reason=GapReason.DECODE,
        detail="",
        frames_lost=3,
        recorded_at_us=0,
    )


def test_bars_learn_their_lengths_while_the_run_goes_on() -> None:
    asked: list[str] = []
    all_asked = threading.Event()

    def duration_of(stream_key: str) -> int:
        asked.append(stream_key)
        if len(asked) == len(NAMES):
            all_asked.set()
        return 1_000_000

    tally, drawn = Tally(), io.StringIO()
    with ArchiveProgress(tally, NAMES, duration_of, Console(file=drawn, force_terminal=True)):
        assert asked == []
        for key in NAMES:
            tally.add(seen_to_the_end(key))
        assert all_asked.wait(30)
    assert asked == list(NAMES)
    last = drawn.getvalue().rsplit("total", 1)[1]
    assert "100%" in last
    assert "36 frames" in last


def test_nothing_is_opened_when_nothing_is_drawn() -> None:
    def duration_of(stream_key: str) -> int:
        raise AssertionError(stream_key)

    drawn = io.StringIO()
    with ArchiveProgress(Tally(), NAMES, duration_of, Console(file=drawn)):
        pass
    assert drawn.getvalue() == ""
