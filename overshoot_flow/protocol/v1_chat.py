"""Chat completions of v1 and v1beta: one question about media, and its answer. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from overshoot_flow.config import check_prompt
from overshoot_flow.errors import ConfigurationError, LimitError
from overshoot_flow.protocol.fields import Fields
from overshoot_flow.protocol.requests import Repeat, Request
from overshoot_flow.protocol.v1_uri import FrameReference, SegmentReference
from overshoot_flow.schema_mode import SchemaMode as SchemaMode  # noqa: PLC0414 - part of a question

_SCHEMA_NAME: Final = "answer"


@dataclass(frozen=True, slots=True)
class DataUrl:
    """Media that travel in the request itself.

    Args:
        media_type: Such as `image/jpeg` or `video/mp4`.
        content: The file's bytes.
    """

    media_type: str
    content: bytes = field(repr=False)

    def __str__(self) -> str:
        """Write the URL."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.content).decode('ascii')}"


@dataclass(frozen=True, slots=True)
class ImagePart:
    """One picture: a frame of a stream, a picture in the request, or an https URL.

    Raises:
        ConfigurationError: It refers to a video, or to a URL that the service does not take.
    """

    url: FrameReference | DataUrl | str

    def __post_init__(self) -> None:
        """Refuse what is no picture."""
        _check_media(self.url, "image")


@dataclass(frozen=True, slots=True)
class VideoPart:
    """A video: a segment of a stream, a video in the request, or an https URL.

    Raises:
        ConfigurationError: It refers to a picture, or to a URL that the service does not take.
    """

    url: SegmentReference | DataUrl | str

    def __post_init__(self) -> None:
        """Refuse what is no video."""
        _check_media(self.url, "video")


MediaPart: TypeAlias = ImagePart | VideoPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """An earlier question and its answer, as context."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One question about media.

    Args:
        model: Model id.
        prompt: The question.
        media: What it is about, in order.
        system: Fixed text before everything else, or None.
        history: Earlier exchanges, oldest first.
        output_schema: JSON Schema that the answer must satisfy, or None for text.
        schema_mode: How the service learns of it.
        max_completion_tokens: Cap of the answer's length, or None for the service's own.
        thread_id: Name under which the service may reuse its prompt cache, or None.

    Raises:
        ConfigurationError: The prompt is empty or no valid Unicode.
        LimitError: The cap is below 1.
    """

    model: str
    prompt: str
    media: tuple[MediaPart, ...] = ()
    system: str | None = None
    history: tuple[Exchange, ...] = ()
    output_schema: Mapping[str, Any] | None = None
    schema_mode: SchemaMode = SchemaMode.STRICT
    max_completion_tokens: int | None = None
    thread_id: str | None = None

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_prompt(self.prompt)
        if self.max_completion_tokens is not None and self.max_completion_tokens < 1:
            raise LimitError(
                "max_completion_tokens", f"{self.max_completion_tokens} must be at least 1"
            )

    @property
    def stream_ids(self) -> tuple[str, ...]:
        """The streams that it refers to, each once, in order."""
        references = (part.url for part in self.media)
        return tuple(
            dict.fromkeys(
                reference.stream_id
                for reference in references
                if isinstance(reference, FrameReference | SegmentReference)
            )
        )


def chat_completion(question: ChatRequest, *, stream: bool = False) -> Request:
    """Ask `question`; whether to repeat it is decided by the limiter, because it costs money.

    With `stream` the answer comes as the events that `v1_events` reads.
    """
    body: dict[str, Any] = {"model": question.model, "messages": _messages(question)}
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    if question.max_completion_tokens is not None:
        body["max_completion_tokens"] = question.max_completion_tokens
    if question.thread_id is not None:
        body["thread_id"] = question.thread_id
    if question.output_schema is not None and question.schema_mode is SchemaMode.STRICT:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {
                "name": _SCHEMA_NAME,
                "strict": True,
                "schema": dict(question.output_schema),
            },
        }
    return Request("POST", "/chat/completions", Repeat.NEVER, body, stream_ids=question.stream_ids)


