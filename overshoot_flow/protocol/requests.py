"""One HTTP request as a value, for every generation of the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from overshoot_flow.config import Secret


class Repeat(StrEnum):
    """When a request that failed may be sent again without asking anyone."""

    ALWAYS = "always"
    """It changes nothing, or changes the same thing again."""
    IF_NEVER_SENT = "if_never_sent"
    """It creates something that costs money: only when no connection came about."""
    NEVER = "never"
    """Its caller has a schedule of its own."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request.

    Attributes:
        method: HTTP method.
        path: Path below the base URL, or below the host where `at_host_root` is set.
        repeat: When it may be sent again.
        body: JSON document, or None.
        secrets: Those in `body`, which an error answer may echo.
        at_host_root: Whether `path` has no part in the API's generation, as with billing.
        stream_ids: The streams that it concerns; their region decides where it goes.
    """

    method: str
    path: str
    repeat: Repeat
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    secrets: tuple[Secret, ...] = ()
    at_host_root: bool = False
    stream_ids: tuple[str, ...] = ()
