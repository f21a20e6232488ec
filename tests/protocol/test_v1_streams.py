"""Streams, models and money of v1 and v1beta: what is sent, and what answers say."""

from __future__ import annotations

from typing import Any

import pytest

from overshoot_flow import model_limits
from overshoot_flow.errors import ConfigurationError, TransportError
from overshoot_flow.protocol import v1, v1_models
from overshoot_flow.protocol.requests import Repeat
from overshoot_flow.protocol.v1_chat import TokenUsage

CREATED = {
    "id": "s-1",
    "state": "active",
    "publish": {"type": "livekit", "url": "wss://room", "token": "room-token"},
    "expires_at_ms": 1777529931184,
    "ttl_seconds": 300,
    "a_new_field": 1,
}
STATUS: dict[str, Any] = {"id": "s-1", "state": "active", "ttl_seconds": 300}


@pytest.mark.parametrize(
    ("base_url", "generation"),
    [
        ("https://api.overshoot.ai/v1", v1.V1),
        ("https://api.overshoot.ai/v1/", v1.V1),
        ("http://127.0.0.1:80/a/v1beta", v1.V1BETA),
        (v1.V1.base_url, v1.V1),
        (v1.V1BETA.base_url, v1.V1BETA),
    ],
)
def test_the_base_url_says_the_generation(base_url: str, generation: v1.Generation) -> None:
    assert v1.generation_of(base_url) is generation


@pytest.mark.parametrize("base_url", ["https://x/v0.2", "https://x", "https://x/v1/streams"])
def test_another_base_url_is_refused_with_advice(base_url: str) -> None:
    with pytest.raises(ConfigurationError, match="must end with one of v1, v1beta"):
        v1.generation_of(base_url)


@pytest.mark.parametrize(
    ("request_", "method", "path", "repeat", "at_host_root"),
    [
        (v1.create_stream(), "POST", "/streams", Repeat.IF_NEVER_SENT, False),
        (v1.get_stream("s-1"), "GET", "/streams/s-1", Repeat.ALWAYS, False),
        (v1.keepalive("s-1"), "POST", "/streams/s-1/keepalive", Repeat.NEVER, False),
        (v1.delete_stream("a/../b"), "DELETE", "/streams/a%2F..%2Fb", Repeat.ALWAYS, False),
        (v1_models.list_models(), "GET", "/models", Repeat.ALWAYS, False),
        (v1_models.list_pricing(), "GET", "/billing/pricing", Repeat.ALWAYS, True),
        (
            v1_models.get_pricing("Qwen/Q 3"),
            "GET",
            "/billing/pricing/Qwen%2FQ%203",
            Repeat.ALWAYS,
            True,
        ),
        (v1_models.get_balance(), "GET", "/billing/accounts/me/balance", Repeat.ALWAYS, True),
    ],
)
def test_requests_are_as_the_contract_has_them(
    request_: Any, method: str, path: str, repeat: Repeat, *, at_host_root: bool
) -> None:
    assert (request_.method, request_.path, request_.repeat) == (method, path, repeat)
    assert request_.at_host_root is at_host_root
    assert request_.body is None


def test_a_created_stream_says_where_to_publish_and_how_long_it_lives() -> None:
    created = v1.StreamCreated.parse(CREATED, v1.V1)
    assert (created.stream_id, created.lease_ttl_s) == ("s-1", 300)
    assert created.room.url == "wss://room"
    assert created.room.token.reveal() == "room-token"
    assert "room-token" not in repr(created)


@pytest.mark.parametrize(("generation", "lease_s"), [(v1.V1, 300), (v1.V1BETA, 45)])
def test_a_lease_that_is_not_told_is_assumed_by_generation(
    generation: v1.Generation, lease_s: float
) -> None:
    told_not = {name: value for name, value in CREATED.items() if name != "ttl_seconds"}
    assert v1.StreamCreated.parse(told_not, generation).lease_ttl_s == lease_s


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"publish": None}, "no room to publish into"),
        ({"id": ""}, "'id'"),
        ({"publish": {"url": "wss://room"}}, "'token'"),
        ({"ttl_seconds": 0}, "'ttl_seconds'"),
        ({"ttl_seconds": "300"}, "'ttl_seconds'"),
    ],
)
def test_a_created_stream_outside_the_contract_is_refused(
    change: dict[str, Any], text: str
) -> None:
    with pytest.raises(TransportError, match=text) as raised:
        v1.StreamCreated.parse(CREATED | change, v1.V1)
    assert "room-token" not in str(raised.value)


def test_a_keepalive_gives_a_fresh_token() -> None:
    answer = v1.KeepaliveAnswer.parse(
        {"id": "s-1", "ttl_seconds": 45, "stream_time_ms": 1200, "publish": CREATED["publish"]}
    )
    assert (answer.lease_ttl_s, answer.stream_time_ms) == (45, 1200)
    assert answer.room is not None
    assert v1.KeepaliveAnswer.parse({"ttl_seconds": 45}).room is None
    with pytest.raises(TransportError, match="ttl_seconds"):
        v1.KeepaliveAnswer.parse({"id": "s-1"})


