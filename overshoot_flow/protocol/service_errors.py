"""From the service's error answers to our exceptions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from overshoot_flow.errors import (
    AuthenticationError,
    InsufficientCreditsError,
    RejectedRequestError,
    ServiceError,
    ServiceUnavailableError,
    StreamLimitError,
    StreamNotFoundError,
)

_BY_STATUS: Final[Mapping[int, type[ServiceError]]] = {
    400: RejectedRequestError,
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: AuthenticationError,
    404: StreamNotFoundError,
    422: RejectedRequestError,
    429: StreamLimitError,
}
_SERVER_FAULT: Final = 500
_LONGEST_TEXT: Final = 300


def error_from_response(status: int, body: bytes, secrets: tuple[str, ...] = ()) -> ServiceError:
    """Return the exception for an error answer; anything but the contract's body is tolerated.

    Args:
        status: HTTP status, 400 or above.
        body: The answer's body.
        secrets: Strings that must not appear in the text, should the service echo one.
    """
    document = _object(body)
    message = str(document.get("message") or document.get("detail") or "no reason given")
    details = document.get("details")
    if details:
        message += f": {json.dumps(details, ensure_ascii=False)}"
    for secret in secrets:
        message = message.replace(secret, "***")
    kind = _BY_STATUS.get(status)
    if kind is None:
        kind = ServiceUnavailableError if status >= _SERVER_FAULT else ServiceError
    return kind(
        message[:_LONGEST_TEXT],
        status=status,
        code=_text(document.get("error")),
        request_id=_text(document.get("request_id")),
    )


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
