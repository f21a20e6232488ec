"""Runs the production's classes through simulated schedules with crashes, and plants defects.

Sessions, ledger, positions, the source's partition, `infer` and the two-phase Parquet partition run
as they are, in virtual time; service, network, disk and engine are simulated. After every schedule
each frame must be settled exactly once for the readers. A planted defect must be noticed.

    python benchmarks/simulate.py --schedules 100000 --seed 1
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "simulation"))

from simulation_mutants import MUTANTS
from simulation_planting import schedules_until_caught
from simulation_report import report, violation_of
from simulation_schedule import Schedule

SHARE = 500
"""Schedules that a process is given at once."""
ENOUGH_SCHEDULES = 20_000
"""After so many schedules a defect counts as not noticed."""


def failing_seeds(seeds: Sequence[int]) -> list[int]:
    """Return the seeds whose schedules violate something."""
    return [seed for seed in seeds if violation_of(Schedule.of(seed)) is not None]


def caught_after(number: int) -> int | None:
    """Plant a defect; return how many schedules it took to notice."""
    return schedules_until_caught(MUTANTS[number], ENOUGH_SCHEDULES)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--schedules", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1, help="of the first schedule")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--mutants", type=int, default=len(MUTANTS), help="how many to plant")
    options = parser.parse_args()

    seeds = range(options.seed, options.seed + options.schedules)
    shares = [seeds[start : start + SHARE] for start in range(0, len(seeds), SHARE)]
    mutants = MUTANTS[: options.mutants]
    with ProcessPoolExecutor(options.processes) as pool:
        began_s = time.monotonic()
        failing = [seed for found in pool.map(failing_seeds, shares) for seed in found]
        took_s = time.monotonic() - began_s
        caught = list(pool.map(caught_after, range(len(mutants))))
    if failing:
        print(report(Schedule.of(failing[0])))
        print("failing seeds:", *failing)
    for mutant, schedules in zip(mutants, caught, strict=True):
        print(f"{'NOT NOTICED' if schedules is None else schedules:>11}  {mutant.name}")
    not_noticed = caught.count(None)
    result = {
        "schedules": len(seeds),
        "schedules_per_s": round(len(seeds) / took_s),
        "violations": len(failing),
        "mutants_caught": len(mutants) - not_noticed,
        "mutants": len(mutants),
    }
    print("RESULT", json.dumps(result))
    return 1 if failing or not_noticed else 0


if __name__ == "__main__":
    sys.exit(main())
