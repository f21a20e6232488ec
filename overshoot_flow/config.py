"""What is asked (`Inference`) and where it is asked (`Service`): two separate things."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.inference import (
    CLIP_LENGTH_RANGE_S,
    DEFAULT_MODEL,
    INTERVAL_RANGE_S,
    TARGET_FPS_RANGE,
    TOKENS_PER_SECOND,
    ClipMode,
    Escalation,
    FrameMode,
    Inference,
    allowed_output_tokens,
    check_prompt,
)
from overshoot_flow.secret import Secret
from overshoot_flow.transport_config import Inline, NativeRoom, SdpOffer, Transport, UserRooms

__all__ = [
    "CLIP_LENGTH_RANGE_S",
    "DEFAULT_BASE_URL",
    "DEFAULT_MODEL",
    "DEFAULT_TRANSIT_S",
    "INTERVAL_RANGE_S",
    "KEY_VARIABLE",
    "STREAMS_PER_KEY",
    "TARGET_FPS_RANGE",
    "TOKENS_PER_SECOND",
    "ApiGeneration",
    "ClipMode",
    "Escalation",
    "FrameMode",
    "Inference",
    "Secret",
    "Service",
    "allowed_output_tokens",
    "api_key",
    "check_prompt",
]

ApiGeneration = Literal["v0.2", "v1", "v1beta"]
_GENERATIONS: Final[dict[str, ApiGeneration]] = {"v0.2": "v0.2", "v1": "v1", "v1beta": "v1beta"}

DEFAULT_BASE_URL: Final = "https://api.overshoot.ai/v0.2"
KEY_VARIABLE: Final = "OVERSHOOT_API_KEY"

STREAMS_PER_KEY: Final = 5
DEFAULT_TRANSIT_S: Final = 0.2


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Where it is asked.

    Args:
        key: API key.
        base_url: Root of the API generation, without a trailing slash; the vendor's own follows
            `api`.
        api: Generation of the API; None for what the base URL ends with, else v0.2.
        request_timeout_s: Bound of one HTTP request.
        connect_timeout_s: Bound of joining the room until the first packet is sent.
        answers_deadline_s: How long after the last published frame an answer may still come.
        transit_s: v0.2: bound of a picture's way to the model (encoder, network, jitter buffer,
            decoder). Answers do not say what they are about, so what they are taken to be about is
            wider by this, see `media_uncertainty_us`. Give more where the way is longer: a slow
            uplink, or rooms of your own, whose server stands between.
        max_restarts: How many new streams in a row, none of which gave an answer, are tried
            before the session fails.
        max_streams: How many streams the key may have at once.
        idle_timeout_s: A live stream without pictures for this long is given back, so that it
            costs nothing; the next picture leases a new one.
        max_in_flight: v1 and v1beta: questions of the key under way at one time.
        answer_timeout_s: v1 and v1beta: bound of one answer.
        window_deadline_s: v1 and v1beta: how long after it was first asked about, a window may be
            asked about again.
        transport: How the video gets there; see `transport_config`.

    Raises:
        ConfigurationError: The key cannot be sent, the base URL cannot be one, or a bound is not
            above 0.
    """

    key: Secret
    base_url: str = DEFAULT_BASE_URL
    api: ApiGeneration | None = None
    request_timeout_s: float = 10.0
    connect_timeout_s: float = 15.0
    answers_deadline_s: float = 10.0
    transit_s: float = DEFAULT_TRANSIT_S
    max_restarts: int = 5
    max_streams: int = STREAMS_PER_KEY
    idle_timeout_s: float = 30.0
    max_in_flight: int = 16
    answer_timeout_s: float = 60.0
    window_deadline_s: float = 120.0
    transport: Transport = field(default_factory=NativeRoom)

    def __post_init__(self) -> None:
        """Refuse what could never reach the service."""
        _check_key(self.key)
        _check_base_url(self.base_url)
        object.__setattr__(self, "base_url", self.base_url.rstrip("/"))
        if self.api is not None and self.base_url == DEFAULT_BASE_URL:
            object.__setattr__(self, "base_url", _vendor_url(self.api))
        if isinstance(self.transport, Inline) and self.generation == "v0.2":
            raise ConfigurationError(
                "the video can travel within the questions in v1 and v1beta only: give the base "
                "URL of one of them, or another transport"
            )
        if isinstance(self.transport, UserRooms | SdpOffer) and self.generation != "v0.2":
            raise ConfigurationError(
                f"{self.generation} makes the room of every stream itself: leave the transport "
                "out, or give the base URL of v0.2"
            )
        for name in (
            "request_timeout_s",
            "connect_timeout_s",
            "answers_deadline_s",
            "transit_s",
            "idle_timeout_s",
            "answer_timeout_s",
            "window_deadline_s",
        ):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ConfigurationError(f"{name} is {value:g}; it must be above 0 and finite")
        if self.max_restarts < 0:
            raise ConfigurationError(f"max_restarts is {self.max_restarts}; 0 is the least")
        for name in ("max_streams", "max_in_flight"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; 1 is the least")

    @property
    def generation(self) -> ApiGeneration:
        """Which generation of the API is spoken."""
        if self.api is not None:
            return self.api
        return _GENERATIONS.get(self.base_url.rpartition("/")[2], "v0.2")


def _vendor_url(api: ApiGeneration) -> str:
    return f"{DEFAULT_BASE_URL.rpartition('/')[0]}/{api}"


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
    # A key may stand behind the question mark.
    shown = re.split("[?#]", base_url, maxsplit=1)[0]
    try:
        parts = urlsplit(base_url)
        usable = parts.hostname is not None and parts.port != 0
    except ValueError as error:
        raise ConfigurationError(f"base URL {shown!r} is no URL: {error}") from None
    if parts.scheme not in {"http", "https"} or not base_url.startswith(parts.scheme):
        raise ConfigurationError(f"base URL {shown!r} must start with http:// or https://")
    if not usable:
        raise ConfigurationError(f"base URL {shown!r} names no host")
    if parts.query or parts.fragment or any(c.isspace() for c in base_url):
        raise ConfigurationError(
            f"base URL {shown!r} must end with the API generation, such as /v0.2, and nothing else"
        )
