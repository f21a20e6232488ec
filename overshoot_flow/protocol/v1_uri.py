"""The `ovs://` grammar: references to a frame or a segment of a leased stream.

A reference is a value that is checked when it is made, so a wrong combination never costs a call.
`str(reference)` writes the URI, `parse_reference` reads one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from overshoot_flow.errors import ConfigurationError

DEFAULT_TOLERANCE_MS: Final = 100
DEFAULT_MAX_FPS: Final = 1.0
"""What the service assumes where a reference does not say it."""

Fault: TypeAlias = Literal["stream_url_invalid", "query_param_invalid", "segment_invalid"]
"""The contract's codes for a reference that cannot be one."""

_FPS_BOUND: Final = 1e9
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_DECIMAL: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,330})?")


class InvalidReferenceError(ConfigurationError):
    """A reference that the grammar does not allow.

    Attributes:
        code: What the service would answer.
    """

    def __init__(self, code: Fault, message: str) -> None:
        super().__init__(message)
        self.code = code


class Direction(StrEnum):
    """Which frame stands for a moment that no frame has exactly."""

    NEAREST = "nearest"
    FORWARD = "forward"
    BACKWARD = "backward"


@dataclass(frozen=True, slots=True)
class FrameIndex:
    """Lifetime index of a frame from 0; a negative one counts from the live edge, -1 the newest."""

    value: int


@dataclass(frozen=True, slots=True)
class StreamTime:
    """Milliseconds of the stream's clock, which begins with the first frame.

    Raises:
        InvalidReferenceError: It lies before the first frame.
    """

    value: int

    def __post_init__(self) -> None:
        """Refuse what no stream has."""
        if self.value < 0:
            raise InvalidReferenceError(
                "query_param_invalid",
                f"timestamp_ms is {self.value}; a stream's clock begins at 0",
            )


@dataclass(frozen=True, slots=True)
class NowOffset:
    """Milliseconds relative to the moment of the call; negative is the past.

    Raises:
        InvalidReferenceError: It lies in the future.
    """

    value: int

    def __post_init__(self) -> None:
        """Refuse what has not been filmed yet."""
        if self.value > 0:
            raise InvalidReferenceError(
                "query_param_invalid",
                f"offset_ms is {self.value}; it must be 0 or negative: "
                "nothing of the future is there",
            )


Anchor: TypeAlias = FrameIndex | StreamTime | NowOffset

