"""Every request of API v0.2 against the contract, and where secrets may stand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from overshoot_flow.config import ClipMode, FrameMode, Inference, Secret
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.protocol import v02

TOKEN = "eyJ-room-token"  # noqa: S105 - invented
SCHEMA = {"type": "object", "properties": {"cars": {"type": "integer"}}}


def body_of(inference: Inference, source: v02.Source | None = None) -> Any:
    return json.loads(json.dumps(v02.create_stream(inference, source or v02.NativeSource()).body))


def test_a_clip_stream_is_the_contracts_body() -> None:
    request = v02.create_stream(Inference(prompt="What is there?"), v02.NativeSource())
    assert (request.method, request.path) == ("POST", "/streams")
    assert request.body == {
        "mode": "clip",
        "source": {"type": "native"},
        "processing": {"target_fps": 6, "clip_length_seconds": 0.5, "delay_seconds": 0.5},
        "inference": {
            "prompt": "What is there?",
            "backend": "overshoot",
            "model": "Qwen/Qwen3.5-9B",
            "output_schema_json": None,
            "max_output_tokens": None,
        },
    }


def test_a_frame_stream_with_everything_set() -> None:
    inference = Inference(
        prompt="Wie viele Autos? 🚗",
        model="a/model",
        output_schema=SCHEMA,
        mode=FrameMode(interval_s=2.5),
        max_output_tokens=320,
        backend="other",
    )
    assert body_of(inference) == {
        "mode": "frame",
        "source": {"type": "native"},
        "processing": {"interval_seconds": 2.5},
        "inference": {
            "prompt": "Wie viele Autos? 🚗",
            "backend": "other",
            "model": "a/model",
            "output_schema_json": SCHEMA,
            "max_output_tokens": 320,
        },
    }


def test_the_clip_values_go_to_their_own_fields() -> None:
    mode = ClipMode(target_fps=12, clip_length_s=3.0, delay_s=1.5)
    assert body_of(Inference(prompt="?", mode=mode))["processing"] == {
        "target_fps": 12,
        "clip_length_seconds": 3.0,
        "delay_seconds": 1.5,
    }


@pytest.mark.parametrize(
    ("source", "body"),
    [
        (v02.NativeSource(), {"type": "native"}),
        (v02.WebRtcSource("v=0"), {"type": "webrtc", "sdp": "v=0"}),
        (
            v02.LiveKitSource("wss://room.example", Secret(TOKEN)),
            {"type": "livekit", "url": "wss://room.example", "token": TOKEN},
        ),
    ],
)
def test_the_three_sources(source: v02.Source, body: dict[str, str]) -> None:
    assert body_of(Inference(prompt="?"), source)["source"] == body


@pytest.mark.parametrize(
    ("request_", "method", "path", "body", "repeat"),
    [
        (v02.keepalive("s-1"), "POST", "/streams/s-1/keepalive", None, v02.Repeat.NEVER),
        (v02.close_stream("s-1"), "DELETE", "/streams/s-1", None, v02.Repeat.ALWAYS),
        (
            v02.update_prompt("s-1", "And now?"),
            "PATCH",
            "/streams/s-1/config/prompt",
            {"prompt": "And now?"},
            v02.Repeat.ALWAYS,
        ),
        (v02.list_models(), "GET", "/models", None, v02.Repeat.ALWAYS),
    ],
    ids=["keepalive", "close", "prompt", "models"],
)
def test_the_other_requests(
    request_: v02.Request, method: str, path: str, body: Any, repeat: v02.Repeat
) -> None:
    assert (request_.method, request_.path, request_.body) == (method, path, body)
    assert request_.repeat is repeat


def test_what_costs_money_is_repeated_only_if_it_was_never_sent() -> None:
    request = v02.create_stream(Inference(prompt="?"), v02.NativeSource())
    assert request.repeat is v02.Repeat.IF_NEVER_SENT


@pytest.mark.parametrize("prompt", ["", " \n\t", "\udcff"])
def test_a_prompt_update_has_the_limits_of_a_prompt(prompt: str) -> None:
    with pytest.raises(ConfigurationError, match="the prompt is"):
        v02.update_prompt("s-1", prompt)


@pytest.mark.parametrize("stream_id", ["../models", "a/b", "a?b=c", "a#b", "a b", "ä"])
def test_a_stream_id_never_leads_to_another_endpoint(stream_id: str) -> None:
    for path in (
        v02.keepalive(stream_id).path,
        v02.close_stream(stream_id).path + "/x",
        v02.results_url("http://h", stream_id).removeprefix("ws://h/ws") + "/x",
    ):
        assert path.count("/") == 3
        assert path.isascii()
        assert not set("?# ") & set(path)


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://api.overshoot.ai/v0.2", "wss://api.overshoot.ai/v0.2/ws/streams/s-1"),
        ("http://127.0.0.1:8080/v0.2", "ws://127.0.0.1:8080/v0.2/ws/streams/s-1"),
        ("http://http.example/http", "ws://http.example/http/ws/streams/s-1"),
    ],
)
def test_the_result_sockets_url(base_url: str, url: str) -> None:
    assert v02.results_url(base_url, "s-1") == url


def test_the_first_message_is_the_key() -> None:
    assert json.loads(v02.authentication(Secret('ovs-"quoted"'))) == {"api_key": 'ovs-"quoted"'}


@pytest.mark.parametrize(
    "value",
    [
        v02.LiveKitSource("wss://room.example", Secret(TOKEN)),
        v02.WebRtcSource(f"v=0 a=ice-pwd:{TOKEN}"),
        v02.create_stream(
            Inference(prompt="?"), v02.LiveKitSource("wss://room.example", Secret(TOKEN))
        ),
        v02.StreamCreated.parse(
            {
                "stream_id": "s-1",
                "livekit": {"url": "wss://room.example", "token": TOKEN},
                "webrtc": {"type": "answer", "sdp": TOKEN},
                "turn_servers": [{"urls": "turn:t", "username": "u", "credential": TOKEN}],
            },
            v02.NativeSource(),
        ),
        v02.KeepaliveAnswer.parse({"ttl_seconds": 45, "livekit_token": TOKEN}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_text_of_a_value_shows_a_token(value: object) -> None:
    assert TOKEN not in f"{value!r} {value!s} {value}"


def test_a_request_names_the_secrets_of_its_body() -> None:
    token = Secret(TOKEN)
    source = v02.LiveKitSource("wss://room.example", token)
    assert v02.create_stream(Inference(prompt="?"), source).secrets == (token,)
    assert v02.create_stream(Inference(prompt="?"), v02.NativeSource()).secrets == ()
