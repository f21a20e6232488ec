"""Errors as the v0.2 contract words them: `{"error", "message", "request_id", "details"}`."""

from __future__ import annotations

from typing import Any

from overshoot_flow.errors import OvershootFlowError


class ApiError(OvershootFlowError):
    """An answer that is an error.

    Attributes:
        status: HTTP status.
        code: The contract's `error` field.
        message: For people to read.
        details: Facts for programs, or None.
    """

    def __init__(
        self, status: int, code: str, message: str, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = details

    def body(self, request_id: str) -> dict[str, Any]:
        """The contract's error body."""
        return {
            "error": self.code,
            "message": self.message,
            "request_id": request_id,
            "details": self.details,
        }


def invalid(field: str, message: str, **facts: object) -> ApiError:
    """A 422 about one field; `facts` say what would be valid."""
    return ApiError(422, "validation_error", f"{field}: {message}", {"field": field, **facts})


def not_json(message: str) -> ApiError:
    """A 400: the body cannot be read."""
    return ApiError(400, "bad_request", message)


def unauthorized() -> ApiError:
    """A 401: no key, or one that is not known."""
    return ApiError(401, "unauthorized", "the API key is missing or not accepted")


def out_of_credit() -> ApiError:
    """A 402."""
    return ApiError(402, "insufficient_credits", "the account has no credit left")


def stream_not_found() -> ApiError:
    """A 404: no such stream on this key, or it has ended."""
    return ApiError(404, "stream_not_found", "there is no such stream, or it has ended")


def too_many_streams(limit: int) -> ApiError:
    """A 429."""
    return ApiError(
        429,
        "stream_limit_exceeded",
        f"at most {limit} concurrent streams per API key",
        {"max_streams": limit},
    )


def model_not_available(model: str, why: str) -> ApiError:
    """A 503: the model takes no new streams."""
    return ApiError(503, "model_unavailable", f"{model}: {why}", {"model": model, "status": why})


def server_stopping() -> ApiError:
    """A 503: the server is going down."""
    return ApiError(503, "service_unavailable", "the server is stopping")
