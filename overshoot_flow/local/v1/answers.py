"""The bodies of a chat completion's answer: one document, or server-sent events. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

_TEXT_PER_EVENT: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """An answer before it is written."""

    id: str
    created_s: int
    model: str
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    thread_id: str
    cached_input_tokens: int

    @property
    def usage(self) -> dict[str, int]:
        """The contract's usage."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }

    @property
    def cache(self) -> dict[str, Any]:
        """The contract's cache metadata."""
        return {
            "thread_id": self.thread_id,
            "cache_hit": self.cached_input_tokens > 0,
            "cached_input_tokens": self.cached_input_tokens,
        }

    def document(self) -> dict[str, Any]:
        """The answer in one piece."""
        message = {"role": "assistant", "content": self.text}
        return {
            **self._head("chat.completion"),
            "choices": [{"index": 0, "message": message, "finish_reason": self.finish_reason}],
            "usage": self.usage,
            "overshoot": {"cache": self.cache},
        }

    def events(self, *, include_usage: bool) -> Iterator[bytes]:
        """The answer as server-sent events."""
        yield self._event({"role": "assistant", "content": ""}, None)
        for start in range(0, len(self.text), _TEXT_PER_EVENT):
            yield self._event({"content": self.text[start : start + _TEXT_PER_EVENT]}, None)
        yield self._event({}, self.finish_reason)
        if include_usage:
            last = {"choices": [], "usage": self.usage, "overshoot": {"cache": self.cache}}
            yield _sse(self._head("chat.completion.chunk") | last)
        yield b"data: [DONE]\n\n"

    def _event(self, delta: dict[str, str], finish_reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return _sse({**self._head("chat.completion.chunk"), "choices": [choice]})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created_s, "model": self.model}


def _sse(document: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(document)}\n\n".encode()
