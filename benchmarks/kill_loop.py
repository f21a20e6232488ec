"""Kills the archive pipeline with SIGKILL at random moments and checks the Parquet files.

Real processes, the real command line, the real LiveKit SDK, a real local server. Every frame of
every file must be settled by exactly one row at the end, however often the run was killed; and a
reader that looks all the time must never see an error, a repeated id or a row that vanishes. With
several processes a kill hits one of them, which the others must survive by starting again, or the
one that watches them, which takes all of them with it.

    python benchmarks/kill_loop.py --kills 200 --seed 1
    python benchmarks/kill_loop.py --kills 200 --seed 1 --processes 2
    python benchmarks/kill_loop.py --sink iceberg --kills 20 --records 8000
    python benchmarks/kill_loop.py --sink kafka --kills 50 --broker-kills 20 --records 100000
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
from kill_loop_kafka import main as kafka_loop
from kill_loop_reader import WatchingReader
from kill_loop_tables import main as tables_loop
from kill_loop_tables_child import KINDS as TABLE_KINDS

from overshoot_flow.local.running import running_server
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.local.testvideo import VideoSpec, generate

KEY = "ovs-kill-loop"
FPS = 10
FILES = 2
DURATION_S = 6.0
LIFE_S = (0.3, 6.0)
"""How long a life lasts before it is killed; start-up alone takes a second or two."""
FRUITFUL_SHARE = 0.75
"""Share of the lives that are killed only after they have been answered."""
QUICK_S = 5.0
"""Two kills so soon after the start are the hardest: nothing new may be durable between them."""


@dataclass
class Findings:
    """What all rounds together have shown."""

    kills: int = 0
    kills_wanted: int = 0
    quick_double_kills: int = 0
    rounds: int = 0
    rows_ideal: int = 0
    lost: int = 0
    doubled: int = 0
    reader_anomalies: int = 0
    seconds_to_recover: list[float] = field(default_factory=list)
    _was_quick: bool = False

    def killed(self, life_s: float) -> None:
        """Count a kill so long after the start."""
        self.kills += 1
        is_quick = life_s < QUICK_S
        self.quick_double_kills += is_quick and self._was_quick
        self._was_quick = is_quick


@dataclass(frozen=True)
class Round:
    """One run from its beginning to its good end, through as many kills as there are."""

    folder: Path
    files: list[Path]
    base_url: str
    workers: int
    processes: int

    @property
    def out(self) -> Path:
        """The output folder."""
        return self.folder / "out"

    def start(self) -> subprocess.Popen[bytes]:
        """Start the pipeline; the same command goes on where the last one died."""
        command = [sys.executable, "-m", "overshoot_flow_pipelines.cli", "archive"]
        command += [*map(str, self.files), "--prompt", "Which stamps?", "--out", str(self.out)]
        command += ["--mode", "frame", "--interval", "0.25", "--fps", str(FPS)]
        command += ["--base-url", self.base_url, "--epoch", "0.25", "--roll", "0.5"]
        command += ["--workers", str(self.workers)]
        if self.processes > 1:
            command += ["--processes", str(self.processes)]
        log = (self.folder / "log").open("ab")
        try:
            return subprocess.Popen(
                command, env={**os.environ, "OVERSHOOT_API_KEY": KEY}, stdout=log, stderr=log
            )
        finally:
            log.close()


def answered_streams(base_url: str) -> set[str]:
    """Ids of the streams that have been answered."""
    root = base_url.removesuffix("/v0.2")
    with urllib.request.urlopen(f"{root}/_local/streams", timeout=10) as answer:  # noqa: S310
        streams: list[dict[str, Any]] = json.load(answer)
    return {stream["stream_id"] for stream in streams if stream["results"]}


@dataclass
class Life:
    """When to kill next, and whether the answers have come again since the last start."""

    base_url: str
    chance: random.Random

    def __post_init__(self) -> None:
        """Begin."""
        self.begin()

    def begin(self) -> None:
        """Draw when to kill, after a start."""
        self._started_s = time.monotonic()
        self._streams_before = answered_streams(self.base_url)
        self._waits_for_answers = self.chance.random() < FRUITFUL_SHARE
        self._least_s = self.chance.uniform(*LIFE_S)
        self.recovered_s: float | None = None

    @property
    def age_s(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._started_s

    def look(self) -> bool:
        """Look for answers; return whether the time has come to kill."""
        if self.recovered_s is None and answered_streams(self.base_url) - self._streams_before:
            self.recovered_s = self.age_s
        has_answers = self.recovered_s is not None
        return self.age_s >= self._least_s and (has_answers or not self._waits_for_answers)


def children_of(pid: int) -> list[int]:
    """Return the living children of a process, in order."""
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except FileNotFoundError:
        return []


def wait_until_gone(pids: list[int]) -> None:
    """Processes end by themselves when the one that watches them is gone; see that they do."""
    deadline_s = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > deadline_s:
            sys.exit(f"processes {pids} outlive the one that has started them")
        time.sleep(0.02)


def one_life(run: Round, chance: random.Random, findings: Findings) -> bool:
    """Run one command; return whether it came to its good end before it was killed."""
    process = run.start()
    life = Life(run.base_url, chance)
    while process.poll() is None:
        had_recovered = life.recovered_s is not None
        due = life.look()
        if life.recovered_s is not None and not had_recovered:
            findings.seconds_to_recover.append(life.recovered_s)
        if due and findings.kills < findings.kills_wanted:
            children = children_of(process.pid)
            victim = chance.choice([process.pid, *children])
            findings.killed(life.age_s)
            os.kill(victim, signal.SIGKILL)
            if victim == process.pid:
                process.wait()
                wait_until_gone(children)
                return False
            life.begin()
        time.sleep(0.05)
    if process.returncode != 0:
        sys.exit(
            f"the pipeline ended with {process.returncode}:\n{(run.folder / 'log').read_text()}"
        )
    return True


def settled_stretches(out: Path) -> dict[str, list[tuple[int, int]]]:
    """Read from the files which stretches of media the rows settle, by stream key."""
    stretches: dict[str, list[tuple[int, int]]] = {}
    for dataset, start, end in (
        ("results", "settled_start_us", "settled_end_us"),
        ("dead_letters", "settled_start_us", "settled_end_us"),
        ("gaps", "media_start_us", "media_end_us"),
    ):
        if not (out / dataset).exists():
            continue
        table = ds.dataset(out / dataset, partitioning="hive").to_table()
        for row in table.select(["stream_key", start, end]).to_pylist():
            if row[start] is not None:
                stretches.setdefault(row["stream_key"], []).append((row[start], row[end]))
    return stretches


def check(run: Round, findings: Findings) -> None:
    """Compare the rows with the ideal run: every frame settled once."""
    frames = [number * 1_000_000 // FPS for number in range(round(DURATION_S * FPS))]
    stretches = settled_stretches(run.out)
    findings.rows_ideal += len(frames) * len(run.files)
    findings.lost += len(frames) * (len(run.files) - len(stretches))
    for of_stream in stretches.values():
        settled = Counter(pts for pts in frames for start, end in of_stream if start <= pts < end)
        findings.lost += sum(settled[pts] == 0 for pts in frames)
        findings.doubled += sum(settled[pts] > 1 for pts in frames)
    findings.rounds += 1


@contextmanager
def server() -> Iterator[str]:
    """Run a server whose leases are short: killed runs leave their streams to them."""
    config = ServerConfig(
        keys={KEY: 1e9}, allow_faults=True, lease_ttl_s=5.0, max_streams_per_key=1000
    )
    with running_server(config) as running:
        yield running.base_url


def kill_loop(options: argparse.Namespace, folder: Path) -> Findings:
    """Run rounds until the kills have happened and the last round has ended well."""
    chance = random.Random(options.seed)  # noqa: S311 - repeatable on purpose
    findings = Findings(kills_wanted=options.kills)
    files = [folder / f"video-{number}.mp4" for number in range(FILES)]
    for file in files:
        generate(file, VideoSpec(width=320, height=180, fps=FPS, duration_s=DURATION_S, text=False))
    with server() as base_url:
        while findings.kills < findings.kills_wanted:
            run = Round(
                folder=folder / f"round-{findings.rounds}",
                files=files,
                base_url=base_url,
                workers=options.workers,
                processes=options.processes,
            )
            run.folder.mkdir()
            with WatchingReader(run.out) as reader:
                while not one_life(run, chance, findings):
                    pass
            findings.reader_anomalies += reader.anomalies
            check(run, findings)
    return findings


def main() -> int:
    """Print the findings; return 1 when a row is lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="worker threads of each process")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--sink", choices=["parquet", "kafka", *TABLE_KINDS], default="parquet")
    kafka = parser.add_argument_group(
        "with other sinks, see kill_loop_kafka.py and kill_loop_tables.py"
    )
    kafka.add_argument("--broker-kills", type=int, default=20)
    kafka.add_argument("--records", type=int, default=100_000)
    kafka.add_argument("--batch", type=int, default=40, help="largest batch of answers")
    kafka.add_argument("--broker-away", type=float, default=0.0, help="seconds, at the least")
    kafka.add_argument("--delivery", default="transactional")
    options = parser.parse_args()
    if options.sink == "kafka":
        return kafka_loop(options)
    if options.sink in TABLE_KINDS:
        return tables_loop(options)
    with tempfile.TemporaryDirectory(prefix="kill-loop-") as folder:
        findings = kill_loop(options, Path(folder))
    print(
        "RESULT "
        + json.dumps(
            {
                "kills": findings.kills,
                "quick_double_kills": findings.quick_double_kills,
                "rounds": findings.rounds,
                "workers": options.workers,
                "processes": options.processes,
                "rows_ideal": findings.rows_ideal,
                "lost": findings.lost,
                "doubled": findings.doubled,
                "reader_anomalies": findings.reader_anomalies,
                "seconds_to_recover_p50": round(statistics.median(findings.seconds_to_recover), 2),
            }
        )
    )
    return 1 if findings.lost or findings.doubled or findings.reader_anomalies else 0


if __name__ == "__main__":
    sys.exit(main())
