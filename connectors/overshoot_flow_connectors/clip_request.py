"""Requests for clips, as JSON: pure.

| key | |
| --- | --- |
| `uri` | a file by its absolute or relative path or `file://` URL, or an object such as `s3://…` |
| `start`, `end` | the clip is `[start, end)` in seconds of media time; by default the whole video |
| `labels` | an object of texts that stand in every row about the clip |
| `id` | a text of the requester's own; it stands in the labels as `request_id` |
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from overshoot_flow.media.sampling import US_PER_S
from overshoot_flow.schema.strict_json import JsonTextError, parse

MAX_REQUEST_BYTES: Final = 64 * 1024
"""A request is part of the recovery state, and its labels are part of every row."""

ID_LABEL: Final = "request_id"

_KEYS: Final = ("uri", "start", "end", "labels", "id")
_MAX_S: Final = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRequest:
    """What is asked for.

    Attributes:
        uri: The video.
        start_us: Where the clip begins, in µs of media time.
        end_us: Where it ends; None for the end of the video.
        labels: Names and values of the requester's own, the request's id among them.
    """

    uri: str
    start_us: int = 0
    end_us: int | None = None
    labels: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole video."""
        return self.start_us == 0 and self.end_us is None

    @property
    def fragment(self) -> str:
        """The clip's time as a media fragment: `#t=1.5,3`, `#t=1.5`, or nothing for the whole."""
        if self.is_whole:
            return ""
        end = "" if self.end_us is None else f",{_seconds(self.end_us)}"
        return f"#t={_seconds(self.start_us)}{end}"


@dataclass(frozen=True, slots=True)
class BadRequest:
    """No request: `detail` says why, without repeating it."""

    detail: str


Parsed: TypeAlias = ClipRequest | BadRequest


class _WrongError(ValueError):
    """Why it is no request; never leaves this module."""


def parse_request(value: bytes | None) -> Parsed:
    """Read a request."""
    try:
        return _read(value)
    except _WrongError as wrong:
        return BadRequest(str(wrong))


def _read(value: bytes | None) -> ClipRequest:
    if value is None:
        raise _WrongError("the record has no value")
    if len(value) > MAX_REQUEST_BYTES:
        raise _WrongError(f"the value has {len(value)} bytes, more than {MAX_REQUEST_BYTES}")
    try:
        document = parse(value.decode())
    except UnicodeDecodeError:
        raise _WrongError("the value is not UTF-8") from None
    except JsonTextError as error:
        raise _WrongError(f"the value is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise _WrongError('the value is no JSON object; write {"uri": …}')
    unknown = sorted(set(document) - set(_KEYS))
    if unknown:
        # A misspelt bound would ask about the whole video.
        raise _WrongError(f"unknown key {unknown[0][:40]!r}; there are {', '.join(_KEYS)}")
    uri = document.get("uri")
    if not isinstance(uri, str) or not uri.strip() or "\0" in uri:
        raise _WrongError("uri is missing" if uri is None else "uri must be a text, not empty")
    start_us = _bound_us("start", document.get("start")) or 0
    end_us = _bound_us("end", document.get("end"))
    if end_us is not None and end_us <= start_us:
        raise _WrongError(f"end is {_seconds(end_us)} s, not after start, {_seconds(start_us)} s")
    return ClipRequest(uri=uri, start_us=start_us, end_us=end_us, labels=_labels(document))


def _bound_us(name: str, value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise _WrongError(f"{name} must be a number of seconds of media time")
    if not 0 <= value <= _MAX_S:
        raise _WrongError(f"{name} must be between 0 and {_MAX_S} seconds of media time")
    # A float means the decimal number that it prints as.
    return round(Decimal(str(value)) * US_PER_S)


def _labels(document: dict[str, Any]) -> MappingProxyType[str, str]:
    given = document.get("labels")
    given = {} if given is None else given
    if not isinstance(given, dict) or not all(isinstance(each, str) for each in given.values()):
        raise _WrongError("labels must be an object whose values are texts")
    labels = dict(given)
    name = document.get("id")
    if name is not None:
        if not isinstance(name, str):
            raise _WrongError("id must be a text")
        if labels.get(ID_LABEL, name) != name:
            raise _WrongError(f"labels has another {ID_LABEL} than id")
        labels[ID_LABEL] = name
    return MappingProxyType(labels)


def _seconds(time_us: int) -> str:
    whole, part = divmod(time_us, US_PER_S)
    return f"{whole}.{part:06}".rstrip("0").rstrip(".")
