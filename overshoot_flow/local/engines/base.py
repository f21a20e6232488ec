"""What stands behind the local server's models: an engine answers about the frames it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import av

from overshoot_flow.protocol.v1_chat import TokenUsage

FinishReason = Literal["stop", "length", "content_filter"]
"""Why an answer ends, as the contract spells it."""


@dataclass(frozen=True, slots=True)
class SeenFrame:
    """One picture as it came out of the room's decoder.

    Attributes:
        image: The picture in `yuv420p`; its planes may be padded (see `line_size`).
        arrived_at_s: When the server received it, in seconds of UTC since 1970.
    """

    image: av.VideoFrame
    arrived_at_s: float


@dataclass(frozen=True, slots=True)
class Turn:
    """A message before the question.

    Attributes:
        role: Who said it, as the contract spells it.
        text: What was said.
    """

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about a window.

    Attributes:
        prompt: The question.
        output_schema: JSON Schema that the answer must satisfy, or None for free text.
        model: The model as the client named it; an engine with one model need not look.
        earlier: What was said before, oldest first.
        max_output_tokens: Cap of the answer, or None. An engine that cannot count tokens leaves
            it to the server, which cuts.
    """

    prompt: str
    output_schema: dict[str, Any] | None = None
    model: str = ""
    earlier: tuple[Turn, ...] = ()
    max_output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class EngineAnswer:
    """What an engine says about a window.

    Attributes:
        text: The answer; a JSON document as text when a schema was given.
        finish_reason: Why the answer ends.
        facts: What was measured, JSON-serialisable; shown by `GET /_local/streams`, so that a
            test can prove which frames an answer rests on.
        usage: Tokens that the engine counted, or None if it cannot count. An engine that counts
            keeps to the question's cap itself.
    """

    text: str
    finish_reason: FinishReason = "stop"
    facts: Mapping[str, Any] = field(default_factory=dict)
    usage: TokenUsage | None = None


class Engine(Protocol):
    """Answers about frames.

    `answer` runs in worker threads, several at a time: an engine must be thread-safe.
    """

    @property
    def name(self) -> str:
        """Short name; the server lists the engine's model as `local/<name>`."""
        ...

    def answer(self, frames: Sequence[SeenFrame], question: Question) -> EngineAnswer:
        """Answer `question` about `frames`.

        Args:
            frames: The window's pictures, oldest first; at least one.
            question: The question.

        Returns:
            The answer. An exception becomes a result with `ok: false`, or an error of v1: that of
            a `ServiceError`'s status and code, else `upstream_request_failed`.
        """
        ...
