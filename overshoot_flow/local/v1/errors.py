"""Errors as v1 and v1beta word them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from overshoot_flow.errors import ServiceError
from overshoot_flow.local.api_errors import ApiError


class V1Error(ApiError):
    """An error with a body of its own; others are worded `{"detail": message}`.

    Attributes:
        headers: What the answer carries besides.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        body: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, code, message)
        self.headers = dict(headers or {})
        self._body = dict(body)

    def body(self, request_id: str) -> dict[str, Any]:  # noqa: ARG002 - these bodies carry none
        """The contract's body."""
        return self._body


def chat_error(status: int, code: str, message: str, kind: str = "invalid_request") -> V1Error:
    """An error of `POST /chat/completions`."""
    error = {"message": message, "type": kind, "code": code}
    return V1Error(status, code, message, {"detail": {"error": error}})


def upstream_refused(message: str) -> V1Error:
    """The model's host refuses the request as it is."""
    return chat_error(502, "upstream_http_400", message, "upstream_error")


def upstream_failed(message: str) -> V1Error:
    """The model's host failed."""
    return chat_error(502, "upstream_request_failed", message, "upstream_error")


def upstream_error(error: ServiceError) -> V1Error:
    """Pass on what an engine says about the model's host behind it."""
    status, code = error.status or 502, error.code or "upstream_request_failed"
    return chat_error(status, code, str(error), "upstream_error")


def validation_error(location: tuple[str | int, ...], message: str) -> V1Error:
    """A 422 about one part of the request."""
    detail = {"loc": list(location), "msg": message, "type": "value_error"}
    body = {"error": "validation_error", "message": "invalid request", "details": [detail]}
    return V1Error(422, "validation_error", message, body)


def rate_limited(message: str, headers: Mapping[str, str]) -> V1Error:
    """A 429 about requests; `headers` say the limit."""
    retry_after = {"retry-after": "1"}
    return V1Error(429, "rate_limited", message, {"detail": message}, {**headers, **retry_after})


def wrong_region(expected: str, requested: str) -> V1Error:
    """A 409: the stream is served elsewhere."""
    detail = {
        "error": "region_error",
        "expected_region": expected,
        "requested_region": requested,
    }
    return V1Error(409, "region_error", f"go to {expected}", {"detail": detail})


def body_of(error: ApiError, request_id: str) -> dict[str, Any]:
    """Return the body of `error` on a path of v1 or v1beta."""
    if isinstance(error, V1Error):
        return error.body(request_id)
    return {"detail": error.message}
