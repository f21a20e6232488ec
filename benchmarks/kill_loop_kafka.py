"""Kills program and broker with SIGKILL at random moments and reads the topic back.

Numbered answers go through `to_arrow` into a `KafkaSink` of a real broker; at the end every number
must be there once for a `read_committed` reader. Called by `kill_loop.py --sink kafka`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "services"))
from kafka_broker import Broker

CHILD: Final = Path(__file__).with_name("kill_loop_kafka_child.py")
SOURCES: Final = ("a", "b")
EARLY_SHARE: Final = 0.25
"""Share of the lives that are killed at once, wherever they are: at the start most can go wrong."""
EARLY_S: Final = (0.5, 3.0)
BROKER_AWAY_S: Final = (0.0, 2.0)
SETTLED_S: Final = 5.0
"""The program is given so long to fill its queue, before its memory is watched."""
BOTH_SHARE: Final = 0.4
"""Share of the broker's kills that the program's follows, while the broker is away or starts."""
BOTH_S: Final = (0.0, 5.0)


def rss_mib(pid: int) -> float:
    """Return the memory of a process, 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


@dataclass
class Loop:
    """One run from its beginning to its good end, through all kills.

    Kills are due at shares of the records, so that the last one comes before the end.
    """

    folder: Path
    options: argparse.Namespace
    program_kills: int = 0
    broker_kills: int = 0
    kills_after_broker: int = 0
    lives: int = 0
    _broker_back_s: float | None = field(default=None)
    rss_growth_mib: float = 0.0
    _settled_s: float = 0.0
    _rss_before: float | None = None
    _both_s: float | None = field(default=None)
    """When the program is to be killed because the broker was."""

    def __post_init__(self) -> None:
        """Start the broker and draw the moments."""
        self.chance = random.Random(self.options.seed)  # noqa: S311 - repeatable on purpose
        self.broker = Broker(self.folder / "broker")
        self._program_due = self._moments(self.options.kills)
        self._broker_due = self._moments(self.options.broker_kills)

    def _moments(self, count: int) -> list[int]:
        last = round(self.options.records * 0.9)
        return sorted(self.chance.randrange(last) for _ in range(count))

    def run(self) -> None:
        """Run until a life comes to its good end."""
        while not self._one_life():
            pass

    def _one_life(self) -> bool:
        self.lives += 1
        process = self._start()
        started_s = time.monotonic()
        is_early = self.chance.random() < EARLY_SHARE
        early_s = self.chance.uniform(*EARLY_S)
        while process.poll() is None:
            self._look_after_broker(process.pid)
            age_s = time.monotonic() - started_s
            is_both = self._both_s is not None and time.monotonic() >= self._both_s
            is_due = bool(self._program_due) and (
                is_both
                or (age_s >= early_s if is_early else self._position() >= self._program_due[0])
            )
            if is_due:
                self._program_due.pop(0)
                self.program_kills += 1
                self.kills_after_broker += is_both
                self._both_s = None
                process.kill()
                process.wait()
                return False
            time.sleep(0.01)
        if process.returncode != 0:
            sys.exit(f"the run ended with {process.returncode}:\n{self._log.read_text()}")
        return True

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(CHILD), str(self.folder), self.broker.bootstrap]
        command += ["--records", str(self.options.records), "--batch", str(self.options.batch)]
        command += ["--delivery", self.options.delivery]
        with self._log.open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    def _look_after_broker(self, pid: int) -> None:
        if self._broker_back_s is not None:
            if self._rss_before is not None:
                self.rss_growth_mib = max(self.rss_growth_mib, rss_mib(pid) - self._rss_before)
            elif time.monotonic() >= self._settled_s:
                self._rss_before = rss_mib(pid)
            if time.monotonic() >= self._broker_back_s:
                self._broker_back_s = self._rss_before = None
                self.broker.start(wait=False)
        elif self._broker_due and self._position() >= self._broker_due[0]:
            self._broker_due.pop(0)
            self.broker_kills += 1
            self.broker.kill()
            now_s = time.monotonic()
            away_s = self.options.broker_away + self.chance.uniform(*BROKER_AWAY_S)
            self._broker_back_s = now_s + away_s
            self._settled_s = now_s + SETTLED_S
            if self.chance.random() < BOTH_SHARE:
                self._both_s = now_s + self.chance.uniform(*BOTH_S)

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def _position(self) -> int:
        position = 0
        for source in SOURCES:
            file = self.folder / f"position-{source}"
            position += int(file.read_text() or 0) if file.exists() else 0
        return position

    def findings(self) -> dict[str, float | int]:
        """Read the topic and compare it with the numbers."""
        messages = self.broker.read("loop-results", timeout_s=120)
        keyed = [
            (message.key().decode(), json.loads(message.value())["media_start_us"])
            for message in messages
        ]
        counted = Counter(keyed)
        per_source = self.options.records // len(SOURCES)
        ideal = {(source, number) for source in SOURCES for number in range(per_source)}
        disordered = sum(
            later < earlier
            for source in SOURCES
            for numbers in [[number for key, number in keyed if key == source]]
            for earlier, later in pairwise(numbers)
        )
        return {
            "program_kills": self.program_kills,
            "broker_kills": self.broker_kills,
            "program_kills_after_broker": self.kills_after_broker,
            "records": len(ideal),
            "missing": len(ideal - set(counted)),
            "doubled_read_committed": sum(count - 1 for count in counted.values()),
            "disordered": disordered,
            "rss_growth_while_broker_away_mib": round(self.rss_growth_mib, 1),
        }


def main(options: argparse.Namespace) -> int:
    """Print the findings; return 1 when a record is missing, or doubled in transactional mode."""
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kill-loop-kafka-") as folder:
        loop = Loop(Path(folder), options)
        try:
            loop.run()
            findings = loop.findings()
        finally:
            loop.broker.kill()
    facts = {"sink": "kafka", "delivery": options.delivery, **findings}
    facts["seconds"] = round(time.monotonic() - began_s)
    print("RESULT " + json.dumps(facts))
    doubled = facts["doubled_read_committed"] and options.delivery == "transactional"
    return 1 if facts["missing"] or doubled else 0
