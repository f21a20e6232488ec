"""What is asked (`Inference`) and where it is asked (`Service`): two separate things."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from overshoot_flow.errors import ConfigurationError, LimitError
from overshoot_flow.secret import Secret as Secret  # noqa: PLC0414 - exported: configurations are made with it
from overshoot_flow.transport_config import NativeRoom, Transport

DEFAULT_BASE_URL: Final = "https://api.overshoot.ai/v0.2"
DEFAULT_MODEL: Final = "Qwen/Qwen3.5-9B"
KEY_VARIABLE: Final = "OVERSHOOT_API_KEY"

# The limits of the v0.2 contract.
TOKENS_PER_SECOND: Final = 128
STREAMS_PER_KEY: Final = 5
TARGET_FPS_RANGE: Final = (1, 30)
CLIP_LENGTH_RANGE_S: Final = (0.1, 60.0)
INTERVAL_RANGE_S: Final = (0.1, 60.0)


def api_key(file: str | os.PathLike[str] | None = None) -> Secret:
    """Read the API key from `file`, else from the environment variable `OVERSHOOT_API_KEY`.

    Raises:
        ConfigurationError: No key is there, or the file cannot be read.
    """
    if file is not None:
        try:
            value = Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigurationError(
                f"cannot read the API key file {file}: {error.strerror}"
            ) from None
        except UnicodeDecodeError:
            raise ConfigurationError(
                f"the API key file {file} is no text; it must hold the key and nothing else"
            ) from None
        if not value:
            raise ConfigurationError(f"the API key file {file} is empty")
        return Secret(value)
    value = os.environ.get(KEY_VARIABLE, "").strip()
    if not value:
        raise ConfigurationError(
            f"no API key: set {KEY_VARIABLE}, or name a file that holds it with --api-key-file"
        )
    return Secret(value)


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
    def period_s(self) -> float:
        """Time between two answers."""
        return self.interval_s

    @property
    def length_s(self) -> float:
        """A single frame has no length."""
        return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """What is asked about the video.

    Args:
        prompt: The question.
        model: Model id as `overshoot-flow models` lists it.
        output_schema: JSON Schema (draft 2020-12) that every answer must satisfy, or None for text.
        mode: Clip or frame windows.
        max_output_tokens: Cap of an answer's length, or None for the service's own.
        backend: The service's name of the model host.

    Raises:
        LimitError: A value lies outside the service's limits; the text has the allowed maximum.
        ConfigurationError: The prompt is empty or no valid Unicode.
    """

    prompt: str
    model: str = DEFAULT_MODEL
    output_schema: Mapping[str, Any] | None = None
    mode: ClipMode | FrameMode = field(default_factory=ClipMode)
    max_output_tokens: int | None = None
    backend: str = "overshoot"

    def __post_init__(self) -> None:
        """Check the prompt, and the token-rate rule before the service has to."""
        check_prompt(self.prompt)
        if self.max_output_tokens is None:
            return
        if self.max_output_tokens < 1:
            raise LimitError("max_output_tokens", f"{self.max_output_tokens} must be at least 1")
        allowed = allowed_output_tokens(self.mode.period_s)
        if self.max_output_tokens > allowed:
            raise LimitError(
                "max_output_tokens",
                f"{self.max_output_tokens} every {self.mode.period_s:g} s is above "
                f"{TOKENS_PER_SECOND} tokens per second; at most {allowed} here",
            )

    @property
    def prompt_version(self) -> str:
        """Sixteen hex digits that change whenever the question does."""
        question = json.dumps(
            [self.prompt, self.model, self.output_schema, self.backend],
            sort_keys=True,
            ensure_ascii=False,
        )
        return hashlib.sha256(question.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Where it is asked.

    Args:
        key: API key.
        base_url: Root of the API generation, without a trailing slash.
        request_timeout_s: Bound of one HTTP request.
        connect_timeout_s: Bound of joining the room until the first packet is sent.
        answers_deadline_s: How long after the last published frame an answer may still come.
        max_restarts: How many new streams in a row, none of which gave an answer, are tried
            before the session fails.
        max_streams: How many streams the key may have at once.
        transport: How the video gets there; see `transport_config`.

    Raises:
        ConfigurationError: The key cannot be sent, the base URL cannot be one, or a bound is not
            above 0.
    """

    key: Secret
    base_url: str = DEFAULT_BASE_URL
    request_timeout_s: float = 10.0
    connect_timeout_s: float = 15.0
    answers_deadline_s: float = 10.0
    max_restarts: int = 5
    max_streams: int = STREAMS_PER_KEY
    transport: Transport = field(default_factory=NativeRoom)

    def __post_init__(self) -> None:
        """Refuse what could never reach the service."""
        _check_key(self.key)
        _check_base_url(self.base_url)
        object.__setattr__(self, "base_url", self.base_url.rstrip("/"))
        for name in ("request_timeout_s", "connect_timeout_s", "answers_deadline_s"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ConfigurationError(f"{name} is {value:g}; it must be above 0 and finite")
        if self.max_restarts < 0:
            raise ConfigurationError(f"max_restarts is {self.max_restarts}; 0 is the least")
        if self.max_streams < 1:
            raise ConfigurationError(f"max_streams is {self.max_streams}; 1 is the least")


def _check_key(key: Secret) -> None:
    # Libraries put a header that they refuse into their error text, the key included.
    value = key.reveal()
    if not value or not all("!" <= character <= "~" for character in value):
        raise ConfigurationError(
            "the API key is empty or has spaces, line breaks or characters outside ASCII; "
            "give the key alone, as the service shows it"
        )


def _check_base_url(base_url: str) -> None:
    if "@" in base_url:
        raise ConfigurationError("the base URL must not carry credentials; use the API key")
    try:
        parts = urlsplit(base_url)
        usable = parts.hostname is not None and parts.port != 0
    except ValueError as error:
        raise ConfigurationError(f"base URL {base_url!r} is no URL: {error}") from None
    if parts.scheme not in {"http", "https"} or not base_url.startswith(parts.scheme):
        raise ConfigurationError(f"base URL {base_url!r} must start with http:// or https://")
    if not usable:
        raise ConfigurationError(f"base URL {base_url!r} names no host")
    if parts.query or parts.fragment or any(c.isspace() for c in base_url):
        raise ConfigurationError(
            f"base URL {base_url!r} must end with the API generation, such as /v0.2"
        )
