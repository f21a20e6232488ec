"""The production's classes in a simulated world: schedules stay clean, defects are noticed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from simulation_checks import Checks, Violation
from simulation_mutants import MUTANTS
from simulation_planting import Mutant, schedules_until_caught
from simulation_report import report, violation_of
from simulation_run import run_schedule
from simulation_schedule import Schedule

SIMULATE = Path(__file__).parents[2] / "benchmarks" / "simulate.py"
SCHEDULES = 5_000
SHARES = 5
ENOUGH_SCHEDULES = 4_000
"""Twice and more than the mutant that takes longest needs."""


@pytest.mark.parametrize("share", range(SHARES))
def test_every_frame_is_settled_exactly_once_whatever_happens(share: int) -> None:
    for seed in range(share, SCHEDULES, SHARES):
        schedule = Schedule.of(seed)
        if violation_of(schedule) is not None:
            pytest.fail(report(schedule), pytrace=False)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_planted_defect_is_noticed(mutant: Mutant) -> None:
    assert schedules_until_caught(mutant, ENOUGH_SCHEDULES) is not None


def test_a_seed_repeats_a_run_exactly() -> None:
    def events(seed: int) -> list[str]:
        checks = Checks(Schedule.of(seed), keeps_log=True)
        run_schedule(checks.schedule, checks)
        return checks.events

    assert [events(seed) for seed in range(50)] == [events(seed) for seed in range(50)]


def test_schedules_reach_what_they_are_for() -> None:
    log = ""
    for seed in range(200):
        checks = Checks(Schedule.of(seed), keeps_log=True)
        run_schedule(checks.schedule, checks)
        log += "\n".join(checks.events)
    for event in (
        "CRASH before rename",
        "CRASH before save",
        "CRASH before activation",
        "live -> waiting",
        "draining -> waiting",
        "creating -> failed",
        "MediaGap",
        "visible out/results",
        "visible out/dead_letters",
        "visible out/gaps",
        "stop",
    ):
        assert event in log, event


def test_a_failing_schedule_is_reported_with_its_seed_and_what_happened() -> None:
    lost_pieces = next(each for each in MUTANTS if each.name == "the last piece is thrown away")
    with lost_pieces.planted():
        text = report(Schedule.of(3))
    assert text.startswith("seed 3 violates: emitted is not settled")
    assert "steps = 1" in text
    assert "frame@0" in text


def test_a_mutant_that_does_not_fit_the_code_any_more_is_an_error() -> None:
    stale = Mutant("stale", Checks, "life_begins", "no such text", "")
    with pytest.raises(ValueError, match="no such text"), stale.planted():
        pass


def test_a_broken_rule_stops_the_schedule() -> None:
    checks = Checks(Schedule.of(0))
    with pytest.raises(Violation, match="the brake does not hold"):
        checks.brake(emitted=5, released=[1], capacity=3)


def test_the_benchmark_ends_with_its_result() -> None:
    done = subprocess.run(
        [sys.executable, str(SIMULATE), "--schedules", "40", "--seed", "7", "--mutants", "2"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    last_line = (done.stdout.splitlines() or [""])[-1]
    assert last_line.startswith("RESULT "), done.stderr
    result = json.loads(last_line.removeprefix("RESULT "))
    assert done.returncode == 0, done.stdout
    assert result.pop("schedules_per_s") > 0
    assert result == {"schedules": 40, "violations": 0, "mutants_caught": 2, "mutants": 2}
