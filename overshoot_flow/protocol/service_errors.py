"""From the service's error answers to our exceptions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from overshoot_flow.config import Secret
from overshoot_flow.errors import (
    AuthenticationError,
    InsufficientCreditsError,
    RejectedRequestError,
    ServiceError,
    ServiceUnavailableError,
    StreamLimitError,
    StreamNotFoundError,
    TransportError,
)
from overshoot_flow.protocol.fields import read_json

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
_SECONDS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def error_from_response(
    status: int,
    body: bytes,
    secrets: Sequence[Secret] = (),
    retry_after: str | None = None,
    *,
    kind: type[ServiceError] | None = None,
) -> ServiceError:
    """Return the exception for an error answer; anything but the contract's body is tolerated.

    Args:
        status: HTTP status, 400 or above.
        body: The answer's body.
        secrets: What must not appear in the text, should the service echo it.
        retry_after: The `retry-after` header. Only seconds are understood; the contract has no
            dates there.
        kind: The exception's class where the caller knows it better than by the status.
    """
    document = _object(body)
    message = _told(document.get("message")) or _told(document.get("detail"))
    if details := _told(document.get("details")):
        message = f"{message or 'no reason given'}: {details}"
    kind = kind or _BY_STATUS.get(status)
    if kind is None:
        kind = ServiceUnavailableError if status >= _SERVER_FAULT else ServiceError
    return kind(
        _one_line(message or "no reason given", secrets),
        status=status,
        code=_identifier(document.get("error"), secrets),
        request_id=_identifier(document.get("request_id"), secrets),
        retry_after_s=_seconds(retry_after),
    )


def _object(body: bytes) -> Mapping[str, Any]:
    # What is not the contract's body says nothing that can be used; the status alone is enough.
    try:
        document = read_json(body, "error")
    except TransportError:
        return {}
    return document if isinstance(document, dict) else {}


def _told(value: object) -> str:
    if not value:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _identifier(value: object, secrets: Sequence[Secret]) -> str | None:
    return _one_line(value, secrets) if isinstance(value, str) and value else None


def _one_line(text: str, secrets: Sequence[Secret]) -> str:
    for secret in secrets:
        text = secret.redact(text)
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable[:_LONGEST_TEXT]


def _seconds(retry_after: str | None) -> float | None:
    if retry_after is None or not _SECONDS.fullmatch(retry_after.strip()):
        return None
    return float(retry_after)
