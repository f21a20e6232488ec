"""API v0.2 as values: what is sent, and what an answer says.

Answers are read permissively: unknown fields are ignored, and only what the contract promises and
the client needs is demanded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from overshoot_flow.config import ClipMode, Inference, Secret, check_prompt
from overshoot_flow.errors import TransportError
from overshoot_flow.protocol.fields import Fields, read_json
from overshoot_flow.protocol.requests import Repeat, Request

DEFAULT_LEASE_S: Final = 45.0
"""The contract's lease, should the answer about a stream that is already billed not name it."""


@dataclass(frozen=True, slots=True)
class NativeSource:
    """The service makes a LiveKit room and returns a publish token."""


@dataclass(frozen=True, slots=True)
class WebRtcSource:
    """The older way: an SDP offer, answered in the response."""

    sdp: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LiveKitSource:
    """A room that the user runs; the service joins it as a subscriber with `token`."""

    url: str
    token: Secret


Source: TypeAlias = NativeSource | WebRtcSource | LiveKitSource


def create_stream(inference: Inference, source: Source) -> Request:
    """Lease a stream that asks `inference` about what `source` delivers."""
    mode = inference.mode
    if isinstance(mode, ClipMode):
        processing = {
            "target_fps": mode.target_fps,
            "clip_length_seconds": mode.clip_length_s,
            "delay_seconds": mode.delay_s,
        }
    else:
        processing = {"interval_seconds": mode.interval_s}
    return Request(
        "POST",
        "/streams",
        Repeat.IF_NEVER_SENT,
        {
            "mode": mode.name,
            "source": _source_body(source),
            "processing": processing,
            "inference": {
                "prompt": inference.prompt,
                "backend": inference.backend,
                "model": inference.model,
                "output_schema_json": inference.json_schema,
                "max_output_tokens": inference.max_output_tokens,
            },
        },
        (source.token,) if isinstance(source, LiveKitSource) else (),
    )


def _source_body(source: Source) -> dict[str, Any]:
    match source:
        case NativeSource():
            return {"type": "native"}
        case WebRtcSource():
            return {"type": "webrtc", "sdp": source.sdp}
        case LiveKitSource():
            return {"type": "livekit", "url": source.url, "token": source.token.reveal()}


def keepalive(stream_id: str) -> Request:
    """Renew the lease and be charged for the time since the last renewal."""
    return Request("POST", f"{_stream_path(stream_id)}/keepalive", Repeat.NEVER)


def close_stream(stream_id: str) -> Request:
    """End the stream and be charged for the rest."""
    return Request("DELETE", _stream_path(stream_id), Repeat.ALWAYS)


def update_prompt(stream_id: str, prompt: str) -> Request:
    """Ask something else from the next result on.

    Raises:
        ConfigurationError: The prompt is empty or no valid Unicode.
    """
    check_prompt(prompt)
    path = f"{_stream_path(stream_id)}/config/prompt"
    return Request("PATCH", path, Repeat.ALWAYS, {"prompt": prompt})


def list_models() -> Request:
    """Ask which models there are."""
    return Request("GET", "/models", Repeat.ALWAYS)


def results_url(base_url: str, stream_id: str) -> str:
    """Return the WebSocket URL on which the results of a stream are pushed."""
    return f"ws{base_url.removeprefix('http')}/ws{_stream_path(stream_id)}"


def _stream_path(stream_id: str) -> str:
    # The id comes from the network: it must not lead to another endpoint.
    return f"/streams/{quote(stream_id, safe='')}"


def authentication(key: Secret) -> str:
    """Return the first message of a result socket; it holds the key."""
    return json.dumps({"api_key": key.reveal()})


@dataclass(frozen=True, slots=True)
class Room:
    """Where to publish."""

    url: str
    token: Secret