def _messages(question: ChatRequest) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if question.system is not None:
        messages.append({"role": "system", "content": question.system})
    for exchange in question.history:
        messages.append({"role": "user", "content": exchange.question})
        messages.append({"role": "assistant", "content": exchange.answer})
    content: list[dict[str, Any]] = [{"type": "text", "text": _asked(question)}]
    for part in question.media:
        kind = "image_url" if isinstance(part, ImagePart) else "video_url"
        content.append({"type": kind, kind: {"url": str(part.url)}})
    messages.append({"role": "user", "content": content})
    return messages


def _asked(question: ChatRequest) -> str:
    if question.output_schema is None or question.schema_mode is not SchemaMode.PROMPT_ONLY:
        return question.prompt
    schema = json.dumps(question.output_schema, ensure_ascii=False, sort_keys=True)
    return (
        f"{question.prompt}\n\nAnswer with one JSON document and nothing else. "
        f"It must satisfy this JSON Schema:\n{schema}"
    )


def _check_media(url: FrameReference | SegmentReference | DataUrl | str, kind: str) -> None:
    wrong_reference = SegmentReference if kind == "image" else FrameReference
    if isinstance(url, wrong_reference):
        raise ConfigurationError(
            f"{url} cannot be an {kind}_url: a frame goes into image_url, a segment into video_url"
        )
    if isinstance(url, DataUrl) and not url.media_type.startswith(f"{kind}/"):
        raise ConfigurationError(f"a data: URL of {url.media_type!r} cannot be an {kind}_url")
    if isinstance(url, str) and not url.startswith("https://"):
        raise ConfigurationError("a URL of media must begin with https://")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUsage:
    """What an answer used; `cached_input_tokens` are part of `prompt_tokens`."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_input_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAnswer:
    """An answer.

    Attributes:
        id: The service's id of it, or None.
        model: The model that answered, or None if it is not told.
        text: The answer; a JSON document as text when a schema was given. None when the model
            called a tool or was silenced. It may have halves of surrogate pairs.
        finish_reason: `stop`, `length`, `tool_calls`, `content_filter`, or None.
        usage: Tokens, or None if they are not told.
        thread_id: The prompt cache's name, or None.
        cache_hit: Whether the prompt cache was used, or None.
    """

    id: str | None
    model: str | None
    text: str | None
    finish_reason: str | None
    usage: TokenUsage | None
    thread_id: str | None
    cache_hit: bool | None

    @classmethod
    def parse(cls, document: object) -> ChatAnswer:
        """Read the answer to `chat_completion`.

        Raises:
            TransportError: The answer is outside the contract.
        """
        fields = Fields.of(document, "POST /chat/completions")
        choices = fields.children("choices")
        if not choices:
            raise fields.outside("choices", "missing or empty")
        message = choices[0].child("message")
        if message is None:
            raise choices[0].outside("message", "missing")
        overshoot = fields.child("overshoot")
        cache = None if overshoot is None else overshoot.child("cache")
        cache_hit = None if cache is None else cache.raw("cache_hit")
        return cls(
            id=fields.optional_text("id"),
            model=fields.optional_text("model"),
            # What is said is data: the caller judges it, and keeps it as it is.
            text=message.exact_text("content"),
            finish_reason=choices[0].optional_text("finish_reason"),
            usage=_usage(fields.child("usage"), cache),
            thread_id=None if cache is None else cache.optional_text("thread_id"),
            cache_hit=cache_hit if isinstance(cache_hit, bool) else None,
        )


def _usage(usage: Fields | None, cache: Fields | None) -> TokenUsage | None:
    if usage is None:
        return None
    prompt_tokens = _tokens(usage, "prompt_tokens")
    completion_tokens = _tokens(usage, "completion_tokens")
    return TokenUsage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=_tokens(usage, "total_tokens") or prompt_tokens + completion_tokens,
        cached_input_tokens=0 if cache is None else _tokens(cache, "cached_input_tokens"),
    )


def _tokens(fields: Fields, name: str) -> int:
    number = fields.optional_number(name) or 0.0
    if number < 0:
        raise fields.outside(name, "below 0")
    return int(number)
