"""From a schedule that fails to the smallest one like it, for people."""

from __future__ import annotations

from typing import Final

from simulation_checks import Checks, Violation
from simulation_run import run_schedule
from simulation_schedule import Schedule

_MOST_EVENTS: Final = 60


def violation_of(schedule: Schedule, checks: Checks | None = None) -> Violation | None:
    """Run a schedule; return what it violates, or None."""
    try:
        run_schedule(schedule, checks)
    except Violation as violation:
        return violation
    return None


def shrunk(schedule: Schedule, kind: str) -> Schedule:
    """Return a schedule without anything that the same violation does not need."""
    for simpler in schedule.simpler():
        violation = violation_of(simpler)
        if violation is not None and violation.kind == kind:
            return shrunk(simpler, kind)
    return schedule


def report(schedule: Schedule) -> str:
    """Return the seed, the shrunk schedule and the last things that happened in it.

    Raises:
        ValueError: The schedule violates nothing.
    """
    violation = violation_of(schedule)
    if violation is None:
        msg = f"seed {schedule.seed} violates nothing"
        raise ValueError(msg)
    smallest = shrunk(schedule, violation.kind)
    checks = Checks(smallest, keeps_log=True)
    violation = violation_of(smallest, checks) or violation
    return "\n".join(
        [
            f"seed {schedule.seed} violates: {violation}",
            "shrunk schedule:",
            str(smallest),
            f"its last {_MOST_EVENTS} events:",
            *checks.events[-_MOST_EVENTS:],
        ]
    )
