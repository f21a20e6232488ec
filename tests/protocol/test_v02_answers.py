"""Answers of API v0.2: permissive where the contract is silent, exact where it is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from overshoot_flow.config import Secret
from overshoot_flow.errors import TransportError
from overshoot_flow.protocol import v02
from overshoot_flow.protocol.close_codes import END_REASONS, SocketEnd, meaning_of_close

TOKEN = "eyJ-room-token"  # noqa: S105 - invented
CREATED: dict[str, Any] = {
    "stream_id": "s-1",
    "livekit": {"url": "wss://room.example", "token": TOKEN},
    "lease": {"ttl_seconds": 45},
    "webrtc": None,
    "turn_servers": None,
}
KEPT_ALIVE: dict[str, Any] = {
    "status": "ok",
    "stream_id": "s-1",
    "ttl_seconds": 45,
    "credits_remaining_cents": 950,
    "cost_cents": 0.5,
    "seconds_charged": 15.0,
    "livekit_token": TOKEN,
}
RESULT: dict[str, Any] = {
    "id": "r-1",
    "stream_id": "s-1",
    "mode": "clip",
    "model_backend": "overshoot",
    "model_name": "Qwen/Qwen3.5-9B",
    "prompt": "What is there?",
    "result": "a car",
    "inference_latency_ms": 210.5,
    "total_latency_ms": 320,
    "ok": True,
    "error": None,
    "finish_reason": "stop",
}
MODELS: list[dict[str, Any]] = [
    {"model": "a", "ready": True, "status": "ready"},
    {"model": "b", "ready": True, "status": "degraded"},
    {"model": "c", "ready": False, "status": "saturated"},
    {"model": "d", "ready": False, "status": "unavailable"},
]


def created(document: object) -> v02.StreamCreated:
    return v02.StreamCreated.parse(document, v02.NativeSource())


def result(document: object) -> v02.ResultMessage:
    return v02.ResultMessage.parse(json.dumps(document))


def without(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != name}


def test_a_created_stream() -> None:
    stream = created(CREATED)
    assert stream.stream_id == "s-1"
    assert stream.lease_ttl_s == 45
    assert stream.livekit == v02.Room("wss://room.example", Secret(TOKEN))
    assert stream.webrtc_sdp is None
    assert stream.turn_servers == ()


def test_a_created_webrtc_stream_with_relays() -> None:
    relays = [
        {"urls": "turn:one", "username": "u", "credential": "p"},
        {"urls": ["turn:two", "turns:two"]},
    ]
    document = CREATED | {
        "livekit": None,
        "webrtc": {"type": "answer", "sdp": "v=0"},
        "turn_servers": relays,
    }
    stream = v02.StreamCreated.parse(document, v02.WebRtcSource("v=0"))
    assert stream.livekit is None
    assert stream.webrtc_sdp == "v=0"
    assert stream.turn_servers == (
        v02.TurnServer(("turn:one",), "u", Secret("p")),
        v02.TurnServer(("turn:two", "turns:two"), None, None),
    )


def test_a_stream_in_the_users_room_needs_no_room_of_the_service() -> None:
    source = v02.LiveKitSource("wss://mine.example", Secret(TOKEN))
    assert v02.StreamCreated.parse(CREATED | {"livekit": None}, source).livekit is None


def test_a_lease_that_is_not_named_is_the_contracts() -> None:
    assert created(without(CREATED, "lease")).lease_ttl_s == v02.DEFAULT_LEASE_S == 45


def test_a_kept_alive_stream() -> None:
    answer = v02.KeepaliveAnswer.parse(KEPT_ALIVE)
    assert answer.ttl_s == 45
    assert answer.credits_remaining_cents == 950
    assert answer.cost_cents == 0.5
    assert answer.seconds_charged == 15
    assert answer.livekit_token == Secret(TOKEN)


def test_a_keepalive_may_say_nothing_but_the_lease() -> None:
    answer = v02.KeepaliveAnswer.parse({"ttl_seconds": 30.5})
    assert answer == v02.KeepaliveAnswer(
        ttl_s=30.5,
        credits_remaining_cents=None,
        cost_cents=None,
        seconds_charged=None,
        livekit_token=None,
    )


def test_an_updated_prompt() -> None:
    document = {"id": "p-1", "stream_id": "s-1", "prompt": "And now?", "backend": "overshoot"}
    assert v02.PromptUpdated.parse(document) == v02.PromptUpdated(
        stream_id="s-1", prompt="And now?"
    )


def test_the_models_and_their_states() -> None:
    assert [(m.model, m.ready, m.status) for m in v02.parse_models(MODELS)] == [
        ("a", True, "ready"),
        ("b", True, "degraded"),
        ("c", False, "saturated"),
        ("d", False, "unavailable"),
    ]
    assert v02.parse_models([]) == []
    (bare,) = v02.parse_models([{"model": "e"}])
    assert (bare.ready, bare.status) == (False, "unknown")


def test_a_result() -> None:
    message = result(RESULT)
    assert {name: getattr(message, name) for name in RESULT} == RESULT


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter", None, "something new"])
def test_every_finish_reason_is_passed_on(reason: str | None) -> None:
    assert result(RESULT | {"finish_reason": reason}).finish_reason == reason


def test_a_failed_result() -> None:
    message = result({"id": "r-1", "stream_id": "s-1", "ok": False, "error": "model gone"})
    assert (message.ok, message.error, message.result) == (False, "model gone", None)
    assert message.total_latency_ms is None


@pytest.mark.parametrize(
    ("parse", "document"),
    [
        (created, CREATED),
        (v02.KeepaliveAnswer.parse, KEPT_ALIVE),
        (v02.PromptUpdated.parse, {"stream_id": "s-1", "prompt": "?"}),
        (result, RESULT),
    ],
)
def test_unknown_fields_are_ignored(
    parse: Callable[[object], object], document: dict[str, Any]
) -> None:
    assert parse(document | {"new": {"deep": [1]}}) == parse(document)


@pytest.mark.parametrize(
    ("parse", "document", "named"),
    [
        (created, without(CREATED, "stream_id"), "'stream_id'"),
        (created, CREATED | {"stream_id": 7}, "'stream_id'"),
        (created, CREATED | {"stream_id": ""}, "'stream_id'"),
        (created, without(CREATED, "livekit"), "'livekit' is missing"),
        (created, CREATED | {"livekit": []}, "livekit"),
        (created, CREATED | {"livekit": {"token": TOKEN}}, "livekit.*'url'"),
        (created, CREATED | {"livekit": {"url": "wss://r"}}, "livekit.*'token'"),
        (created, CREATED | {"lease": {}}, "lease.*'ttl_seconds'"),
        (created, CREATED | {"lease": {"ttl_seconds": 0}}, "'ttl_seconds'"),
        (created, CREATED | {"lease": {"ttl_seconds": True}}, "'ttl_seconds'"),
        (created, CREATED | {"webrtc": {"type": "answer"}}, "webrtc.*'sdp'"),
        (created, CREATED | {"turn_servers": {}}, "'turn_servers'"),
        (created, CREATED | {"turn_servers": ["x"]}, "turn_servers"),
        (created, CREATED | {"turn_servers": [{}]}, "turn_servers.*'urls'"),
        (created, CREATED | {"turn_servers": [{"urls": 7}]}, "turn_servers.*'urls'"),
        (created, CREATED | {"turn_servers": [{"urls": [7]}]}, "turn_servers.*'urls'"),
        (v02.KeepaliveAnswer.parse, without(KEPT_ALIVE, "ttl_seconds"), "'ttl_seconds'"),
        (v02.KeepaliveAnswer.parse, KEPT_ALIVE | {"ttl_seconds": "45"}, "'ttl_seconds'"),
        (v02.KeepaliveAnswer.parse, KEPT_ALIVE | {"ttl_seconds": 10**400}, "'ttl_seconds'"),
        (v02.KeepaliveAnswer.parse, KEPT_ALIVE | {"cost_cents": "x"}, "'cost_cents'"),
        (v02.KeepaliveAnswer.parse, KEPT_ALIVE | {"cost_cents": float("nan")}, "'cost_cents'"),
        (v02.KeepaliveAnswer.parse, KEPT_ALIVE | {"livekit_token": 7}, "'livekit_token'"),
        (v02.PromptUpdated.parse, {"prompt": "?"}, "'stream_id'"),
        (v02.PromptUpdated.parse, {"stream_id": "s-1"}, "'prompt'"),
        (v02.parse_models, {"data": MODELS}, "not a list"),
        (v02.parse_models, ["a"], "not a JSON object"),
        (v02.parse_models, [{"ready": True}], "'model'"),
        (result, without(RESULT, "id"), "'id'"),
        (result, without(RESULT, "stream_id"), "'stream_id'"),
        (result, without(RESULT, "ok"), "'ok'"),
        (result, RESULT | {"ok": 1}, "'ok'"),
        (result, RESULT | {"result": {"cars": 1}}, "'result'"),
        (result, RESULT | {"result": "\ud800"}, "'result'.*surrogate"),
        (result, RESULT | {"total_latency_ms": float("inf")}, "'total_latency_ms'"),
        (result, RESULT | {"error": False}, "'error'"),
        (result, [RESULT], "not a JSON object"),
    ],
)
def test_what_breaks_the_contract_is_named_and_never_shown(
    parse: Callable[[object], object], document: object, named: str
) -> None:
    with pytest.raises(TransportError, match=named) as caught:
        parse(document)
    assert "answer outside the contract" in str(caught.value)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("text", ["", "no json", b"\xff\xfe\xfd", "[" * 100_000, "9" * 5_000])
def test_a_message_that_is_no_json_object(text: str | bytes) -> None:
    with pytest.raises(TransportError, match=r"outside the contract: not (JSON|a JSON object)"):
        v02.ResultMessage.parse(text)


def test_an_unanswered_offer_is_outside_the_contract() -> None:
    with pytest.raises(TransportError, match="'webrtc' is missing"):
        v02.StreamCreated.parse(CREATED, v02.WebRtcSource("v=0"))


def test_the_contracts_end_reasons() -> None:
    assert {
        "client_requested",
        "webrtc_disconnected",
        "livekit_disconnected",
        "lease_expired",
        "insufficient_credits",
    } == END_REASONS


@pytest.mark.parametrize(
    ("code", "end"),
    [
        (1008, SocketEnd.AUTHENTICATION),
        (1001, SocketEnd.STREAM_ENDED),
        (None, SocketEnd.NETWORK),
        *((code, SocketEnd.NETWORK) for code in (1000, 1002, 1003, 1005, 1006, 1007, 1009)),
        *((code, SocketEnd.NETWORK) for code in (1010, 1011, 1012, 1013, 1015, 3000, 4999)),
    ],
)
def test_every_other_close_is_a_network_fault(code: int | None, end: SocketEnd) -> None:
    assert meaning_of_close(code) is end
