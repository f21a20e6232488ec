"""A source of numbered answers for runs that are killed."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from overshoot_flow.results import Heartbeat, Outcome, Result

SOURCES: Final = ("a", "b")


class Numbers(FixedPartitionedSource[Outcome | Heartbeat, int]):
    """Gives `records` answers in all, and writes how far it is into the folder.

    Every life makes batches of other sizes, at most `batch` answers, and other texts, as a model
    would.
    """

    def __init__(self, folder: Path, records: int, batch: int) -> None:
        self.folder = folder
        self.records = records // len(SOURCES)
        self.batch = batch

    def list_parts(self) -> list[str]:
        return list(SOURCES)

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> _Part:  # noqa: ARG002 - the engine's signature
        return _Part(self, for_part, resume_state or 0)


class _Part(StatefulSourcePartition[Outcome | Heartbeat, int]):
    def __init__(self, source: Numbers, key: str, number: int) -> None:
        self.source = source
        self.key = key
        self.number = number
        self.chance = random.Random()  # noqa: S311 - every life is another one

    def next_batch(self) -> list[Outcome | Heartbeat]:
        (self.source.folder / f"position-{self.key}").write_text(str(self.number))
        if self.number >= self.source.records:
            raise StopIteration
        first = self.number
        size = self.chance.randint(1, self.source.batch)
        self.number = min(self.source.records, first + size)
        answers = [self._answer(number) for number in range(first, self.number)]
        return [Heartbeat(stream_key=self.key), *answers]

    def _answer(self, number: int) -> Result:
        return Result(
            result_id=f"{self.key}{number}",
            stream_key=self.key,
            source="numbers",
            media_start_us=number,
            media_end_us=number + 1,
            media_uncertainty_us=0,
            captured_start_us=None,
            captured_end_us=None,
            capture_basis="media",
            stream_id=None,
            mode="frame",
            backend="none",
            model="none",
            prompt="Which number?",
            prompt_version="1",
            raw_text=str(self.chance.random()),
            output=None,
            finish_reason=None,
            inference_latency_ms=None,
            total_latency_ms=None,
            received_at_us=0,
            delivered_width=None,
            delivered_height=None,
            frames_published_total=number,
            frames_sent_total=None,
            frames_covered=1,
            frames_between=0,
            settled_start_us=number,
            settled_end_us=number + 1,
        )

    def next_awake(self) -> datetime:
        return datetime.now(UTC) + timedelta(milliseconds=10)

    def snapshot(self) -> int:
        return self.number


def position(folder: Path) -> int:
    """Return how many answers the sources have given, as far as they have written it."""
    files = [folder / f"position-{source}" for source in SOURCES]
    return sum(int(file.read_text() or 0) for file in files if file.exists())


def ideal(records: int) -> set[str]:
    """Return the ids of all answers."""
    return {f"{source}{n}" for source in SOURCES for n in range(records // len(SOURCES))}
