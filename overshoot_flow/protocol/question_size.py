"""How much of a model's context a question takes besides its pictures. Pure."""

from __future__ import annotations

import json
from typing import Final

from overshoot_flow.inference import Inference

_CHARACTERS_PER_TOKEN: Final = 3
"""Of text in whatever language; English has about four."""

_UNCAPPED_ANSWER_TOKENS: Final = 1024
"""Set aside for an answer without a cap."""


def tokens_beside_frames(inference: Inference) -> int:
    """Estimate the tokens of everything but the frames: texts, schema, memory and answer."""
    texts = [inference.prompt, inference.system or ""]
    if inference.output_schema is not None:
        texts.append(json.dumps(inference.output_schema, ensure_ascii=False))
    answer = inference.max_output_tokens or _UNCAPPED_ANSWER_TOKENS
    remembered = inference.memory * (_tokens(inference.prompt) + answer)
    return sum(map(_tokens, texts)) + answer + remembered


def frames_shown(inference: Inference, width: int, height: int) -> int:
    """Return how many frames of `width` by `height` pixels `inference` can show its model at once.

    Raises:
        ConfigurationError: Not a single frame fits.
    """
    return inference.model_limits.frames_allowed(width, height, tokens_beside_frames(inference))


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARACTERS_PER_TOKEN)