@dataclass(frozen=True, slots=True)
class TurnServer:
    """A relay for the WebRTC source."""

    urls: tuple[str, ...]
    username: str | None
    credential: Secret | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamCreated:
    """A leased stream.

    `livekit` is set for `NativeSource`, `webrtc_sdp` for `WebRtcSource`.
    """

    stream_id: str
    livekit: Room | None
    lease_ttl_s: float
    webrtc_sdp: str | None = field(default=None, repr=False)
    turn_servers: tuple[TurnServer, ...] = ()

    @classmethod
    def parse(cls, document: object, source: Source) -> StreamCreated:
        """Read the answer to `create_stream`, which must say where `source` publishes to.

        Raises:
            TransportError: The answer is outside the contract.
        """
        fields = Fields.of(document, "POST /streams")
        room = fields.child("livekit")
        lease = fields.child("lease")
        webrtc = fields.child("webrtc")
        if room is None and isinstance(source, NativeSource):
            raise fields.outside("livekit", "missing: there is no room to publish into")
        if webrtc is None and isinstance(source, WebRtcSource):
            raise fields.outside("webrtc", "missing: the offer is not answered")
        return cls(
            stream_id=fields.text("stream_id"),
            livekit=None if room is None else Room(room.text("url"), Secret(room.text("token"))),
            lease_ttl_s=DEFAULT_LEASE_S if lease is None else lease.number("ttl_seconds"),
            webrtc_sdp=None if webrtc is None else webrtc.text("sdp"),
            turn_servers=tuple(_turn_server(entry) for entry in fields.children("turn_servers")),
        )


def _turn_server(fields: Fields) -> TurnServer:
    credential = fields.optional_text("credential")
    return TurnServer(
        urls=fields.texts("urls"),
        username=fields.optional_text("username"),
        credential=None if credential is None else Secret(credential),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepaliveAnswer:
    """A renewed lease and what it cost since the last renewal."""

    ttl_s: float
    credits_remaining_cents: float | None
    cost_cents: float | None
    seconds_charged: float | None
    livekit_token: Secret | None

    @classmethod
    def parse(cls, document: object) -> KeepaliveAnswer:
        """Read the answer to `keepalive`.

        Raises:
            TransportError: The answer is outside the contract.
        """
        fields = Fields.of(document, "keepalive")
        token = fields.optional_text("livekit_token")
        return cls(
            ttl_s=fields.number("ttl_seconds"),
            credits_remaining_cents=fields.optional_number("credits_remaining_cents"),
            cost_cents=fields.optional_number("cost_cents"),
            seconds_charged=fields.optional_number("seconds_charged"),
            livekit_token=None if token is None else Secret(token),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptUpdated:
    """What the stream asks from now on."""

    stream_id: str
    prompt: str

    @classmethod
    def parse(cls, document: object) -> PromptUpdated:
        """Read the answer to `update_prompt`.

        Raises:
            TransportError: The answer is outside the contract.
        """
        fields = Fields.of(document, "PATCH config/prompt")
        return cls(stream_id=fields.text("stream_id"), prompt=fields.text("prompt"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """A model and whether it takes new streams."""

    model: str
    ready: bool
    status: str


def parse_models(document: object) -> Sequence[ModelStatus]:
    """Read the answer to `list_models`.

    Raises:
        TransportError: The answer is outside the contract.
    """
    if not isinstance(document, list):
        raise TransportError("GET /models: answer outside the contract: not a list")
    models = []
    for entry in document:
        fields = Fields.of(entry, "GET /models")
        status = fields.optional_text("status") or "unknown"
        models.append(
            ModelStatus(
                model=fields.text("model"), ready=fields.raw("ready") is True, status=status
            )
        )
    return models


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultMessage:
    """One message of the result socket."""

    id: str
    stream_id: str
    mode: str | None
    model_backend: str | None
    model_name: str | None
    prompt: str | None
    result: str | None
    inference_latency_ms: float | None
    total_latency_ms: float | None
    ok: bool
    error: str | None
    finish_reason: str | None

    @classmethod
    def parse(cls, text: str | bytes) -> ResultMessage:
        """Read a message.

        Raises:
            TransportError: It is no JSON object, or lacks `id`, `stream_id` or `ok`.
        """
        fields = Fields.of(read_json(text, "result"), "result")
        return cls(
            id=fields.text("id"),
            stream_id=fields.text("stream_id"),
            mode=fields.optional_text("mode"),
            model_backend=fields.optional_text("model_backend"),
            model_name=fields.optional_text("model_name"),
            prompt=fields.optional_text("prompt"),
            result=fields.optional_text("result"),
            inference_latency_ms=fields.optional_number("inference_latency_ms"),
            total_latency_ms=fields.optional_number("total_latency_ms"),
            ok=fields.flag("ok"),
            error=fields.optional_text("error"),
            finish_reason=fields.optional_text("finish_reason"),
        )
