"""Chat completions on the local server: what an answer saw, what it costs, and every refusal."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from local_server_support import OTHER_KEY
from v1_support import MODEL, code_of, data_url, encoded, question, serving_v1

from overshoot_flow.local.v1.config import V1Config

SCHEMA = {
    "type": "object",
    "properties": {"stamps": {"type": "array", "items": {"type": "integer"}}},
    "required": ["stamps"],
}


def stamps_of(answer: tuple[int, Any]) -> list[int]:
    assert answer[0] == 200, answer[1]
    stamps: list[int] = json.loads(answer[1]["choices"][0]["message"]["content"])["stamps"]
    return stamps


@pytest.mark.parametrize("generation", ["v1", "v1beta"])
def test_an_answer_saw_exactly_the_frames_that_were_asked_about(generation: str) -> None:
    async def scenario() -> None:
        async with serving_v1() as client:
            client.generation = generation
            base = f"ovs://streams/{await client.showing(*range(100, 110))}"
            other = f"ovs://streams/{await client.showing(7)}"
            assert stamps_of(await client.ask(f"{base}?frame_index=3")) == [103]
            assert stamps_of(await client.ask(f"{base}?frame_index=-1")) == [109]
            run = f"{base}?start_frame_index=2&end_frame_index=6&max_fps=20"
            assert stamps_of(await client.ask(run)) == [102, 103, 104, 105]
            several = await client.ask(f"{base}?frame_index=9", f"{other}?frame_index=0")
            assert stamps_of(several) == [109, 7]
            reports = (await client.call("GET", "/_local/chats"))[1]
            assert [report["facts"]["stamps"] for report in reports][-1] == [109, 7]
            assert {report["api"] for report in reports} == {generation}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("media_type", "codec", "container", "stamps"),
    [
        ("image/jpeg", "mjpeg", "image2pipe", [5]),
        ("image/png", "png", "image2pipe", [6]),
        ("video/mp4", "libx264", "mp4", [7, 8, 9, 10, 11]),
    ],
)
def test_media_in_the_request_are_decoded(
    media_type: str, codec: str, container: str, stamps: list[int]
) -> None:
    async def scenario() -> None:
        async with serving_v1() as client:
            url = data_url(media_type, encoded(stamps, codec, container))
            assert stamps_of(await client.ask(url)) == stamps
            (report,) = (await client.call("GET", "/_local/chats"))[1]
            assert len(json.dumps(report)) < 2000

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "url",
    [
        "data:image/png;base64,!!",
        "data:image/png;base64,AAAA",
        "data:image/png,plain",
        "data:text/plain;base64,AAAA",
        data_url("video/mp4", b"no video"),
    ],
)
def test_media_that_cannot_be_decoded_are_refused(url: str) -> None:
    async def scenario() -> None:
        async with serving_v1() as client:
            assert code_of(await client.ask(url)) == (502, "upstream_http_400")

    asyncio.run(scenario())


def test_answers_follow_the_schema_and_the_cap_and_say_their_usage() -> None:
    async def scenario() -> None:
        async with serving_v1() as client:
            url = f"ovs://streams/{await client.showing(3)}?frame_index=0"
            form = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
            status, body = await client.ask(url, response_format=form)
            assert (status, body["object"]) == (200, "chat.completion")
            choice = body["choices"][0]
            assert json.loads(choice["message"]["content"]) == {"stamps": [3]}
            assert choice["finish_reason"] == "stop"
            usage = body["usage"]
            assert usage["prompt_tokens"] > 0
            assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
            _, cut = await client.ask(url, max_completion_tokens=2)
            assert cut["choices"][0]["finish_reason"] == "length"
            assert cut["usage"]["completion_tokens"] == 2

    asyncio.run(scenario())


def test_a_thread_pays_less_for_what_it_asked_before() -> None:
    async def scenario() -> None:
        async with serving_v1() as client:
            url = f"ovs://streams/{await client.showing(3)}?frame_index=0"
            asked = question(url, thread_id="t")
            asked["messages"].insert(0, {"role": "system", "content": "x" * 400})
            answers = [
                (await client.call("POST", "/chat/completions", json=asked))[1] for _ in range(2)
            ]
            caches = [answer["overshoot"]["cache"] for answer in answers]
            assert caches == [
                {"thread_id": "t", "cache_hit": False, "cached_input_tokens": 0},
                {"thread_id": "t", "cache_hit": True, "cached_input_tokens": 100},
            ]
            balance = (await client.call("GET", "/billing/accounts/me/balance"))[1]
            usage = answers[0]["usage"]
            once = usage["prompt_tokens"] * 10 + usage["completion_tokens"] * 40
            paid = 100_000_000 - balance["balance_microcents"]
            assert paid == pytest.approx(2 * once - 100 * 9, abs=1)

    asyncio.run(scenario())


def test_an_answer_may_come_as_events() -> None:
    async def scenario() -> None:
        async with serving_v1() as client:
            url = f"ovs://streams/{await client.showing(3)}?frame_index=0"
            asked = question(url, stream=True, stream_options={"include_usage": True})
            async with client.http.post(
                f"{client.server.v1_url}/chat/completions",
                json=asked,
                headers={"Authorization": f"Bearer {client.key}"},
            ) as response:
                assert response.content_type == "text/event-stream"
                lines = (await response.text()).split("\n\n")
            assert lines[-2:] == ["data: [DONE]", ""]
            events = [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]
            deltas = [event["choices"][0]["delta"] for event in events if event["choices"]]
            text = "".join(delta.get("content", "") for delta in deltas)
            assert json.loads(text)["stamps"] == [3]
            assert events[-2]["choices"][0]["finish_reason"] == "stop"
            assert events[-1]["usage"]["total_tokens"] > 0

    asyncio.run(scenario())


def test_every_refusal_has_its_code() -> None:
    async def scenario() -> None:
        v1 = V1Config(
            image_only_models=frozenset({"Qwen/Qwen3.5-9B"}),
            max_frames_per_request=3,
            retention_s=600,
        )
        statuses = {"local/ocr": "unavailable"}
        async with serving_v1(v1=v1, model_statuses=statuses) as client:
            base = f"ovs://streams/{await client.showing(1, 2, 3, 4)}"
            frame = f"{base}?frame_index=0"
            segment = f"{base}?start_frame_index=0&max_fps=20"
            table: list[tuple[str, dict[str, Any], int, str]] = [
                ("https://host/a.jpg", {}, 400, "stream_url_invalid"),
                ("ovs://nowhere", {}, 400, "stream_url_invalid"),
                (f"{base}?frame_index=x", {}, 400, "query_param_invalid"),
                ("ovs://streams/none?frame_index=0", {}, 404, "stream_not_found"),
                (f"{base}?frame_index=9", {}, 409, "frame_not_yet_produced"),
                (f"{base}?start_frame_index=2&end_frame_index=2", {}, 400, "segment_invalid"),
                (f"{base}?start_frame_index=3", {}, 502, "upstream_http_400"),
                (segment, {}, 502, "upstream_http_400"),
                (segment, {"model": "Qwen/Qwen3.5-9B"}, 400, "model_video_unsupported"),
                (frame, {"model": "none/such"}, 404, "model_unavailable"),
                (frame, {"model": "local/ocr"}, 503, "model_unavailable"),
            ]
            for url, changes, status, code in table:
                assert code_of(await client.ask(url, **changes)) == (status, code), url
            client.key = OTHER_KEY
            assert code_of(await client.ask(frame)) == (403, "stream_unauthorized")
            await client.fault(kind="no_credit")
            client.key = "ovs-test-key"
            assert code_of(await client.ask(frame)) == (402, "billing_denied")
            reports = (await client.call("GET", "/_local/chats"))[1]
            assert [report["code"] for report in reports[: len(table)]] == [t[3] for t in table]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("changes", "location"),
    [
        ({"model": None}, ["body", "model"]),
        ({"messages": []}, ["body", "messages"]),
        ({"messages": [{"role": "boss", "content": "?"}]}, ["body", "messages", 0, "role"]),
        ({"messages": [{"role": "system", "content": "?"}]}, ["body", "messages"]),
        ({"messages": [{"role": "user", "content": 7}]}, ["body", "messages", 0, "content"]),
        ({"max_completion_tokens": 0}, ["body", "max_completion_tokens"]),
        ({"response_format": {"type": "xml"}}, ["body", "response_format", "type"]),
    ],
)
def test_a_request_that_is_none_is_refused_by_place(
    changes: dict[str, Any], location: list[Any]
) -> None:
    async def scenario() -> None:
        async with serving_v1() as client:
            status, body = await client.ask(**changes)
            assert (status, body["error"]) == (422, "validation_error")
            assert body["details"][0]["loc"] == location

    asyncio.run(scenario())


def test_requests_are_limited_and_the_headers_say_so() -> None:
    async def scenario() -> None:
        v1 = V1Config(requests_per_window=2, rate_window_s=3600)
        async with serving_v1(v1=v1) as client:
            seen = [
                await client.whole("POST", "/chat/completions", json=question()) for _ in range(3)
            ]
            assert [status for status, _, _ in seen] == [200, 200, 429]
            assert [told["x-ratelimit-remaining"] for _, _, told in seen] == ["1", "0", "0"]
            assert {told["x-ratelimit-limit"] for _, _, told in seen} == {"2"}
            assert int(seen[2][2]["x-ratelimit-reset"]) % 3600 == 0
            assert seen[2][2]["retry-after"] == "1"
            client.key = OTHER_KEY
            assert (await client.call("POST", "/chat/completions", json=question()))[0] == 200

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("order", "status", "code"),
    [
        ({"kind": "chat_errors", "status": 410, "code": "frame_evicted"}, 410, "frame_evicted"),
        ({"kind": "model_errors"}, 502, "upstream_request_failed"),
    ],
)
def test_a_fault_hits_as_often_as_it_was_ordered(
    order: dict[str, Any], status: int, code: str
) -> None:
    async def scenario() -> None:
        async with serving_v1() as client:
            url = f"ovs://streams/{await client.showing(3)}?frame_index=0"
            await client.fault(**order, count=2)
            for _ in range(2):
                assert code_of(await client.ask(url)) == (status, code)
            assert stamps_of(await client.ask(url)) == [3]
            assert (await client.call("GET", "/_local/chats"))[1][-1]["model"] == MODEL

    asyncio.run(scenario())
