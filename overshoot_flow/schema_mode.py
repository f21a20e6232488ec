"""How the service learns of an output schema."""

from __future__ import annotations

from enum import StrEnum


class SchemaMode(StrEnum):
    """How the service learns of the output schema; the answer is checked here in any case."""

    STRICT = "strict"
    """As `response_format`: the service holds the model to it."""
    PROMPT_ONLY = "prompt_only"
    """As part of the prompt: some models are much slower when they are held to a schema."""
    OFF = "off"
    """Not at all: the prompt says it already."""
