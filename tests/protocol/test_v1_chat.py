"""Chat completions: the request for every kind of media and schema mode, and the answer."""

from __future__ import annotations

from typing import Any

import pytest

from overshoot_flow.errors import ConfigurationError, LimitError, TransportError
from overshoot_flow.protocol.requests import Repeat
from overshoot_flow.protocol.v1_chat import (
    ChatAnswer,
    ChatRequest,
    DataUrl,
    Exchange,
    ImagePart,
    SchemaMode,
    TokenUsage,
    VideoPart,
    chat_completion,
)
from overshoot_flow.protocol.v1_uri import FrameIndex, FrameReference, SegmentReference

FRAME = FrameReference(stream_id="s-1", at=FrameIndex(4))
SEGMENT = SegmentReference(stream_id="s-2", start=FrameIndex(4), end=FrameIndex(9))
SCHEMA = {"type": "object", "properties": {"cars": {"type": "integer"}}}


def body_of(**options: Any) -> Any:
    request = chat_completion(ChatRequest(**{"model": "m", "prompt": "cars?"} | options))
    assert request.body is not None
    return request.body


def test_a_question_is_one_user_message_with_text_before_media() -> None:
    request = chat_completion(
        ChatRequest(model="m", prompt="cars?", media=(ImagePart(FRAME), VideoPart(SEGMENT)))
    )
    assert (request.method, request.path) == ("POST", "/chat/completions")
    assert request.repeat is Repeat.NEVER
    assert request.stream_ids == ("s-1", "s-2")
    assert request.body == {
        "model": "m",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "cars?"},
                    {
                        "type": "image_url",
                        "image_url": {"url": "ovs://streams/s-1?frame_index=4"},
                    },
                    {
                        "type": "video_url",
                        "video_url": {
                            "url": "ovs://streams/s-2?start_frame_index=4&end_frame_index=9"
                        },
                    },
                ],
            }
        ],
    }


def test_context_stands_before_the_question() -> None:
    messages = body_of(
        system="You count.",
        history=(Exchange(question="q1", answer="a1"), Exchange(question="q2", answer="a2")),
    )["messages"]
    assert [(message["role"], message["content"]) for message in messages[:-1]] == [
        ("system", "You count."),
        ("user", "q1"),
        ("assistant", "a1"),
        ("user", "q2"),
        ("assistant", "a2"),
    ]


@pytest.mark.parametrize(
    ("mode", "in_format", "in_prompt"),
    [
        (SchemaMode.STRICT, True, False),
        (SchemaMode.PROMPT_ONLY, False, True),
        (SchemaMode.OFF, False, False),
    ],
)
def test_the_schema_goes_where_its_mode_says(
    mode: SchemaMode, *, in_format: bool, in_prompt: bool
) -> None:
    body = body_of(output_schema=SCHEMA, schema_mode=mode)
    asked = body["messages"][0]["content"][0]["text"]
    assert ('"cars"' in asked) is in_prompt
    assert asked.startswith("cars?")
    if in_format:
        told = body["response_format"]["json_schema"]
        assert told == {"name": "answer", "strict": True, "schema": SCHEMA}
    else:
        assert "response_format" not in body


def test_without_a_schema_no_mode_changes_the_request() -> None:
    bodies = [body_of(schema_mode=mode) for mode in SchemaMode]
    assert bodies == [bodies[0]] * 3


def test_optional_settings_are_sent_only_when_given() -> None:
    assert set(body_of()) == {"model", "messages"}
    body = body_of(max_completion_tokens=9, thread_id="t")
    assert (body["max_completion_tokens"], body["thread_id"]) == (9, "t")


def test_media_in_the_request_are_base64_and_stay_out_of_the_repr() -> None:
    image = DataUrl("image/jpeg", b"\x00\x01pixels")
    content = body_of(media=(ImagePart(image),))["messages"][0]["content"]
    assert content[1]["image_url"]["url"] == "data:image/jpeg;base64,AAFwaXhlbHM="
    assert "pixels" not in repr(image)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: ImagePart(SEGMENT), "a segment into video_url"),  # type: ignore[arg-type]
        (lambda: VideoPart(FRAME), "a frame goes into image_url"),  # type: ignore[arg-type]
        (lambda: ImagePart(DataUrl("video/mp4", b"")), "cannot be an image_url"),
        (lambda: VideoPart(DataUrl("image/png", b"")), "cannot be an video_url"),
        (lambda: ImagePart("http://host/a.jpg"), "https://"),
        (lambda: VideoPart("ovs://streams/a?start_frame_index=0"), "https://"),
        (lambda: ChatRequest(model="m", prompt=" "), "prompt is empty"),
    ],
)
def test_wrong_media_are_refused_before_the_call(build: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        build()


def test_a_cap_below_one_token_is_refused() -> None:
    with pytest.raises(LimitError, match="max_completion_tokens"):
        ChatRequest(model="m", prompt="?", max_completion_tokens=0)


ANSWER: dict[str, Any] = {
    "id": "c-1",
    "model": "m",
    "choices": [{"index": 0, "message": {"content": "3"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
    "overshoot": {"cache": {"thread_id": "t", "cache_hit": True, "cached_input_tokens": 4}},
}


def test_an_answer_says_text_usage_and_cache() -> None:
    answer = ChatAnswer.parse(ANSWER)
    assert (answer.id, answer.model, answer.text, answer.finish_reason) == ("c-1", "m", "3", "stop")
    assert (answer.thread_id, answer.cache_hit) == ("t", True)
    assert answer.usage == TokenUsage(
        prompt_tokens=10, completion_tokens=2, total_tokens=12, cached_input_tokens=4
    )


def test_an_answer_may_leave_out_what_is_not_needed() -> None:
    answer = ChatAnswer.parse({"choices": [{"message": {"content": None}}]})
    assert answer.text is None
    assert answer.usage is None
    assert answer.cache_hit is None
    usage = ChatAnswer.parse(ANSWER | {"overshoot": None}).usage
    assert usage is not None
    assert usage.cached_input_tokens == 0


@pytest.mark.parametrize(
    "change",
    [
        {"choices": []},
        {"choices": None},
        {"choices": [{}]},
        {"choices": [{"message": {"content": 7}}]},
        {"usage": {"prompt_tokens": -1}},
        {"usage": []},
    ],
)
def test_an_answer_outside_the_contract_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(TransportError, match="outside the contract"):
        ChatAnswer.parse(ANSWER | change)
