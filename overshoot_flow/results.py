"""Outcomes: everything that `infer` can say about a piece of video.

Frame accounting: every published frame is settled by exactly one outcome. `Result` and `Failure`
settle the frames inside their interval (`frames_covered`) and those between the previous outcome
and their interval that no window looked at (`frames_between`), all of which lie in
`[settled_start_us, settled_end_us)`; a `Gap` settles `frames_lost` in its media interval.
The sum over all outcomes of a stream key equals the number of frames published for it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from overshoot_flow.media.frames import CaptureBasis


class FailureReason(StrEnum):
    """Why an answer is not a result."""

    MODEL_ERROR = "model_error"
    """The service said `ok: false`."""
    CONTRACT = "contract"
    """The service's message is not what its contract promises."""
    NOT_JSON = "not_json"
    """A schema was given and the answer is not a JSON document."""
    SCHEMA = "schema"
    """The answer is JSON and does not satisfy the schema."""
    CUT = "cut"
    """`finish_reason` is `length`: the answer was cut at the token limit."""
    CONTENT_FILTER = "content_filter"
    """The service's filter withheld the answer."""
    DEADLINE = "deadline"
    """No answer came before the deadline."""
    USER_FUNCTION = "user_function"
    """A function given to `map_frames` or `filter_frames` failed on a frame."""


class GapReason(StrEnum):
    """Why nobody looked at a stretch of video."""

    FILTERED = "filtered"
    """The user's own filter left the frames out."""
    NO_ANSWER = "no_answer"
    """An answer about the frames was due and never came; later ones did."""
    STREAM_LOST = "stream_lost"
    """The stream ended while the frames were under way, and they could not be published again."""
    SOURCE_CHANGED = "source_changed"
    """The media is not the one that an earlier part of the run read; the rest is not read."""
    NO_KEY_FRAME = "no_key_frame"
    """Encoded pictures that no receiver could have decoded: the key frame before them is missing
    on a stream or connection that had to begin anew."""
    DECODE = "decode"
    """The media could not be decoded there."""
    STOPPED = "stopped"
    """The run was stopped or the session failed before the frames were answered."""
    OUTAGE = "outage"
    """The camera was not connected."""
    STALLED = "stalled"
    """The camera was connected and no picture came."""
    FROZEN = "frozen"
    """The camera sent the same picture over and over."""
    DROPPED = "dropped"
    """Newer pictures of the camera came before there was room for these."""
    CRASH = "crash"
    """The run died; what a live camera showed from then until the next start is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """An answer that is valid; with a schema, `output` is the parsed document.

    Times named `*_us` are µs: `media_*` of media time, `captured_*` and `received_at_us` of UTC
    since 1970. The interval `[media_start_us, media_end_us)` holds every frame that the model
    can have seen; `media_uncertainty_us` is the part of its width that is not known exactly.
    `delivered_*` and `frames_sent_total` come from the sender's own statistics at that moment.
    """

    result_id: str
    stream_key: str
    source: str
    media_start_us: int
    media_end_us: int
    media_uncertainty_us: int
    captured_start_us: int | None
    captured_end_us: int | None
    capture_basis: CaptureBasis
    stream_id: str
    mode: str
    backend: str
    model: str
    prompt: str
    prompt_version: str
    raw_text: str
    output: Any
    finish_reason: str | None
    inference_latency_ms: float | None
    total_latency_ms: float | None
    received_at_us: int
    delivered_width: int | None
    delivered_height: int | None
    frames_published_total: int
    frames_sent_total: int | None
    frames_covered: int
    frames_between: int
    settled_start_us: int | None
    settled_end_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A dead letter: an answer that is not a result, or an answer that never came.

    `instance_path` and `schema_path` are JSON pointers, set when `reason` is `schema`.
    """

    result_id: str
    stream_key: str
    source: str
    reason: FailureReason
    detail: str
    instance_path: str | None
    schema_path: str | None
    media_start_us: int
    media_end_us: int
    media_uncertainty_us: int
    stream_id: str | None
    mode: str
    backend: str
    model: str
    prompt: str
    prompt_version: str
    raw_text: str | None
    finish_reason: str | None
    received_at_us: int
    frames_covered: int
    frames_between: int
    settled_start_us: int | None
    settled_end_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A stretch of media that nobody looked at, and why. `frames_lost` were to be published."""

    stream_key: str
    source: str
    media_start_us: int
    media_end_us: int
    reason: GapReason
    detail: str
    frames_lost: int
    recorded_at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one keepalive, or the end of a stream, said about money."""

    stream_key: str
    source: str
    stream_id: str
    model: str
    at_us: int
    seconds_charged: float | None
    cost_cents: float | None
    credits_remaining_cents: float | None


Outcome: TypeAlias = Result | Failure | Gap | Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """No outcome: an epoch has begun, and there may be nothing to say in it.

    The engine ends an epoch at a sink only when something came to it. `to_arrow` turns heartbeats
    into batches without rows for every partition of the sinks, so that rows become files on time
    although no new ones come. An operator on outcomes should pass them on; without them nothing is
    lost, but late.
    """

    stream_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A finished stretch of one stream's media with everything that one `infer` said about it."""

    step_id: str
    stream_key: str
    start_us: int
    end_us: int
    outcomes: tuple[Outcome, ...]


def result_id(*parts: str | int | None) -> str:
    """Return 32 hex digits that identify an answer by what it is about."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:32]
