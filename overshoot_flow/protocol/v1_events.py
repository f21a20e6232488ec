"""An answer that comes as server-sent events, put together again. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from overshoot_flow.errors import TransportError
from overshoot_flow.protocol.fields import Fields, read_json
from overshoot_flow.protocol.v1_chat import ChatAnswer

MAX_STREAM_BYTES: Final = 16 * 1024 * 1024
"""An answer that is longer is refused: no model writes that much, a broken service might."""

_WHERE: Final = "POST /chat/completions"
_DONE: Final = "[DONE]"
# A line feed that follows a carriage return belongs to it, also when it comes in the next piece.
_LINE_END: Final = re.compile(rb"\r\n|\n|\r(?=[^\n])")
_LONGEST_TEXT: Final = 300


class AnswerEvents:
    """Takes the bytes of one event stream as they come, and gives back the answer.

    Args:
        max_bytes: More than this is refused.
    """

    def __init__(self, max_bytes: int = MAX_STREAM_BYTES) -> None:
        self._max_bytes = max_bytes
        self._taken_bytes = 0
        self._rest = b""
        self._data_lines: list[str] = []
        self._texts: list[str] = []
        self._choice_seen = False
        self._finish_reason: str | None = None
        self._told: dict[str, Any] = {}
        self.done = False
        """Whether the last event was there; what follows it is ignored."""

    def take(self, piece: bytes) -> str:
        """Return the text that `piece` adds to the answer, which may be empty.

        Raises:
            TransportError: The stream is outside the contract, too long, or says that the answer
                failed.
        """
        self._taken_bytes += len(piece)
        if self._taken_bytes > self._max_bytes:
            raise TransportError(f"{_WHERE}: the answer is longer than {self._max_bytes} bytes")
        texts_before = len(self._texts)
        *lines, self._rest = _LINE_END.split(self._rest + piece)
        for line in lines:
            if self.done:
                break
            self._take_line(line)
        return "".join(self._texts[texts_before:])

    def answer(self) -> ChatAnswer:
        """Return the answer after the end of the stream.

        Raises:
            TransportError: The stream broke off, or is outside the contract.
        """
        if not self.done:
            raise TransportError(f"{_WHERE}: the answer broke off before its end")
        message = {"content": "".join(self._texts) if self._texts else None}
        choice = {"message": message, "finish_reason": self._finish_reason}
        # A stream without any choice is refused like such an answer in one piece.
        return ChatAnswer.parse(self._told | {"choices": [choice] if self._choice_seen else []})

    def _take_line(self, line: bytes) -> None:
        if not line:
            data, self._data_lines = "\n".join(self._data_lines), []
            if data:
                self._take_event(data)
            return
        name, _, value = line.partition(b":")
        # Comments have an empty name; `event`, `id` and `retry` say nothing that is needed here.
        if name != b"data":
            return
        try:
            self._data_lines.append(value.removeprefix(b" ").decode())
        except UnicodeDecodeError:
            raise TransportError(f"{_WHERE}: answer outside the contract: not UTF-8") from None

    def _take_event(self, data: str) -> None:
        if data == _DONE:
            self.done = True
            return
        document = read_json(data, _WHERE)
        event = Fields.of(document, _WHERE)
        if (error := _error_text(document)) is not None:
            raise TransportError(f"{_WHERE}: the answer broke off: {error}")
        for name in ("id", "model", "usage", "overshoot"):
            value = event.raw(name)
            if value is not None:
                self._told[name] = value
        for choice in event.children("choices"):
            # Only one is ever asked for; a service that sends more is not to mix them.
            if choice.raw("index") not in (None, 0):
                continue
            self._choice_seen = True
            delta = choice.child("delta")
            text = None if delta is None else delta.optional_text("content")
            if text is not None:
                self._texts.append(text)
            self._finish_reason = choice.optional_text("finish_reason") or self._finish_reason


def _error_text(document: object) -> str | None:
    """Return what an event says that is an error instead of a piece of the answer, else None."""
    if not isinstance(document, dict):
        return None
    told = document.get("error") or document.get("detail")
    if not told:
        return None
    while isinstance(told, dict):
        told = told.get("code") or told.get("message") or told.get("error")
    printable = "".join(c for c in str(told) if c.isprintable()) if told else "no reason given"
    return printable[:_LONGEST_TEXT]
