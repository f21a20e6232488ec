"""What an error of v1 and v1beta means, as a decision about the window that was asked. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from overshoot_flow.config import Secret
from overshoot_flow.errors import (
    AuthenticationError,
    InsufficientCreditsError,
    OvershootFlowError,
    RateLimitError,
    ServiceError,
    StreamLimitError,
    StreamNotFoundError,
    TransportError,
    WindowError,
    WrongRegionError,
)
from overshoot_flow.protocol.fields import read_json
from overshoot_flow.protocol.requests import Request
from overshoot_flow.protocol.service_errors import error_from_response

REGION_ERROR: Final = "region_error"
_UPSTREAM_STATUS: Final = re.compile(r"upstream_http_([0-9]{3})")
_TOO_MANY_REQUESTS: Final = 429
_NOT_FOUND: Final = 404
_SERVER_FAULT: Final = 500
_REGION: Final = re.compile(r"[a-z0-9-]{1,40}")


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Ask the same again after a pause: `after_s` seconds, or what the caller's backoff says."""

    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class GoToRegion:
    """Ask the same again at once in `region`, one time, and remember it for the stream."""

    region: str


@dataclass(frozen=True, slots=True)
class GiveUpWindow:
    """No repetition answers this window; others may fare better."""


@dataclass(frozen=True, slots=True)
class ReplaceStream:
    """The stream cannot be used any more: lease a new one."""


@dataclass(frozen=True, slots=True)
class EndRun:
    """No request of this run can succeed."""


Decision: TypeAlias = RetryLater | GoToRegion | GiveUpWindow | ReplaceStream | EndRun

_RETRY: Final = frozenset({"frame_not_yet_produced", "upstream_timeout", "upstream_request_failed"})
_BY_CODE: Final[Mapping[str | None, type[ServiceError]]] = {
    "billing_denied": InsufficientCreditsError,
    "stream_not_found": StreamNotFoundError,
    # A stream of another account is as lost to this one as a stream that has ended.
    "stream_unauthorized": StreamNotFoundError,
    "stream_url_invalid": WindowError,
    "query_param_invalid": WindowError,
    "segment_empty": WindowError,
    "segment_invalid": WindowError,
    "frame_evicted": WindowError,
    "model_video_unsupported": WindowError,
    "provider_safety_block": WindowError,
}


def decide(error: OvershootFlowError) -> Decision:
    """Say what `error`, raised by a chat completion, asks for."""
    match error:
        case WrongRegionError():
            decision: Decision = GoToRegion(error.expected_region)
        case AuthenticationError() | InsufficientCreditsError():
            decision = EndRun()
        case StreamNotFoundError():
            decision = ReplaceStream()
        case RateLimitError() | StreamLimitError():
            decision = RetryLater(error.retry_after_s)
        case WindowError():
            decision = GiveUpWindow()
        case ServiceError():
            decision = _by_code_or_status(error)
        case TransportError():
            decision = RetryLater()
        case _:
            decision = GiveUpWindow()
    return decision


def _by_code_or_status(error: ServiceError) -> Decision:
    if error.code in _RETRY:
        return RetryLater(error.retry_after_s)
    status = error.status or _SERVER_FAULT
    if upstream := _UPSTREAM_STATUS.fullmatch(error.code or ""):
        # The gateway's own status says less than that of the model's host behind it.
        status = int(upstream.group(1))
    if status >= _SERVER_FAULT or status == _TOO_MANY_REQUESTS:
        return RetryLater(error.retry_after_s)
    return GiveUpWindow()


def read_error(
    request: Request,
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    secrets: Sequence[Secret] = (),
) -> ServiceError:
    """Return the exception for an error answer of v1 or v1beta; any body is tolerated.

    Args:
        request: What was asked: a 429 means streams for one that creates a stream, else requests.
        status: HTTP status, 400 or above.
        body: The answer's body.
        headers: The answer's headers, by lower-case name.
        secrets: What must not appear in the text, should the service echo it.
    """
    told = _told(body)
    code = _text(told.get("code")) or _text(told.get("error"))
    region = told.get("expected_region")
    if code == REGION_ERROR and isinstance(region, str):
        told = {"message": f"the stream is served in {region}", **told}
    error = error_from_response(
        status,
        json.dumps({**told, "error": code}).encode(),
        secrets,
        headers.get("retry-after"),
        kind=_kind(request, status, code, region),
    )
    if isinstance(error, WrongRegionError) and isinstance(region, str):
        error.expected_region = region
    return error


def _kind(
    request: Request, status: int, code: str | None, region: object
) -> type[ServiceError] | None:
    """Return the exception's class where the code, or what was asked, says more than the status."""
    # A region becomes a header: it must not be able to carry anything else.
    if code == REGION_ERROR and isinstance(region, str) and _REGION.fullmatch(region):
        return WrongRegionError
    if code in _BY_CODE:
        return _BY_CODE[code]
    if status == _TOO_MANY_REQUESTS and request.path != "/streams":
        return RateLimitError
    if status == _NOT_FOUND and request.path == "/chat/completions":
        # Here a 404 without the stream's code is about something else, such as the model.
        return ServiceError
    return None


def _told(body: bytes) -> Mapping[str, Any]:
    """Return the object that says what happened: `detail.error`, `detail`, or the whole."""
    # What is not the contract's body says nothing that can be used; the status alone is enough.
    try:
        document = read_json(body, "error")
    except TransportError:
        return {}
    if not isinstance(document, dict):
        return {}
    detail = document.get("detail")
    if not isinstance(detail, dict):
        return document
    error = detail.get("error")
    return error if isinstance(error, dict) else detail


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
