"""What one request may show a model. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from overshoot_flow.errors import ConfigurationError

_TOKENS_PER_480P_FRAME: Final = 200
_PIXELS_OF_480P: Final = 854 * 480
_MIN_VIDEO_FRAMES: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLimits:
    """What one request may show a model; the service's list does not tell it.

    Args:
        takes_video: Whether it takes segments and video; an image-only model takes several images.
        max_frames: Frames in one request at most.
        context_tokens: Tokens of one request, the answer included; None where it never binds.

    Raises:
        ConfigurationError: A bound is below 1.
    """

    takes_video: bool = True
    max_frames: int = 240
    context_tokens: int | None = 65_536

    def __post_init__(self) -> None:
        """Refuse what leaves room for no frame."""
        if self.max_frames < 1 or (self.context_tokens is not None and self.context_tokens < 1):
            raise ConfigurationError(
                f"max_frames is {self.max_frames} and context_tokens {self.context_tokens}; "
                "both must be at least 1"
            )

    def frames_allowed(self, width: int, height: int, other_tokens: int) -> int:
        """Return how many frames of `width` by `height` pixels one request may show.

        Args:
            width: Width in pixels.
            height: Height in pixels.
            other_tokens: Tokens of everything else: prompts, schema and the answer's cap.

        Raises:
            ConfigurationError: Not a single frame fits.
        """
        if self.context_tokens is None:
            return self.max_frames
        per_frame = tokens_of_frame(width, height)
        allowed = min(self.max_frames, (self.context_tokens - other_tokens) // per_frame)
        if allowed < 1:
            raise ConfigurationError(
                f"a frame of {width}x{height} takes about {per_frame} tokens and the text "
                f"{other_tokens}, above the model's {self.context_tokens}; publish smaller frames, "
                "or shorten the prompt or the answer"
            )
        return allowed

    def asks_as_video(self, frame_count: int) -> bool:
        """Whether a window of so many frames is asked about as video rather than as images."""
        return self.takes_video and frame_count >= _MIN_VIDEO_FRAMES


def tokens_of_frame(width: int, height: int) -> int:
    """Estimate what a frame costs: about 200 tokens at 480p, in proportion to its area."""
    return max(1, math.ceil(_TOKENS_PER_480P_FRAME * width * height / _PIXELS_OF_480P))


_KNOWN_LIMITS: Final = (("gemma", ModelLimits(max_frames=60)),)


def limits_of(model: str, overrides: Mapping[str, ModelLimits] | None = None) -> ModelLimits:
    """Return the limits of `model`: the user's, else its family's, else the default."""
    if overrides is not None and model in overrides:
        return overrides[model]
    name = model.lower()
    return next((limits for family, limits in _KNOWN_LIMITS if family in name), ModelLimits())
