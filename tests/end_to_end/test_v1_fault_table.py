"""Each error that a question of v1 can meet, once: what is promised is counted in the server's log.

The windows' pictures travel in the questions, except where a stream is what the error is about.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from end_to_end_support import Server
from v1_fault_support import IDEAL, WINDOWS, Faulty, run_over_v1

from overshoot_flow.errors import (
    AuthenticationError,
    InsufficientCreditsError,
    OvershootFlowError,
    RejectedRequestError,
    StreamLimitError,
)
from overshoot_flow.local.v1.config import REGIONS
from overshoot_flow.results import FailureReason, GapReason
from overshoot_flow.transport_config import Inline, NativeRoom

HOME, AWAY = REGIONS
LEAST_PAUSE_S = 0.25
"""Half of the first backoff: what jitter leaves of it at least."""

RETRIED = [
    (409, "frame_not_yet_produced", LEAST_PAUSE_S),
    (503, "model_unavailable", LEAST_PAUSE_S),
    (502, "upstream_http_500", LEAST_PAUSE_S),
    (502, "upstream_http_429", LEAST_PAUSE_S),
    (504, "upstream_timeout", LEAST_PAUSE_S),
    (502, "upstream_request_failed", LEAST_PAUSE_S),
    (500, "a_code_of_tomorrow", LEAST_PAUSE_S),
    # The answer says how long to wait.
    (429, "rate_limited", 1.0),
]
GIVEN_UP = [
    (400, "stream_url_invalid"),
    (400, "query_param_invalid"),
    (404, "segment_empty"),
    (400, "segment_invalid"),
    (410, "frame_evicted"),
    (400, "model_video_unsupported"),
    (400, "provider_safety_block"),
    (404, "model_unavailable"),
    (502, "upstream_http_400"),
    (422, "validation_error"),
    (418, "a_code_of_tomorrow"),
]
ENDED: list[tuple[int, str, type[OvershootFlowError]]] = [
    (401, "unauthorized", AuthenticationError),
    (402, "billing_denied", InsufficientCreditsError),
]
REPLACED = [(404, "stream_not_found"), (403, "stream_unauthorized")]


@pytest.fixture
def faulty(v1_server: Server, clip: Path) -> Callable[[int, str], Faulty]:
    """Runs a flow whose first question meets an error."""

    def run(status: int, code: str) -> Faulty:
        v1_server.fault("chat_errors", status=status, code=code)
        return run_over_v1(v1_server, clip, Inline())

    return run


@pytest.mark.parametrize(("status", "code", "least_pause_s"), RETRIED)
def test_the_question_is_asked_again_after_a_pause(
    status: int, code: str, least_pause_s: float, faulty: Callable[[int, str], Faulty]
) -> None:
    done = faulty(status, code)
    assert sorted(done.codes, key=str) == sorted([None] * WINDOWS + [code], key=str)
    assert done.codes[0] == code
    (again,) = (chat for chat in done.chats if list(chat.stamps) == IDEAL[0])
    assert again.at_s - done.chats[0].at_s >= least_pause_s
    assert done.stamps == IDEAL
    assert (done.run.failures, done.run.gaps, done.failures) == ([], [], [])


def test_the_question_is_asked_once_more_in_the_other_region(
    faulty: Callable[[int, str], Faulty],
) -> None:
    done = faulty(409, "region_error")
    asked = [(chat.region, chat.code) for chat in done.chats]
    assert asked[:2] == [(HOME, "region_error"), (AWAY, None)]
    assert len(asked) == WINDOWS + 1
    assert list(done.chats[1].stamps) == IDEAL[0]
    assert done.stamps == IDEAL
    assert (done.run.failures, done.run.gaps, done.failures) == ([], [], [])


@pytest.mark.parametrize(("status", "code"), GIVEN_UP)
def test_the_window_is_given_up_and_the_others_are_asked(
    status: int, code: str, faulty: Callable[[int, str], Faulty]
) -> None:
    done = faulty(status, code)
    assert done.codes == [code] + [None] * (WINDOWS - 1)
    (failure,) = done.run.failures
    assert failure.reason is FailureReason.REFUSED
    assert f"code={code}" in failure.detail
    assert failure.media_start_us == 0
    assert done.stamps == IDEAL[1:]
    assert (done.run.gaps, done.failures) == ([], [])


@pytest.mark.parametrize(("status", "code", "kind"), ENDED)
def test_the_run_ends_and_asks_nothing_more(
    status: int, code: str, kind: type[OvershootFlowError], v1_server: Server, clip: Path
) -> None:
    v1_server.fault("chat_errors", status=status, code=code, count=100)
    done = run_over_v1(v1_server, clip, Inline())
    # The next question may have gone before the answer to the first one was read.
    assert done.codes in ([code], [code] * 2)
    assert done.run.results == []
    assert {gap.reason for gap in done.run.gaps} == {GapReason.STOPPED}
    (failure,) = done.failures
    assert isinstance(failure, kind)


@pytest.mark.xdist_group("real time")
@pytest.mark.parametrize(("status", "code"), REPLACED)
def test_the_stream_is_replaced_and_every_window_answered(
    status: int, code: str, v1_server: Server, clip: Path
) -> None:
    v1_server.fault("chat_errors", status=status, code=code)
    done = run_over_v1(v1_server, clip, NativeRoom())
    assert done.codes[0] == code
    assert done.codes.count(code) == 1
    assert [stream["end_reason"] for stream in done.streams] == ["client_requested"] * 2
    assert {result.stream_id for result in done.run.results} == {done.streams[1]["stream_id"]}
    assert done.stamps == IDEAL
    assert (done.run.failures, done.run.gaps, done.failures) == ([], [], [])


@pytest.mark.xdist_group("real time")
@pytest.mark.parametrize("status", [429, 503])
def test_a_stream_that_is_refused_for_now_is_leased_later(
    status: int, v1_server: Server, clip: Path
) -> None:
    v1_server.fault("http_errors", status=status, path="/v1/streams")
    done = run_over_v1(v1_server, clip, NativeRoom())
    assert [stream["end_reason"] for stream in done.streams] == ["client_requested"]
    assert done.codes == [None] * WINDOWS
    assert done.stamps == IDEAL
    assert done.failures == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AuthenticationError),
        (402, InsufficientCreditsError),
        (422, RejectedRequestError),
    ],
)
def test_a_stream_that_is_refused_for_good_ends_the_run(
    status: int, kind: type[OvershootFlowError], v1_server: Server, clip: Path
) -> None:
    v1_server.fault("http_errors", status=status, path="/v1/streams", count=100)
    done = run_over_v1(v1_server, clip, NativeRoom())
    assert (done.streams, done.chats, done.run.results) == ([], [], [])
    assert {gap.reason for gap in done.run.gaps} == {GapReason.STOPPED}
    (failure,) = done.failures
    assert isinstance(failure, kind)
    assert not isinstance(failure, StreamLimitError)
