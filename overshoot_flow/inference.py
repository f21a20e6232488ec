"""What is asked: the prompt, the model, the answer's form, and which stretches of video."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from overshoot_flow.errors import ConfigurationError, LimitError
from overshoot_flow.model_limits import ModelLimits, limits_of
from overshoot_flow.protocol.windows import Interval, WindowPlan, Windows
from overshoot_flow.repair_level import Repair
from overshoot_flow.schema.sources import SchemaSource, schema_document
from overshoot_flow.schema_mode import SchemaMode

DEFAULT_MODEL: Final = "Qwen/Qwen3.5-9B"

# The limits of the v0.2 contract.
TOKENS_PER_SECOND: Final = 128
TARGET_FPS_RANGE: Final = (1, 30)
CLIP_LENGTH_RANGE_S: Final = (0.1, 60.0)
INTERVAL_RANGE_S: Final = (0.1, 60.0)


def allowed_output_tokens(period_s: float) -> int:
    """Return the largest `max_output_tokens` for an answer every `period_s` seconds.

    The service uses the same number when none is given.
    """
    return int(TOKENS_PER_SECOND * period_s)


def check_prompt(prompt: str) -> None:
    """Refuse a prompt that cannot be asked.

    Raises:
        ConfigurationError: It is empty, or no valid Unicode.
    """
    if not prompt.strip():
        raise ConfigurationError("the prompt is empty; say what to look for in the video")
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(
            "the prompt is no valid Unicode; a command line passes it on as UTF-8 only"
        ) from None


def _within(limit: str, value: float, bounds: tuple[float, float]) -> None:
    low, high = bounds
    if not low <= value <= high:
        raise LimitError(limit, f"{value:g} is outside {low:g} to {high:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipMode:
    """The service looks at the last `clip_length_s` of video every `delay_s`.

    Raises:
        LimitError: A value lies outside the service's range.
    """

    target_fps: float = 6
    clip_length_s: float = 0.5
    delay_s: float = 0.5

    def __post_init__(self) -> None:
        """Check the contract's ranges."""
        _within("target_fps", self.target_fps, TARGET_FPS_RANGE)
        _within("clip_length_seconds", self.clip_length_s, CLIP_LENGTH_RANGE_S)
        if not 0 < self.delay_s < math.inf:
            raise LimitError("delay_seconds", f"{self.delay_s:g} must be above 0 and finite")

    @property
    def name(self) -> str:
        """The contract's name of this mode."""
        return "clip"

    @property
    def windows(self) -> Windows:
        """The same stretches of media time, where the client makes the windows."""
        return Windows(self.clip_length_s, self.delay_s, self.target_fps)

    @property
    def period_s(self) -> float:
        """Time between two answers."""
        return self.delay_s

    @property
    def length_s(self) -> float:
        """Length of the video that one answer looks at."""
        return self.clip_length_s


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameMode:
    """The service looks at the newest frame every `interval_s`.

    Raises:
        LimitError: `interval_s` lies outside the service's range.
    """

    interval_s: float = 1.0

    def __post_init__(self) -> None:
        """Check the contract's range."""
        _within("interval_seconds", self.interval_s, INTERVAL_RANGE_S)

    @property
    def name(self) -> str:
        """The contract's name of this mode."""
        return "frame"

    @property
    def windows(self) -> Interval:
        """The same pictures, where the client chooses them."""
        return Interval(self.interval_s)

    @property
    def period_s(self) -> float:
        """Time between two answers."""
        return self.interval_s

    @property
    def length_s(self) -> float:
        """A single frame has no length."""
        return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """A second question about the same window, where the first answer calls for it.

    Args:
        when: Looks at the first answer, the parsed document or the text, and says whether to ask
            again. It must be quick. One that fails makes a dead letter.
        inference: What is asked then; it has neither windows nor a `then` of its own.
        name: Name of the rule; part of the prompt version, so change it with `when`.

    Raises:
        ConfigurationError: The second question has windows or a `then` of its own.
    """

    when: Callable[[Any], bool]
    inference: Inference
    name: str

    def __post_init__(self) -> None:
        """Refuse chains."""
        if self.inference.then is not None or self.inference.windows is not None:
            raise ConfigurationError(
                f"escalation {self.name!r}: the second question is about the window of the first, "
                "and there is no third; leave `then` and `windows` out"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """What is asked about the video.

    Args:
        prompt: The question.
        model: Model id as `overshoot-flow models` lists it.
        output_schema: JSON Schema that every answer must satisfy: a mapping, the path of a JSON
            file, a pydantic model class or a dataclass; None for text. It becomes the mapping.
        mode: Clip or frame windows.
        max_output_tokens: Cap of an answer's length, or None for the service's own.
        backend: The service's name of the model host.
        windows: Windows of any form, instead of those of `mode`. From here on: v1 and v1beta only.
        system: Fixed text before everything else.
        memory: How many earlier answers about the stream are given as context; the windows are
            asked one after another then.
        prompt_cache: Whether the service may reuse what it has read of a stream's questions before.
        schema_mode: How the service learns of the schema; the answer is checked in any case.
        limits: What one request may show the model; None for what is known of it.
        then: A second question where an answer calls for it.
        repair: What may be put right in the writing of an answer, which is recorded then: "none",
            "fences", "trailing_text", "single_quotes"; no part of the question.

    Raises:
        LimitError: A value lies outside the service's limits.
        ConfigurationError: The prompt is empty or no valid Unicode, no repair is so named, or the
            schema cannot be read.
    """

    prompt: str
    model: str = DEFAULT_MODEL
    output_schema: SchemaSource | None = None
    mode: ClipMode | FrameMode = field(default_factory=ClipMode)
    max_output_tokens: int | None = None
    backend: str = "overshoot"
    windows: WindowPlan | None = None
    system: str | None = None
    memory: int = 0
    prompt_cache: bool = False
    schema_mode: SchemaMode = SchemaMode.STRICT
    limits: ModelLimits | None = None
    then: Escalation | None = None
    repair: Repair | str = Repair.FENCES

    def __post_init__(self) -> None:
        """Check what does not depend on the service that is asked."""
        if self.output_schema is not None:
            # Once and here: a file may change, and what is asked may not.
            object.__setattr__(self, "output_schema", schema_document(self.output_schema))
        object.__setattr__(self, "repair", Repair.named(self.repair))
        check_prompt(self.prompt)
        if self.system is not None:
            check_prompt(self.system)
        if self.memory < 0:
            raise ConfigurationError(f"memory is {self.memory}; 0 is the least")
        if self.max_output_tokens is not None and self.max_output_tokens < 1:
            raise LimitError("max_output_tokens", f"{self.max_output_tokens} must be at least 1")

    def check_token_rate(self) -> None:
        """Check the rule of v0.2, where every answer comes on the server's clock.

        Raises:
            LimitError: `max_output_tokens` is above it; the text has the allowed maximum.
        """
        allowed = allowed_output_tokens(self.mode.period_s)
        if self.max_output_tokens is not None and self.max_output_tokens > allowed:
            raise LimitError(
                "max_output_tokens",
                f"{self.max_output_tokens} every {self.mode.period_s:g} s is above "
                f"{TOKENS_PER_SECOND} tokens per second; at most {allowed} here",
            )

    @property
    def json_schema(self) -> Mapping[str, Any] | None:
        """The output schema as plain JSON data."""
        return cast("Mapping[str, Any] | None", self.output_schema)

    @property
    def window_plan(self) -> WindowPlan:
        """The windows, where the client makes them."""
        return self.mode.windows if self.windows is None else self.windows

    @property
    def model_limits(self) -> ModelLimits:
        """What one request may show the model."""
        return limits_of(self.model) if self.limits is None else self.limits

    @property
    def questions(self) -> tuple[Inference, ...]:
        """Everything that may be asked about a window."""
        return (self,) if self.then is None else (self, self.then.inference)

    @property
    def needs_v1(self) -> str | None:
        """Name what only v1 and v1beta can do, or None."""
        asked = {
            "windows": self.windows is not None,
            "system": self.system is not None,
            "memory": self.memory > 0,
            "prompt_cache": self.prompt_cache,
            "schema_mode": self.schema_mode is not SchemaMode.STRICT,
            "limits": self.limits is not None,
            "then": self.then is not None,
        }
        return next((name for name, is_asked in asked.items() if is_asked), None)

    @property
    def prompt_version(self) -> str:
        """Sixteen hex digits that change whenever the question does."""
        about: list[Any] = [self.prompt, self.model, self.json_schema, self.backend]
        context = {
            "system": self.system,
            "memory": self.memory or None,
            "schema_mode": None if self.schema_mode is SchemaMode.STRICT else self.schema_mode,
            "then": None
            if self.then is None
            else [self.then.name, self.then.inference.prompt_version],
        }
        told = {name: value for name, value in context.items() if value is not None}
        if told:
            # Questions without it keep the version that they have always had.
            about.append(told)
        question = json.dumps(about, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(question.encode()).hexdigest()[:16]