_ANCHORS: Final[dict[str, type[FrameIndex | StreamTime | NowOffset]]] = {
    "frame_index": FrameIndex,
    "timestamp_ms": StreamTime,
    "offset_ms": NowOffset,
}
_NAMES: Final = {kind: name for name, kind in _ANCHORS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameReference:
    """One frame.

    Args:
        stream_id: The stream.
        at: Which frame.
        tolerance_ms: How far a frame may lie from a moment, above 0; None leaves it to the service.
        direction: Where to look for it; None leaves it to the service.

    Raises:
        InvalidReferenceError: A part cannot be sent.
    """

    stream_id: str
    at: Anchor
    tolerance_ms: int | None = None
    direction: Direction | None = None

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        _check_stream_id(self.stream_id)
        if self.tolerance_ms is not None and self.tolerance_ms <= 0:
            raise InvalidReferenceError(
                "query_param_invalid", f"tolerance_ms is {self.tolerance_ms}; it must be above 0"
            )

    def __str__(self) -> str:
        """Write the URI."""
        query: dict[str, object] = {_NAMES[type(self.at)]: self.at.value}
        if self.tolerance_ms is not None:
            query["tolerance_ms"] = self.tolerance_ms
        if self.direction is not None:
            query["direction"] = self.direction.value
        return _write(self.stream_id, query)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentReference:
    """A stretch `[start, end)` of a stream.

    Args:
        stream_id: The stream.
        start: Where it begins.
        end: Where it ends, exclusive; None is the live edge.
        max_fps: Frames per second that the model sees at most; None leaves it to the service.

    Raises:
        InvalidReferenceError: A part cannot be sent, or the end is seen not to lie after the start.
    """

    stream_id: str
    start: Anchor
    end: Anchor | None = None
    max_fps: float | None = None

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        _check_stream_id(self.stream_id)
        if self.max_fps is not None and not 0 < self.max_fps < _FPS_BOUND:
            raise InvalidReferenceError(
                "query_param_invalid", f"max_fps is {self.max_fps:g}; it must be above 0 and finite"
            )
        if self.end is not None and _surely_not_after(self.end, self.start):
            raise InvalidReferenceError(
                "segment_invalid",
                f"the segment ends at {self.end.value}, which is not after its start "
                f"{self.start.value}",
            )

    def __str__(self) -> str:
        """Write the URI."""
        query: dict[str, object] = {f"start_{_NAMES[type(self.start)]}": self.start.value}
        if self.end is not None:
            query[f"end_{_NAMES[type(self.end)]}"] = self.end.value
        if self.max_fps is not None:
            query["max_fps"] = _decimal(self.max_fps)
        return _write(self.stream_id, query)


Reference: TypeAlias = FrameReference | SegmentReference


def parse_reference(uri: str) -> Reference:
    """Read an `ovs://` URI.

    Raises:
        InvalidReferenceError: It is none, or combines what does not belong together.
    """
    stream_id = _stream_id_of(uri)
    query = _query_of(uri)
    starts = sorted(name for name in query if name.startswith("start_"))
    ends = sorted(name for name in query if name.startswith("end_"))
    if not starts and not ends:
        return _frame(stream_id, query)
    if len(starts) != 1:
        raise _wrong("a segment has exactly one start_ anchor", starts)
    if len(ends) > 1:
        raise _wrong("a segment has at most one end_ anchor", ends)
    _only(query, {*starts, *ends, "max_fps"})
    return SegmentReference(
        stream_id=stream_id,
        start=_anchor(starts[0], query[starts[0]]),
        end=_anchor(ends[0], query[ends[0]]) if ends else None,
        max_fps=_fps(query["max_fps"]) if "max_fps" in query else None,
    )


def _frame(stream_id: str, query: dict[str, str]) -> FrameReference:
    anchors = sorted(name for name in query if name in _ANCHORS)
    if len(anchors) != 1:
        raise _wrong(f"a frame has exactly one of {', '.join(_ANCHORS)}", anchors)
    _only(query, {anchors[0], "tolerance_ms", "direction"})
    direction = query.get("direction")
    if direction is not None and direction not in set(Direction):
        raise _wrong(f"direction is one of {', '.join(Direction)}", [direction])
    return FrameReference(
        stream_id=stream_id,
        at=_anchor(anchors[0], query[anchors[0]]),
        tolerance_ms=(
            _whole("tolerance_ms", query["tolerance_ms"]) if "tolerance_ms" in query else None
        ),
        direction=None if direction is None else Direction(direction),
    )


def _stream_id_of(uri: str) -> str:
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise InvalidReferenceError("stream_url_invalid", "the reference is no URI") from None
    prefix, _, stream_id = parts.path.partition("/")
    if parts.scheme != "ovs" or parts.netloc != "streams" or prefix or not stream_id:
        raise InvalidReferenceError(
            "stream_url_invalid", "a reference begins with ovs://streams/ and the stream's id"
        )
    if "/" in stream_id or parts.fragment:
        raise InvalidReferenceError(
            "stream_url_invalid", "nothing may follow the stream's id but a query"
        )
    return unquote(stream_id)


def _query_of(uri: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(urlsplit(uri).query, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        raise _wrong("the query is written name=value&name=value", []) from None
    query = dict(pairs)
    if len(query) != len(pairs):
        raise _wrong("a parameter stands twice", sorted(name for name, _ in pairs))
    return query


def _anchor(name: str, value: str) -> Anchor:
    kind = _ANCHORS.get(name.removeprefix("start_").removeprefix("end_"))
    if kind is None:
        raise _wrong(f"an anchor is one of {', '.join(_ANCHORS)}", [name])
    return kind(_whole(name, value))


def _whole(name: str, value: str) -> int:
    if not _WHOLE.fullmatch(value):
        raise _wrong(f"{name} is a whole number", [value])
    return int(value)


def _fps(value: str) -> float:
    if not _DECIMAL.fullmatch(value):
        raise _wrong("max_fps is a decimal number", [value])
    return float(value)


def _decimal(number: float) -> str:
    """Write every digit and no exponent, so that it is read back as the same number."""
    return format(Decimal(repr(float(number))), "f")


def _only(query: dict[str, str], known: set[str]) -> None:
    if unknown := sorted(query.keys() - known):
        raise _wrong("a parameter does not belong to this kind of reference", unknown)


def _wrong(rule: str, found: list[str]) -> InvalidReferenceError:
    shown = ", ".join(text[:40] for text in found) or "none"
    return InvalidReferenceError("query_param_invalid", f"{rule}; found: {shown}")


def _surely_not_after(end: Anchor, start: Anchor) -> bool:
    """Whether `end <= start` however the stream goes on; unlike anchors cannot be compared."""
    if isinstance(end, FrameIndex) and (end.value < 0) != (start.value < 0):
        return False
    return type(end) is type(start) and end.value <= start.value


def _check_stream_id(stream_id: str) -> None:
    if not stream_id:
        raise InvalidReferenceError("stream_url_invalid", "the stream's id is empty")
    try:
        stream_id.encode()
    except UnicodeEncodeError:
        raise InvalidReferenceError(
            "stream_url_invalid", "the stream's id is no valid Unicode"
        ) from None


def _write(stream_id: str, query: dict[str, object]) -> str:
    return f"ovs://streams/{quote(stream_id, safe='')}?{urlencode(query)}"