def test_a_stream_before_its_first_frame_has_no_frame_facts() -> None:
    status = v1.StreamStatus.parse(STATUS | {"last_frame_index": None})
    assert status.state is v1.StreamState.ACTIVE
    assert status.last_frame_at_ms is None
    assert status.last_frame_index is None
    assert status.retained_frame_count is None


def test_a_stream_status_has_frame_facts_and_its_end() -> None:
    status = v1.StreamStatus.parse(
        STATUS
        | {
            "state": "ended",
            "end_reason": "deleted",
            "last_frame_index": 41,
            "first_available_frame_index": 12,
            "retained_frame_count": 30,
            "evicted_frame_count": 12,
            "recent_fps": 9.5,
        }
    )
    assert status.state is v1.StreamState.ENDED
    assert status.end_reason == "deleted"
    assert (status.first_available_frame_index, status.last_frame_index) == (12, 41)
    assert (status.retained_frame_count, status.evicted_frame_count) == (30, 12)
    assert status.recent_fps == 9.5


@pytest.mark.parametrize(
    "change",
    [{"state": "paused"}, {"state": None}, {"last_frame_index": -1}, {"last_frame_index": 1.5}],
)
def test_a_stream_status_outside_the_contract_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(TransportError, match="outside the contract"):
        v1.StreamStatus.parse(STATUS | change)


def test_models_say_whether_they_are_ready() -> None:
    models = v1_models.parse_models(
        {"object": "list", "data": [{"id": "a", "status": "ready"}, {"id": "b"}]}
    )
    assert [(model.id, model.ready, model.status) for model in models] == [
        ("a", True, "ready"),
        ("b", False, "unknown"),
    ]
    with pytest.raises(TransportError):
        v1_models.parse_models([])


def test_frames_of_a_request_are_bounded_by_count_and_by_context() -> None:
    limits = model_limits.ModelLimits(max_frames=60, context_tokens=10_000)
    assert limits.frames_allowed(854, 480, 0) == 50
    assert limits.frames_allowed(854, 480, 5_000) == 25
    assert limits.frames_allowed(427, 240, 0) == 60
    assert (
        model_limits.ModelLimits(max_frames=7, context_tokens=None).frames_allowed(9, 9, 10**9) == 7
    )
    with pytest.raises(ConfigurationError, match="smaller frames"):
        limits.frames_allowed(1920, 1080, 9_500)
    with pytest.raises(ConfigurationError, match="at least 1"):
        model_limits.ModelLimits(max_frames=0)


def test_limits_are_the_users_then_the_familys() -> None:
    own = model_limits.ModelLimits(takes_video=False)
    assert model_limits.limits_of("google/gemma-4", {"google/gemma-4": own}) is own
    assert model_limits.limits_of("google/Gemma-4").max_frames == 60
    assert model_limits.limits_of("x") == model_limits.ModelLimits()


@pytest.mark.parametrize(
    ("takes_video", "count", "as_video"),
    [(True, 1, False), (True, 2, True), (True, 60, True), (False, 2, False)],
)
def test_video_needs_two_frames_and_a_model_that_takes_it(
    *, takes_video: bool, count: int, as_video: bool
) -> None:
    assert model_limits.ModelLimits(takes_video=takes_video).asks_as_video(count) is as_video


PRICE = {
    "model": "m",
    "input_microcents_per_token": 10,
    "output_microcents_per_token": 40,
    "cached_input_microcents_per_token": 1,
}


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (TokenUsage(), 0),
        (TokenUsage(prompt_tokens=100, completion_tokens=5), 1200),
        (TokenUsage(prompt_tokens=100, cached_input_tokens=60), 460),
        (TokenUsage(prompt_tokens=100, cached_input_tokens=200), 100),
    ],
)
def test_what_an_answer_costs(usage: TokenUsage, cost: float) -> None:
    assert v1_models.Pricing.parse(PRICE).cost_microcents(usage) == cost


def test_prices_come_one_by_one_or_as_a_list() -> None:
    uncached = {key: value for key, value in PRICE.items() if not key.startswith("cached")}
    assert v1_models.Pricing.parse(uncached).cached_input_microcents == 10
    for document in ([PRICE], {"data": [PRICE]}):
        assert v1_models.parse_pricing_list(document) == {"m": v1_models.Pricing.parse(PRICE)}
    for document in ({}, {"data": {}}, "x", [{"model": "m"}]):
        with pytest.raises(TransportError):
            v1_models.parse_pricing_list(document)
    with pytest.raises(TransportError, match="below 0"):
        v1_models.Pricing.parse(PRICE | {"output_microcents_per_token": -1})


@pytest.mark.parametrize(
    ("document", "cents"),
    [
        ({"balance_microcents": 2_500_000, "balance_cents": 2}, 2.5),
        ({"balance_cents": 3}, 3),
        ({"balance_microcents": -1_000_000}, -1),
    ],
)
def test_the_balance_is_exact_where_microcents_are_told(
    document: dict[str, int], cents: float
) -> None:
    assert v1_models.Balance.parse(document).cents == cents


def test_a_balance_that_says_nothing_is_refused() -> None:
    with pytest.raises(TransportError, match="balance_microcents"):
        v1_models.Balance.parse({})
