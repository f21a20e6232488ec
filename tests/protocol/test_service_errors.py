"""Error answers: which exception, with which facts, and without what must not be shown."""

from __future__ import annotations

import json

import pytest

from overshoot_flow.config import Secret
from overshoot_flow.errors import (
    AuthenticationError,
    InsufficientCreditsError,
    RejectedRequestError,
    ServiceError,
    ServiceUnavailableError,
    StreamLimitError,
    StreamNotFoundError,
)
from overshoot_flow.protocol.service_errors import error_from_response

KEY = Secret('ovs-k"e\\y-1')
TOKEN = Secret("eyJ-room-token")


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RejectedRequestError),
        (401, AuthenticationError),
        (402, InsufficientCreditsError),
        (403, AuthenticationError),
        (404, StreamNotFoundError),
        (409, ServiceError),
        (418, ServiceError),
        (422, RejectedRequestError),
        (429, StreamLimitError),
        (500, ServiceUnavailableError),
        (502, ServiceUnavailableError),
        (503, ServiceUnavailableError),
        (599, ServiceUnavailableError),
    ],
)
def test_every_status_has_its_exception(status: int, kind: type[ServiceError]) -> None:
    body = encoded({"error": "a_code", "message": "Why.", "request_id": "q-1", "details": None})
    error = error_from_response(status, body)
    assert type(error) is kind
    assert (error.status, error.code, error.request_id) == (status, "a_code", "q-1")
    assert str(error) == f"Why. (status={status}, code=a_code, request_id=q-1)"


def test_details_are_part_of_the_text() -> None:
    details = [{"loc": ["processing", "target_fps"], "msg": "at most 30"}]
    error = error_from_response(422, encoded({"message": "Bad value", "details": details}))
    assert "Bad value: " in str(error)
    assert "target_fps" in str(error)
    assert "at most 30" in str(error)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "no reason given (status=502)"),
        (b"<html>Bad Gateway</html>", "no reason given (status=502)"),
        (b"[1, 2]", "no reason given (status=502)"),
        (b"\xff\xfe", "no reason given (status=502)"),
        (b"[" * 100_000, "no reason given (status=502)"),
        (b"{}", "no reason given (status=502)"),
        (b'{"detail": "gone"}', "gone (status=502)"),
        (b'{"detail": {"why": "x"}}', '{"why": "x"} (status=502)'),
        (b'{"message": 7, "error": 7, "request_id": ["x"]}', "7 (status=502)"),
        (b'{"details": ["x"]}', 'no reason given: ["x"] (status=502)'),
    ],
)
def test_any_body_is_tolerated(body: bytes, text: str) -> None:
    error = error_from_response(502, body)
    assert str(error) == text
    assert error.code is None
    assert error.request_id is None


def test_an_echoed_secret_is_hidden_wherever_it_stands() -> None:
    key, token = KEY.reveal(), TOKEN.reveal()
    error = error_from_response(
        422,
        encoded(
            {
                "error": f"bad_{key}",
                "message": f"the key {key} is wrong",
                "request_id": f"q-{token}",
                "details": [{"input": {"token": token, "headers": {"authorization": key}}}],
            }
        ),
        (KEY, TOKEN),
    )
    shown = f"{error} {error!r} {error.code} {error.request_id}"
    for secret in (key, json.dumps(key)[1:-1], repr(key)[1:-1], token):
        assert secret not in shown
    assert error.code == "bad_***"
    assert error.request_id == "q-***"


def test_a_secret_at_the_cut_is_not_shown_in_part() -> None:
    message = "x" * 297 + TOKEN.reveal()
    assert "eyJ" not in str(error_from_response(400, encoded({"message": message}), (TOKEN,)))


def test_a_text_is_one_printable_line_of_bounded_length() -> None:
    message = "one\ntwo\x1b[31m\ud800" + "x" * 10_000
    text = str(error_from_response(400, encoded({"message": message})))
    assert text.isprintable()
    assert text.startswith("one two [31m")
    assert len(text) < 400


@pytest.mark.parametrize(
    ("header", "retry_after_s"),
    [
        (None, None),
        ("1", 1.0),
        ("0", 0.0),
        (" 2.5 ", 2.5),
        ("120", 120.0),
        ("", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e9", None),
        ("9" * 400, None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_read_if_it_is_in_seconds(
    header: str | None, retry_after_s: float | None
) -> None:
    assert error_from_response(429, b"", retry_after=header).retry_after_s == retry_after_s
