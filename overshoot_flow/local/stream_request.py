"""What `POST /streams` asks for, checked against the contract. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import jsonschema_rs

from overshoot_flow.config import (
    CLIP_LENGTH_RANGE_S,
    INTERVAL_RANGE_S,
    TARGET_FPS_RANGE,
    TOKENS_PER_SECOND,
)
from overshoot_flow.local.api_errors import invalid

_MODES: Final = ("clip", "frame")
_SOURCES: Final = ("native", "webrtc", "livekit")


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeSource:
    """The server makes a room of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebRtcSource:
    """The client sent an SDP offer."""

    sdp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomSource:
    """A room that the user runs. `token` is a secret: it stays out of the repr."""

    url: str
    token: str

    def __repr__(self) -> str:
        """Show the place, not the way in."""
        return f"RoomSource(url={self.url!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRequest:
    """A valid request for a stream.

    `target_fps` and `clip_length_s` are 0 in frame mode. `period_s` is the time between two
    answers; `max_output_tokens` is the cap that applies, whether it was given or not.
    """

    mode: Literal["clip", "frame"]
    source: NativeSource | WebRtcSource | RoomSource
    period_s: float
    clip_length_s: float
    target_fps: float
    prompt: str
    backend: str
    model: str
    output_schema: dict[str, Any] | None
    max_output_tokens: int


def parse_stream_request(body: object) -> StreamRequest:
    """Check the body of `POST /streams`; fields that the contract does not know are ignored.

    Raises:
        ApiError: 422; its details name the field, and the bounds or the choices.
    """
    document = _object(body, "body")
    mode = _choice(document, "mode", _MODES, "mode")
    processing = _object(document.get("processing"), "processing")
    inference = _object(document.get("inference"), "inference")
    if mode == "clip":
        period_s = _number(processing, "delay_seconds", (0, math.inf), above_low=True)
        clip_length_s = _number(processing, "clip_length_seconds", CLIP_LENGTH_RANGE_S)
        target_fps = _number(processing, "target_fps", TARGET_FPS_RANGE)
    else:
        period_s = _number(processing, "interval_seconds", INTERVAL_RANGE_S)
        clip_length_s = target_fps = 0.0
    return StreamRequest(
        mode="clip" if mode == "clip" else "frame",
        source=_source(document.get("source")),
        period_s=period_s,
        clip_length_s=clip_length_s,
        target_fps=target_fps,
        prompt=prompt_text(inference, "inference.prompt"),
        backend=_optional_text(inference, "backend", "inference.backend") or "overshoot",
        model=_text(inference, "model", "inference.model"),
        output_schema=_schema(inference.get("output_schema_json")),
        max_output_tokens=_token_cap(inference.get("max_output_tokens"), period_s),
    )


def prompt_text(document: Mapping[str, Any], where: str) -> str:
    """Return the prompt in `document`.

    Raises:
        ApiError: 422, there is none.
    """
    return _text(document, "prompt", where)


def _source(value: object) -> NativeSource | WebRtcSource | RoomSource:
    if value is None:
        return NativeSource()
    source = _object(value, "source")
    kind = _choice(source, "type", _SOURCES, "source.type")
    if kind == "webrtc":
        return WebRtcSource(sdp=_text(source, "sdp", "source.sdp"))
    if kind == "livekit":
        url = _text(source, "url", "source.url")
        if not url.startswith(("ws://", "wss://", "http://", "https://")):
            raise invalid("source.url", "must start with wss:// or ws://")
        return RoomSource(url=url, token=_text(source, "token", "source.token"))
    return NativeSource()


def _token_cap(value: object, period_s: float) -> int:
    allowed = math.floor(TOKENS_PER_SECOND * period_s) if math.isfinite(period_s) else 0
    field = "inference.max_output_tokens"
    if value is None:
        return max(1, allowed)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise invalid(field, "must be a whole number of at least 1, or null")
    if value > allowed:
        raise invalid(
            field,
            f"{value} tokens every {period_s:g} s is above {TOKENS_PER_SECOND} tokens per second; "
            f"at most {allowed}",
            allowed_max=allowed,
        )
    return value


def _schema(value: object) -> dict[str, Any] | None:
    if value is None:
        return None
    field = "inference.output_schema_json"
    schema = _object(value, field)
    if not jsonschema_rs.meta.is_valid(schema):
        raise invalid(field, "is not a valid JSON Schema")
    return schema


def _object(value: object, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid(field, "must be a JSON object")
    return value


def _choice(document: Mapping[str, Any], name: str, choices: tuple[str, ...], field: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or value not in choices:
        raise invalid(field, f"must be one of {', '.join(choices)}", allowed=list(choices))
    return value


def _text(document: Mapping[str, Any], name: str, field: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value.strip():
        raise invalid(field, "must be a text that is not empty")
    return value


def _optional_text(document: Mapping[str, Any], name: str, field: str) -> str | None:
    return None if document.get(name) is None else _text(document, name, field)


def _number(
    document: Mapping[str, Any], name: str, bounds: tuple[float, float], *, above_low: bool = False
) -> float:
    value = document.get(name)
    field = f"processing.{name}"
    low, high = bounds
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise invalid(field, "must be a number")
    if above_low and value <= low:
        raise invalid(field, f"{value:g} must be above {low:g}", above=low)
    if not low <= value <= high:
        raise invalid(field, f"{value:g} is outside {low:g} to {high:g}", min=low, max=high)
    return float(value)
