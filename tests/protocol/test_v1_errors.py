"""Every error code of v1 and v1beta: which exception, and what it asks for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from overshoot_flow.config import Secret
from overshoot_flow.errors import (
    AuthenticationError,
    ConfigurationError,
    InsufficientCreditsError,
    RateLimitError,
    RejectedRequestError,
    ServiceError,
    ServiceUnavailableError,
    StreamLimitError,
    StreamNotFoundError,
    TransportError,
    WindowError,
    WrongRegionError,
)
from overshoot_flow.protocol import v1, v1_chat
from overshoot_flow.protocol.v1_errors import (
    Decision,
    EndRun,
    GiveUpWindow,
    GoToRegion,
    ReplaceStream,
    RetryLater,
    decide,
    read_error,
)

CHAT = v1_chat.chat_completion(v1_chat.ChatRequest(model="m", prompt="?"))


def chat_error(status: int, code: str | None, **headers: str) -> ServiceError:
    body = {"detail": {"error": {"message": "Why.", "type": "t", "code": code, "upstream": None}}}
    return read_error(CHAT, status, json.dumps(body).encode(), headers)


@pytest.mark.parametrize(
    ("status", "code", "kind", "decision"),
    [
        (400, "stream_url_invalid", WindowError, GiveUpWindow()),
        (400, "query_param_invalid", WindowError, GiveUpWindow()),
        (404, "stream_not_found", StreamNotFoundError, ReplaceStream()),
        (403, "stream_unauthorized", StreamNotFoundError, ReplaceStream()),
        (404, "segment_empty", WindowError, GiveUpWindow()),
        (400, "segment_invalid", WindowError, GiveUpWindow()),
        (410, "frame_evicted", WindowError, GiveUpWindow()),
        (409, "frame_not_yet_produced", ServiceError, RetryLater()),
        (503, "model_unavailable", ServiceUnavailableError, RetryLater()),
        (404, "model_unavailable", ServiceError, GiveUpWindow()),
        (400, "model_video_unsupported", WindowError, GiveUpWindow()),
        (400, "provider_safety_block", WindowError, GiveUpWindow()),
        (402, "billing_denied", InsufficientCreditsError, EndRun()),
        (502, "upstream_http_400", ServiceUnavailableError, GiveUpWindow()),
        (502, "upstream_http_429", ServiceUnavailableError, RetryLater()),
        (502, "upstream_http_503", ServiceUnavailableError, RetryLater()),
        (400, "upstream_http_500", RejectedRequestError, RetryLater()),
        (504, "upstream_timeout", ServiceUnavailableError, RetryLater()),
        (502, "upstream_request_failed", ServiceUnavailableError, RetryLater()),
        (401, None, AuthenticationError, EndRun()),
        (403, None, AuthenticationError, EndRun()),
        (402, None, InsufficientCreditsError, EndRun()),
        (429, None, RateLimitError, RetryLater()),
        (500, None, ServiceUnavailableError, RetryLater()),
        (503, None, ServiceUnavailableError, RetryLater()),
        (404, None, ServiceError, GiveUpWindow()),
        (400, "a_new_code", RejectedRequestError, GiveUpWindow()),
        (409, "a_new_code", ServiceError, GiveUpWindow()),
        (413, None, ServiceError, GiveUpWindow()),
        (599, "a_new_code", ServiceUnavailableError, RetryLater()),
    ],
)
def test_every_code_has_its_exception_and_its_decision(
    status: int, code: str | None, kind: type[ServiceError], decision: Decision
) -> None:
    error = chat_error(status, code)
    assert type(error) is kind
    assert (error.status, error.code) == (status, code)
    assert str(error).startswith("Why. (status=")
    assert decide(error) == decision


@pytest.mark.parametrize(("status", "code"), [(429, None), (503, None), (502, "upstream_timeout")])
def test_a_pause_that_the_service_asks_for_is_part_of_the_decision(
    status: int, code: str | None
) -> None:
    error = chat_error(status, code, **{"retry-after": "1"})
    assert decide(error) == RetryLater(1.0)


def region_answer(expected: object) -> bytes:
    detail = {"error": "region_error", "expected_region": expected, "requested_region": "us-west1"}
    return json.dumps({"detail": detail}).encode()


def test_the_wrong_region_says_where_to_go() -> None:
    error = read_error(CHAT, 409, region_answer("us-central1"), {})
    assert isinstance(error, WrongRegionError)
    assert "us-central1" in str(error)
    assert decide(error) == GoToRegion("us-central1")


@pytest.mark.parametrize("expected", [None, 7, "", "US WEST", "a\r\nx-evil: 1", "x" * 41])
def test_a_region_that_cannot_be_a_header_is_not_followed(expected: object) -> None:
    error = read_error(CHAT, 409, region_answer(expected), {})
    assert type(error) is ServiceError
    assert decide(error) == GiveUpWindow()


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (v1.create_stream(), StreamLimitError),
        (v1.keepalive("s"), RateLimitError),
        (CHAT, RateLimitError),
    ],
)
def test_429_means_streams_for_a_new_stream_and_requests_elsewhere(
    request_: Any, kind: type[ServiceError]
) -> None:
    error = read_error(request_, 429, b'{"detail": "slow down"}', {"retry-after": "1"})
    assert type(error) is kind
    assert decide(error) == RetryLater(1.0)


def test_stream_errors_and_validation_errors_have_bodies_of_their_own() -> None:
    gone = read_error(v1.keepalive("s"), 404, b'{"detail": "Stream not found"}', {})
    assert type(gone) is StreamNotFoundError
    assert str(gone) == "Stream not found (status=404)"
    body = {
        "error": "validation_error",
        "message": "Invalid request",
        "details": [{"loc": ["body", "model"], "msg": "missing", "type": "missing"}],
    }
    invalid = read_error(CHAT, 422, json.dumps(body).encode(), {})
    assert type(invalid) is RejectedRequestError
    assert invalid.code == "validation_error"
    assert "body" in str(invalid)
    assert decide(invalid) == GiveUpWindow()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"\xff",
        b"{}",
        b'{"detail": []}',
        b'{"detail": {"error": []}}',
        b'{"detail": {"error": {"code": [], "message": {}}}}',
        b'{"error": {"code": "frame_evicted"}}',
        b"[" * 100_000,
    ],
)
def test_any_body_is_tolerated(body: bytes) -> None:
    error = read_error(CHAT, 502, body, {})
    assert type(error) is ServiceUnavailableError
    assert error.code is None
    assert decide(error) == RetryLater()


def test_an_echoed_secret_is_hidden() -> None:
    key = Secret("ovs_secret-1")
    body = json.dumps({"detail": {"error": {"message": key.reveal(), "code": key.reveal()}}})
    error = read_error(CHAT, 400, body.encode(), {}, (key,))
    assert key.reveal() not in f"{error} {error!r} {error.code}"


def test_what_is_no_answer_is_a_matter_of_the_network_or_the_program() -> None:
    assert decide(TransportError("no connection")) == RetryLater()
    assert decide(ConfigurationError("a wrong window")) == GiveUpWindow()
