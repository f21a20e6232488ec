"""What makes a process dead, or unready."""

from __future__ import annotations

from dataclasses import replace

import pytest
from camera_samples import CAMERA

from overshoot_flow.protocol.session_machine import SessionState
from overshoot_flow.session.status import SessionFacts, SessionStatus
from overshoot_flow_connectors.rtsp import CameraStatus
from overshoot_flow_pipelines.observability.health import Health, liveness, readiness


def session(state: SessionState, *, faults: int = 0, service: str = "api") -> SessionFacts:
    return replace(SessionStatus().facts(), state=state, faults_in_a_row=faults, service=service)


def ready(sessions: list[SessionFacts], /, **changes: object) -> Health:
    arguments: dict[str, object] = {
        "is_stopping": False,
        "sources": {"door"},
        "sessions": {(f"step-{n}", "door"): facts for n, facts in enumerate(sessions)},
        "congested": [],
        "over_budget": [],
        "cameras": {"door": CAMERA},
        "problems": {},
    }
    return readiness(**{**arguments, **changes})  # type: ignore[arg-type] - varied by the tests


def test_an_engine_that_works_is_alive() -> None:
    health = liveness({"a": 0.02, "b": 59.9}, 60)
    assert health.document() == {
        "status": "ok",
        "problems": [],
        "sources": 2,
        "longest_idle_s": 59.9,
    }


def test_a_process_without_sources_is_alive() -> None:
    assert liveness({}, 60).is_good


def test_one_source_that_waits_shows_that_its_worker_hangs() -> None:
    health = liveness({"a": 0.02, "b": 61.0, "c": 75.0}, 60)
    assert not health.is_good
    assert "2 of 3 sources" in health.problems[0]
    assert "'c' for 75 s" in health.problems[0]


@pytest.mark.parametrize("state", [SessionState.LIVE, SessionState.DRAINING])
def test_a_stream_that_answers_makes_ready_whatever_others_do(state: SessionState) -> None:
    failing = session(SessionState.WAITING, faults=9, service="other")
    assert ready([session(state), failing, session(SessionState.FAILED)]).is_good


def test_a_session_that_has_nothing_to_publish_yet_is_no_problem() -> None:
    assert ready([session(SessionState.WAITING)]).is_good
    assert ready([]).is_good


def test_a_service_that_only_fails_is_named() -> None:
    failing = session(SessionState.WAITING, faults=3, service="api.example")
    trying = session(SessionState.CREATING, faults=5, service="api.example")
    assert ready([failing, trying]).problems == (
        "no stream at api.example lives, 5 faults in a row",
    )


def test_sessions_that_all_failed_make_unready() -> None:
    failed = session(SessionState.FAILED, faults=1)
    assert ready([failed, failed]).problems == ("every session has failed; the log says why",)


def test_a_budget_that_is_spent_for_all_makes_unready() -> None:
    waiting = session(SessionState.WAITING)
    sessions = {("ask", "door"): waiting, ("ask", "gate"): waiting}
    away = replace(CAMERA, connected=False)

    def judged(over_budget: set[str], **cameras: CameraStatus) -> Health:
        return ready(
            [],
            sources={"door", "gate"},
            sessions=sessions,
            over_budget=over_budget,
            cameras={"door": CAMERA, "gate": CAMERA, **cameras},
        )

    assert "the budget is spent" in judged({"door", "gate"}).problems[0]
    assert judged({"door"}).is_good
    # One that is away asks for nothing.
    assert not judged({"door"}, gate=away).is_good
    assert judged(set(), gate=away, door=away).is_good


def test_sessions_of_streams_that_are_over_do_not_matter() -> None:
    assert ready([session(SessionState.FAILED)], sources={"gate"}).is_good


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"is_stopping": True}, "the run is stopping"),
        ({"sources": ()}, "no source is open: the run has not begun, or is over"),
        (
            {"congested": ["door"]},
            "records of 1 streams are not taken: the engine or a sink is stuck",
        ),
        ({"problems": {"kafka": "no broker answers"}}, "kafka: no broker answers"),
    ],
)
def test_everything_else_that_makes_unready(changes: dict[str, object], problem: str) -> None:
    health = ready([session(SessionState.LIVE)], **changes)
    assert health.document()["status"] == "unavailable"
    assert health.problems == (problem,)


def test_cameras_that_are_away_are_told_and_no_reason() -> None:
    away = replace(CAMERA, connected=False, problem="no route")
    health = ready([], cameras={"door": CAMERA, "gate": away})
    assert health.document() == {
        "status": "ok",
        "problems": [],
        "cameras": {"connected": 1, "total": 2},
        "sessions": {"live": 0, "total": 0},
    }
