"""The `openai` engine: asks any OpenAI-compatible endpoint, such as vLLM or Ollama."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx

from overshoot_flow.config import Secret
from overshoot_flow.errors import ConfigurationError, ServiceError, TransportError
from overshoot_flow.local.engines.base import EngineAnswer, Question, SeenFrame
from overshoot_flow.local.engines.openai_messages import (
    chat_body,
    read_answer,
    read_models,
    refused,
    request_failed,
    timed_out,
)
from overshoot_flow.media.jpeg import JpegEncoder
from overshoot_flow.media.pictures import PictureConverter
from overshoot_flow.transport.library_logs import hide_in_http_logs

DEFAULT_MAX_FRAMES: Final = 32
_JPEG_QUALITY: Final = 85
_MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
_FIRST_STATUS_NOT_OK: Final = 300


class OpenAiEngine:
    """Forwards a window's frames, as JPEG within the request, and passes on what comes back.

    The facts of an answer are `model` (as the endpoint calls it), `frame_count` (of the window)
    and `frames_sent`.

    Args:
        base_url: Where `/chat/completions` is, such as `http://127.0.0.1:11434/v1`.
        model: The model's own name; without one the endpoint is asked which it has. A question
            that names a model of the endpoint goes to that one, any other to the first.
        key: What the endpoint wants as a bearer token, or None.
        timeout_s: Bound of one answer.
        max_frames: Frames in one request at most; of a longer window, as many are taken at even
            distances, the first and the last among them.

    Raises:
        ConfigurationError: The URL is none, or no model is given and the endpoint names none.
    """

    def __init__(
        self,
        base_url: str,
        *,
        model: str | None = None,
        key: Secret | None = None,
        timeout_s: float = 60.0,
        max_frames: int = DEFAULT_MAX_FRAMES,
    ) -> None:
        _check(base_url, timeout_s, max_frames)
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._timeout_s = timeout_s
        self._max_frames = max_frames
        if key is not None:
            hide_in_http_logs(key)
        self._client = _new_client(timeout_s, key)
        try:
            self.models = (model,) if model is not None else self._find_models()
        except ConfigurationError:
            self.close()
            raise

    @property
    def name(self) -> str:
        """Return `"openai"`."""
        return "openai"

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def __enter__(self) -> Self:
        """Return the engine."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def answer(self, frames: Sequence[SeenFrame], question: Question) -> EngineAnswer:
        """Ask the endpoint.

        Raises:
            ServiceError: It refused, failed or was too slow; the code is the contract's.
        """
        model = question.model if question.model in self.models else self.models[0]
        sent = evenly(frames, self._max_frames)
        body = chat_body(model, question, [_jpeg(frame) for frame in sent])
        facts = {"model": model, "frame_count": len(frames), "frames_sent": len(sent)}
        return read_answer(self._send("POST", "/chat/completions", body), facts)

    def _find_models(self) -> tuple[str, ...]:
        advice = "name one of its models with --openai-model"
        try:
            models = read_models(self._send("GET", "/models"))
        except (ServiceError, TransportError) as error:
            raise ConfigurationError(
                f"{self._base_url} does not say which models it has ({error}); {advice}"
            ) from None
        if not models:
            raise ConfigurationError(f"{self._base_url} says that it has no models; {advice}")
        return models

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        deadline_s = time.monotonic() + self._timeout_s
        answer = bytearray()
        try:
            with self._client.stream(method, f"{self._base_url}{path}", json=body) as response:
                for piece in response.iter_bytes():
                    answer += piece
                    if len(answer) > _MAX_ANSWER_BYTES:
                        raise request_failed(f"it answers more than {_MAX_ANSWER_BYTES} bytes")
                    # httpx bounds each read, not the whole: an answer may trickle for ever.
                    if time.monotonic() > deadline_s:
                        raise timed_out(self._timeout_s)
        except httpx.TimeoutException:
            raise timed_out(self._timeout_s) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise request_failed(type(error).__name__) from None
        if response.status_code >= _FIRST_STATUS_NOT_OK:
            raise refused(response.status_code, bytes(answer), self._key)
        return bytes(answer)


def evenly(frames: Sequence[SeenFrame], most: int) -> Sequence[SeenFrame]:
    """Return at most `most` frames at even distances, the first and the last among them."""
    if len(frames) <= most:
        return frames
    if most == 1:
        return frames[-1:]
    last = len(frames) - 1
    return [frames[round(slot * last / (most - 1))] for slot in range(most)]


def _jpeg(frame: SeenFrame) -> bytes:
    return JpegEncoder(_JPEG_QUALITY).encode(*PictureConverter(None).convert(frame.image))


def _check(base_url: str, timeout_s: float, max_frames: int) -> None:
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    # A password within the URL must not be repeated.
    if "@" in base_url:
        raise ConfigurationError("the endpoint's URL must not carry credentials; give a key file")
    if not usable or "?" in base_url or "#" in base_url:
        raise ConfigurationError(
            f"{base_url!r} is no endpoint; write the URL above /chat/completions, such as "
            "http://127.0.0.1:11434/v1"
        )
    if not timeout_s > 0:
        raise ConfigurationError(f"timeout_s is {timeout_s:g}; it must be above 0")
    if max_frames < 1:
        raise ConfigurationError(f"max_frames is {max_frames}; 1 is the least")


def _new_client(timeout_s: float, key: Secret | None) -> httpx.Client:
    headers = {} if key is None else {"authorization": f"Bearer {key.reveal()}"}
    try:
        return httpx.Client(timeout=timeout_s, headers=headers, follow_redirects=False)
    except (httpx.InvalidURL, ImportError, ValueError) as error:
        # The text is left out: a proxy's URL can hold a password, and a header is the key.
        raise ConfigurationError(
            f"no HTTP client ({type(error).__name__}); the key file must hold one line of ASCII, "
            "and a proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY name must be one without SOCKS"
        ) from None
