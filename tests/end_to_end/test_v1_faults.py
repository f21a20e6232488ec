"""A leased stream of v1 fails in mid-run; each window is recorded once all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from end_to_end_support import KEY, FaultAfter, Run
from window_flow_support import (
    Sampled,
    WindowServer,
    question,
    run_windows,
    seen,
    window_server,
)

from overshoot_flow.errors import InsufficientCreditsError
from overshoot_flow.local.testvideo import VideoSpec, generate
from overshoot_flow.protocol.windows import Windows
from overshoot_flow.results import GapReason, Outcome
from overshoot_flow.session.runtime import RUNTIME

pytestmark = pytest.mark.xdist_group("real time")

PLAN = Windows(1, 0.5)
SPEC = VideoSpec(width=320, height=180, fps=10, duration_s=5.0, gop=20)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("video") / "made.mp4", SPEC).path


def broken_run(
    server: WindowServer, path: Path, break_it: Callable[[], None], **service: Any
) -> tuple[Run, Sampled]:
    """Run the flow; after two answers something breaks."""
    on_outcome: Callable[[Outcome], None] = FaultAfter(2, break_it)
    done, sampled = run_windows(
        path, question(PLAN), server.windows_service(**service), on_outcome=on_outcome
    )
    assert done.frames_settled == done.frames_emitted == len(sampled.stamps)
    assert server.alive() == []
    return done, sampled


@pytest.mark.parametrize(
    ("fault", "streams"),
    [
        ({"kind": "room_disconnect"}, 1),
        ({"kind": "room_kick"}, 1),
        ({"kind": "http_errors", "path": "/v1/streams/", "count": 12}, 1),
        ({"kind": "room_disconnect", "permanent": True}, 2),
        ({"kind": "expire_lease"}, 2),
    ],
    ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_each_window_is_recorded_once_with_its_frames(
    fault: dict[str, Any], streams: int, path: Path
) -> None:
    with window_server() as server:
        done, sampled = broken_run(server, path, lambda: server.fault(**fault))
        assert len(server.streams()) == streams
    assert seen(done.results) == sampled.ideal(PLAN)
    assert not done.failures
    assert not done.gaps
    assert RUNTIME.failures == {}


def test_without_credit_the_run_ends_and_says_what_was_not_asked(path: Path) -> None:
    with window_server() as server:
        done, sampled = broken_run(server, path, lambda: server.fault("no_credit", key=KEY))
    assert {gap.reason for gap in done.gaps} == {GapReason.STOPPED}
    assert seen(done.results) == sampled.ideal(PLAN)[: len(done.results)]
    (failure,) = RUNTIME.failures.values()
    assert isinstance(failure, InsufficientCreditsError)
