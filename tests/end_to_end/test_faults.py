"""Every part of the service fails once in mid-run; every frame is accounted for all the same."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from end_to_end_support import KEY, STAMPS_SCHEMA, FaultAfter, Run, Server, run_flow

from overshoot_flow.config import FrameMode, Inference
from overshoot_flow.errors import InsufficientCreditsError, StreamEndedError
from overshoot_flow.local.running import running_server
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.results import FailureReason, GapReason
from overshoot_flow.session.runtime import RUNTIME

pytestmark = pytest.mark.xdist_group("real time")

DURATION_S = 6.0
INFERENCE = Inference(
    prompt="Which stamps?", output_schema=STAMPS_SCHEMA, mode=FrameMode(interval_s=0.25)
)


def faulty_run(
    server: Server, file: Path, kind: str, *, service: dict[str, Any] | None = None, **fault: Any
) -> Run:
    """Run the flow; after four answers the server breaks as told."""
    done = run_flow(
        [file],
        INFERENCE,
        server.service(**(service or {})),
        fps=10,
        on_outcome=FaultAfter(4, lambda: server.fault(kind, **fault)),
    )
    assert done.frames_emitted > 0
    assert done.frames_settled == done.frames_emitted
    assert server.alive() == []
    return done


def last_answered_us(done: Run) -> int:
    return max(result.media_end_us for result in done.results)


def test_a_lost_room_is_joined_again(server: Server, video: Callable[[float], Path]) -> None:
    done = faulty_run(server, video(DURATION_S), "room_disconnect")
    assert len({result.stream_id for result in done.results}) == 1
    assert last_answered_us(done) > (DURATION_S - 0.5) * 1e6
    assert RUNTIME.failures == {}


def test_a_publisher_that_is_sent_away_joins_the_same_stream_again(
    server: Server, video: Callable[[float], Path]
) -> None:
    done = faulty_run(server, video(DURATION_S), "room_kick")
    assert len({result.stream_id for result in done.results}) == 1
    assert len(server.streams()) == 1
    assert last_answered_us(done) > (DURATION_S - 0.5) * 1e6


def test_a_room_that_is_gone_leads_to_a_new_stream(
    server: Server, video: Callable[[float], Path]
) -> None:
    done = faulty_run(server, video(DURATION_S), "room_disconnect", permanent=True)
    assert len({result.stream_id for result in done.results}) == 2
    assert last_answered_us(done) > (DURATION_S - 0.5) * 1e6
    assert done.gaps == []


def test_a_lost_websocket_is_connected_again(
    server: Server, video: Callable[[float], Path]
) -> None:
    done = faulty_run(server, video(DURATION_S), "websocket_drop", count=1)
    assert len({result.stream_id for result in done.results}) == 1
    assert last_answered_us(done) > (DURATION_S - 0.5) * 1e6


def test_an_expired_lease_leads_to_a_new_stream(
    server: Server, video: Callable[[float], Path]
) -> None:
    done = faulty_run(server, video(DURATION_S), "expire_lease")
    ended = [stream["end_reason"] for stream in server.streams()]
    assert ended == ["lease_expired", "client_requested"]
    assert last_answered_us(done) > (DURATION_S - 0.5) * 1e6


@pytest.fixture
def short_lease_server() -> Iterator[Server]:
    """Keepalives come every two seconds."""
    config = ServerConfig(keys={KEY: 1000.0}, allow_faults=True, lease_ttl_s=6.0)
    with running_server(config) as running:
        yield Server(running.base_url)


def test_a_failing_keepalive_is_repeated(
    short_lease_server: Server,
    video: Callable[[float], Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    done = faulty_run(short_lease_server, video(DURATION_S), "http_errors", count=1, status=503)
    assert any("keepalive of stream" in record.message for record in caplog.records)
    (stream,) = short_lease_server.streams()
    assert stream["keepalives"] >= 1
    assert last_answered_us(done) > (DURATION_S - 0.5) * 1e6


def test_a_last_charge_that_hangs_does_not_keep_the_stream_from_its_deletion(
    server: Server, video: Callable[[float], Path]
) -> None:
    faulty_run(server, video(DURATION_S), "http_hang", count=1)
    (stream,) = server.streams()
    assert stream["end_reason"] == "client_requested"


def test_a_failing_model_makes_dead_letters(server: Server, video: Callable[[float], Path]) -> None:
    done = faulty_run(server, video(DURATION_S), "model_errors", count=3)
    assert [f.reason for f in done.failures] == [FailureReason.MODEL_ERROR] * 3
    assert last_answered_us(done) > (DURATION_S - 0.5) * 1e6


def test_a_model_that_hangs_makes_deadline_records(
    server: Server, video: Callable[[float], Path]
) -> None:
    done = faulty_run(
        server, video(DURATION_S), "model_slow", delay_s=60, service={"answers_deadline_s": 1.0}
    )
    assert {f.reason for f in done.failures} == {FailureReason.DEADLINE}
    assert sum(f.frames_covered for f in done.failures) > 0


def test_no_credit_fails_the_session_and_says_so(
    short_lease_server: Server, video: Callable[[float], Path]
) -> None:
    done = faulty_run(short_lease_server, video(DURATION_S), "no_credit")
    (failure,) = RUNTIME.failures.values()
    assert isinstance(failure, InsufficientCreditsError | StreamEndedError)
    assert [gap.reason for gap in done.gaps] == [GapReason.STOPPED]
    assert "credit" in done.gaps[0].detail
    assert len(short_lease_server.streams()) == 1


def test_waiting_for_a_stream_that_others_have_is_told_once(
    video: Callable[[float], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = [tmp_path / "first.mp4", tmp_path / "second.mp4"]
    for file in files:
        shutil.copy(video(DURATION_S), file)
    config = ServerConfig(keys={KEY: 1000.0}, max_streams_per_key=1)
    with running_server(config) as running, caplog.at_level(logging.DEBUG):
        done = run_flow(files, INFERENCE, Server(running.base_url).service(), fps=10)
    assert done.frames_settled == done.frames_emitted
    assert len({result.stream_key for result in done.results}) == len(files)
    refusals = [each for each in caplog.records if "status=429" in each.getMessage()]
    levels = [each.levelno for each in refusals]
    assert len(levels) > 1
    assert levels == [logging.WARNING] + [logging.DEBUG] * (len(levels) - 1)
