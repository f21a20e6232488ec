"""Outcomes: everything that `infer` can say about a piece of video.

Frame accounting: every published frame is settled by exactly one outcome. `Result` and `Failure`
settle the frames inside their interval (`frames_covered`) and those between the previous outcome
and their interval that no window looked at (`frames_between`), all of which lie in
`[settled_start_us, settled_end_us)`; a `Gap` settles `frames_lost` in its media interval.
The sum over all outcomes of a stream key equals the number of frames published for it.

`labels` are the user's own names and values of the stream, in every outcome about it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeAlias

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
    REFUSED = "refused"
    """The service refuses to answer about this window; `detail` has its code."""
    EXPIRED = "expired"
    """The window's frames were gone from the service's memory before it could be asked."""
    USER_FUNCTION = "user_function"
    """A function given to `map_frames` or `filter_frames` failed on a frame."""
    TOO_LARGE = "too_large"
    """The record is larger than what the sink can take; `detail` has both sizes."""


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
    SLOT = "slot"
    """All streams that the keys may have at once were in use for others."""
    SERVICE = "service"
    """The service could not be asked."""
    BUDGET = "budget"
    """The budget is spent."""
    REMOVED = "removed"
    """The stream was taken out of the fleet."""
    REQUEST = "request"
    """What was asked for is no clip of a video; `detail` says why, and where the request is."""
    CHANGED = "changed"
    """The stream was re-pointed, or what is read of it was changed."""
    CRASH = "crash"
    """The run died; what a live camera showed from then until the next start is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondAnswer:
    """What an escalation brought: another model's answer about the window of a result.

    `error` says why it is not valid, or why there is none; then `output` is None. `repaired` is
    that of `Result`.
    """

    model: str
    prompt_version: str
    raw_text: str | None
    output: Any
    finish_reason: str | None
    error: str | None
    repaired: bool = False


THEN_TEXT: Final = "text"
"""`Result.then_form` where the second answer is text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """An answer that is valid; with a schema, `output` is the parsed document.

    `repaired` says that the document was not read from `raw_text` as it stands: the writing was
    put right first (`Inference.repair`).

    `schema_json` is the canonical JSON of that schema, None for text. `prompt` and
    `prompt_version` are of the prompt that the answer was made with: after a change of the prompt
    answers to the old one still arrive.

    Times named `*_us` are µs: `media_*` of media time, `captured_*` and `received_at_us` of UTC
    since 1970. The interval `[media_start_us, media_end_us)` holds every frame that the model
    can have seen; `media_uncertainty_us` is the part of its width that is not known exactly.
    `delivered_*` and `frames_sent_total` come from the sender's own statistics at that moment.
    `stream_id` is None when the video travelled in the question. `then_form` is set when the
    question has a second one for some windows: the canonical JSON of that one's output schema, or
    `THEN_TEXT`; `then` is its answer, where it was asked.
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
    stream_id: str | None
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
    schema_json: str | None = None
    then_form: str | None = None
    then: SecondAnswer | None = None
    repaired: bool = False
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A dead letter: an answer that is not a result, or an answer that never came.

    Where there is an answer, it has all that a `Result` has, so that it can become one when the
    schema or the repair is another: `schema_json` is what the answer was checked with, and
    `captured_*`, `delivered_*` and the like are those of `Result`.

    `raw_bytes` are set where what came was no text; `raw_text` then is as much of it as is.

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
    captured_start_us: int | None = None
    captured_end_us: int | None = None
    capture_basis: CaptureBasis = "media"
    inference_latency_ms: float | None = None
    total_latency_ms: float | None = None
    delivered_width: int | None = None
    delivered_height: int | None = None
    frames_published_total: int | None = None
    frames_sent_total: int | None = None
    schema_json: str | None = None
    then_form: str | None = None
    raw_bytes: bytes | None = None
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)


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
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a keepalive or an answer has cost.

    A keepalive charges for seconds, an answer for tokens; `cached_tokens` are part of
    `prompt_tokens`. `result_id` names the window's record, and several rows may have the same one:
    a question that was asked twice, or its second question.
    """

    stream_key: str
    source: str
    stream_id: str | None
    model: str
    at_us: int
    seconds_charged: float | None
    cost_cents: float | None
    credits_remaining_cents: float | None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    result_id: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)


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


def cost_cents(pieces: Iterable[Piece]) -> float:
    """Return what the usage records of `pieces` say was charged."""
    return sum(
        outcome.cost_cents or 0.0
        for piece in pieces
        for outcome in piece.outcomes
        if isinstance(outcome, Usage)
    )
