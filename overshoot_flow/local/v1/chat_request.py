"""What `POST /chat/completions` asks for, checked against the contract. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import jsonschema_rs

from overshoot_flow.local.engines.base import Turn
from overshoot_flow.local.v1.errors import V1Error, chat_error, validation_error
from overshoot_flow.protocol.v1_uri import (
    FrameReference,
    InvalidReferenceError,
    Reference,
    SegmentReference,
    parse_reference,
)

MediaKind = Literal["image", "video"]

_PARTS: Final[dict[str, MediaKind]] = {"image_url": "image", "video_url": "video"}
_ROLES: Final = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Media:
    """One media part: a reference into a stream, or a `data:` URL."""

    kind: MediaKind
    reference: Reference | None
    data_url: str = field(default="", repr=False)

    def described(self) -> str:
        """Say which it is, without its bytes."""
        return str(self.reference) if self.reference else f"{self.data_url[:40]}…"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatQuestion:
    """A valid chat completion.

    Attributes:
        model: Model id.
        prompt: All text of the last message of the user.
        earlier: What was said before it.
        media: The media of the last message of the user, in order.
        output_schema: JSON Schema of the answer, or None.
        max_completion_tokens: Cap of the answer, or None.
        thread_id: Name of the prompt cache, or None.
        stream: Whether the answer comes as server-sent events.
        include_usage: Whether the last event says the usage.
    """

    model: str
    prompt: str
    earlier: tuple[Turn, ...]
    media: tuple[Media, ...]
    output_schema: dict[str, Any] | None
    max_completion_tokens: int | None
    thread_id: str | None
    stream: bool
    include_usage: bool

    @property
    def context(self) -> str:
        """All text before the last message of the user, which a prompt cache may hold."""
        return "\n".join(turn.text for turn in self.earlier)

    @property
    def stream_ids(self) -> tuple[str, ...]:
        """The streams that it refers to, each once."""
        ids = (media.reference.stream_id for media in self.media if media.reference)
        return tuple(dict.fromkeys(ids))


def parse_chat_question(body: object) -> ChatQuestion:
    """Check the body; fields that the contract does not know are ignored.

    Raises:
        V1Error: 422, or 400 for a URL that cannot be used.
    """
    document = _object(body, ("body",))
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages:
        raise validation_error(("body", "messages"), "must be a list that is not empty")
    turns: list[Turn] = []
    media: tuple[Media, ...] = ()
    last_user: int | None = None
    for index, message in enumerate(messages):
        at = ("body", "messages", index)
        role = _object(message, at).get("role")
        if role not in _ROLES:
            raise validation_error((*at, "role"), f"must be one of {', '.join(_ROLES)}")
        text, found = _content(message.get("content"), (*at, "content"))
        turns.append(Turn(role, text))
        if role == "user":
            last_user, media = index, found
    if last_user is None:
        raise validation_error(("body", "messages"), "must have a message of the user")
    options = document.get("stream_options")
    return ChatQuestion(
        model=_text(document, "model"),
        prompt=turns[last_user].text,
        earlier=tuple(turns[:last_user]),
        media=media,
        output_schema=_schema(document.get("response_format")),
        max_completion_tokens=_cap(document),
        thread_id=_text(document, "thread_id") if document.get("thread_id") is not None else None,
        stream=document.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


def _content(value: object, at: tuple[str | int, ...]) -> tuple[str, tuple[Media, ...]]:
    if value is None or isinstance(value, str):
        return value or "", ()
    if not isinstance(value, list):
        raise validation_error(at, "must be a text or a list of parts")
    texts: list[str] = []
    media: list[Media] = []
    for index, entry in enumerate(value):
        part = _object(entry, (*at, index))
        kind = part.get("type")
        if kind == "text":
            texts.append(_text(part, "text", (*at, index)))
        elif kind in _PARTS:
            holder = _object(part.get(kind), (*at, index, kind))
            media.append(_media(_PARTS[kind], _text(holder, "url", (*at, index, kind))))
        else:
            raise validation_error((*at, index, "type"), "must be text, image_url or video_url")
    return "\n".join(texts), tuple(media)


def _media(kind: MediaKind, url: str) -> Media:
    if url.startswith("data:"):
        return Media(kind, None, url)
    if not url.startswith("ovs:"):
        raise chat_error(
            400, "stream_url_invalid", "the local server takes ovs:// and data: URLs and no others"
        )
    try:
        reference = parse_reference(url)
    except InvalidReferenceError as error:
        raise chat_error(400, error.code, str(error)) from None
    if isinstance(reference, FrameReference) and kind == "video":
        raise _mismatch("a frame goes into image_url")
    if isinstance(reference, SegmentReference) and kind == "image":
        raise _mismatch("a segment goes into video_url")
    return Media(kind, reference)


def _mismatch(message: str) -> V1Error:
    return chat_error(400, "query_param_invalid", message)


def _schema(value: object) -> dict[str, Any] | None:
    if value is None:
        return None
    at = ("body", "response_format")
    kind = _object(value, at).get("type")
    if kind in ("text", "json_object"):
        return None
    if kind != "json_schema":
        raise validation_error((*at, "type"), "must be text, json_object or json_schema")
    holder = _object(_object(value, at).get("json_schema"), (*at, "json_schema"))
    schema = _object(holder.get("schema"), (*at, "json_schema", "schema"))
    if not jsonschema_rs.meta.is_valid(schema):
        raise validation_error((*at, "json_schema", "schema"), "is not a valid JSON Schema")
    return schema


def _cap(document: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = document.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise validation_error(("body", name), "must be a whole number of at least 1")
        return value
    return None


def _object(value: object, at: tuple[str | int, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise validation_error(at, "must be a JSON object")
    return value


def _text(document: Mapping[str, Any], name: str, at: tuple[str | int, ...] = ("body",)) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise validation_error((*at, name), "must be a text that is not empty")
    return value
