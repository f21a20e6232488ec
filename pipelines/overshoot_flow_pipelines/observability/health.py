"""Whether the process is alive, and whether it can do its work: judged from facts alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from overshoot_flow.protocol.session_machine import SessionState
from overshoot_flow.session.status import SessionFacts
from overshoot_flow_connectors.rtsp import CameraStatus

_ANSWERING: Final = frozenset({SessionState.LIVE, SessionState.DRAINING})
_ENDED: Final = frozenset({SessionState.CLOSED, SessionState.FAILED})


@dataclass(frozen=True, slots=True)
class Health:
    """A judgement.

    Attributes:
        problems: What is wrong; empty when all is well.
        facts: Numbers that stand beside it.
    """

    problems: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def document(self) -> dict[str, Any]:
        """Return it as values for JSON."""
        return {
            "status": "ok" if self.is_good else "unavailable",
            "problems": list(self.problems),
            **self.facts,
        }


def liveness(idle_s: Mapping[str, float], limit_s: float) -> Health:
    """Judge whether the engine still works.

    A process whose sources are not open yet, or not any more, is alive.

    Args:
        idle_s: How long ago the engine last let each open source work, by stream key.
        limit_s: How long that may be.
    """
    waiting = {key: age_s for key, age_s in idle_s.items() if age_s > limit_s}
    facts = {"sources": len(idle_s), "longest_idle_s": round(max(idle_s.values(), default=0.0), 3)}
    if not waiting:
        return Health((), facts)
    longest = max(waiting, key=lambda key: waiting[key])
    problem = (
        f"the engine has let {len(waiting)} of {len(idle_s)} sources wait for more than "
        f"{limit_s:g} s; {longest!r} for {waiting[longest]:.0f} s"
    )
    return Health((problem,), facts)


def readiness(
    *,
    is_stopping: bool,
    sources: Collection[str],
    sessions: Mapping[tuple[str, str], SessionFacts],
    congested: Collection[str],
    over_budget: Collection[str],
    cameras: Mapping[str, CameraStatus],
    problems: Mapping[str, str],
) -> Health:
    """Judge whether video that comes now would be answered and recorded.

    A camera that is away is no reason: it is in the facts and the metrics. A sink that fails ends
    the run; one that is stuck shows in records that nobody takes.

    Args:
        is_stopping: Whether the run was asked to stop.
        sources: Stream keys of the open sources.
        sessions: All sessions by step id and stream key; those of other streams do not matter.
        congested: Stream keys whose records wait in such a number that nothing is published.
        over_budget: Stream keys about which nothing is asked because a budget is spent.
        cameras: The cameras by stream key.
        problems: What checks of the user's own have found, by their names.
    """
    open_sessions = {key: facts for key, facts in sessions.items() if key[1] in sources}
    found = []
    if is_stopping:
        found.append("the run is stopping")
    elif not sources:
        found.append("no source is open: the run has not begun, or is over")
    found += _service_problems(list(open_sessions.values()))
    found += _budget_problems(open_sessions, over_budget, cameras)
    if congested:
        found.append(
            f"records of {len(congested)} streams are not taken: the engine or a sink is stuck"
        )
    found += [f"{name}: {problem}" for name, problem in problems.items()]
    live = sum(facts.state in _ANSWERING for facts in open_sessions.values())
    return Health(
        tuple(found),
        {
            "cameras": {
                "connected": sum(status.connected for status in cameras.values()),
                "total": len(cameras),
            },
            "sessions": {"live": live, "total": len(open_sessions)},
        },
    )


def _service_problems(sessions: list[SessionFacts]) -> list[str]:
    """One stream that lives shows that the way to the answers is open."""
    if any(facts.state in _ANSWERING for facts in sessions):
        return []
    if sessions and all(facts.state is SessionState.FAILED for facts in sessions):
        return ["every session has failed; the log says why"]
    failing: dict[str, int] = {}
    for facts in sessions:
        if facts.faults_in_a_row and facts.state not in _ENDED:
            failing[facts.service] = max(failing.get(facts.service, 0), facts.faults_in_a_row)
    return [
        f"no stream at {service} lives, {faults} faults in a row"
        for service, faults in sorted(failing.items())
    ]


def _budget_problems(
    sessions: Mapping[tuple[str, str], SessionFacts],
    over_budget: Collection[str],
    cameras: Mapping[str, CameraStatus],
) -> list[str]:
    """A camera that is away says nothing about the budget that all others have spent."""
    asked = {
        key
        for (_step, key), facts in sessions.items()
        if facts.state not in _ENDED and (key not in cameras or cameras[key].connected)
    }
    if asked and asked <= set(over_budget):
        return ["the budget is spent: nothing is asked until there is a greater one"]
    return []
