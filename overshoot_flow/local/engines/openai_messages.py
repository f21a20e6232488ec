"""What the `openai` engine sends and reads. Pure: no sockets."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from overshoot_flow.config import Secret
from overshoot_flow.errors import ServiceError, TransportError
from overshoot_flow.local.engines.base import EngineAnswer, FinishReason, Question
from overshoot_flow.protocol.fields import Fields, read_json
from overshoot_flow.protocol.v1_chat import ChatAnswer, TokenUsage

_SCHEMA_NAME: Final = "answer"
_LONGEST_TEXT: Final = 300
_BAD_GATEWAY: Final = 502
_GATEWAY_TIMEOUT: Final = 504
# An endpoint may end an answer in ways that the contract's results do not know.
_FINISH_REASONS: Final[Mapping[str | None, FinishReason]] = {
    "length": "length",
    "content_filter": "content_filter",
}


def chat_body(model: str, question: Question, pictures: Sequence[bytes]) -> dict[str, Any]:
    """Return the body of `POST /chat/completions`.

    Args:
        model: The model's own name.
        question: The question.
        pictures: JPEG files, oldest first.
    """
    content: list[dict[str, Any]] = [{"type": "text", "text": question.prompt}]
    for picture in pictures:
        url = f"data:image/jpeg;base64,{base64.b64encode(picture).decode('ascii')}"
        content.append({"type": "image_url", "image_url": {"url": url}})
    messages: list[dict[str, Any]] = [
        {"role": turn.role, "content": turn.text} for turn in question.earlier
    ]
    messages.append({"role": "user", "content": content})
    body: dict[str, Any] = {"model": model, "messages": messages}
    if question.max_output_tokens is not None:
        # The older name: some servers that people run themselves know no other.
        body["max_tokens"] = question.max_output_tokens
    if question.output_schema is not None:
        schema = {"name": _SCHEMA_NAME, "strict": True, "schema": question.output_schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def read_answer(body: bytes, facts: Mapping[str, Any]) -> EngineAnswer:
    """Read the answer to `chat_body`.

    Raises:
        ServiceError: The answer is not what such endpoints promise.
    """
    try:
        document = read_json(body, "POST /chat/completions")
        answer = ChatAnswer.parse(document)
        cached = _cached_tokens(document)
    except TransportError as error:
        raise request_failed(str(error)) from None
    usage = answer.usage or TokenUsage()
    return EngineAnswer(
        answer.text or "",
        finish_reason=_FINISH_REASONS.get(answer.finish_reason, "stop"),
        facts=facts,
        usage=replace(usage, cached_input_tokens=cached),
    )


def read_models(body: bytes) -> tuple[str, ...]:
    """Read the ids in the answer to `GET /models`.

    Raises:
        TransportError: The answer is not what such endpoints promise.
    """
    fields = Fields.of(read_json(body, "GET /models"), "GET /models")
    return tuple(entry.text("id") for entry in fields.children("data"))


def refused(status: int, body: bytes, key: Secret | None) -> ServiceError:
    """The endpoint answered with an error: the contract's `upstream_http_<status>`."""
    text = _reason(body)
    if key is not None:
        text = key.redact(text)
    printable = "".join(character if character.isprintable() else " " for character in text)
    return ServiceError(
        f"the model's host answered {status}: {printable[:_LONGEST_TEXT]}",
        status=_BAD_GATEWAY,
        code=f"upstream_http_{status}",
    )


def timed_out(timeout_s: float) -> ServiceError:
    """The endpoint was too slow: the contract's `upstream_timeout`."""
    message = f"the model's host gave no answer in {timeout_s:g} s"
    return ServiceError(message, status=_GATEWAY_TIMEOUT, code="upstream_timeout")


def request_failed(reason: str) -> ServiceError:
    """The endpoint could not be asked: the contract's `upstream_request_failed`."""
    message = f"the model's host cannot be asked: {reason}"
    return ServiceError(message, status=_BAD_GATEWAY, code="upstream_request_failed")


def _cached_tokens(document: object) -> int:
    usage = Fields.of(document, "POST /chat/completions").child("usage")
    details = None if usage is None else usage.child("prompt_tokens_details")
    cached = None if details is None else details.optional_number("cached_tokens")
    return max(0, int(cached or 0))


def _reason(body: bytes) -> str:
    """Return what an error answer says; endpoints word it in several ways."""
    try:
        told = read_json(body, "error")
    except TransportError:
        return "no reason given"
    while isinstance(told, dict):
        told = told.get("error") or told.get("message") or told.get("detail")
    return str(told) if told else "no reason given"
