"""Answers that come as events: whole at every cut, refused when broken."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshoot_flow.errors import TransportError
from overshoot_flow.local.v1.answers import Completion
from overshoot_flow.protocol.v1_chat import ChatAnswer, TokenUsage
from overshoot_flow.protocol.v1_events import AnswerEvents

TEXT = '{"cars": 3, "näher": "😀 da"}' * 5
COMPLETION = Completion(
    id="c-1",
    created_s=0,
    model="m",
    text=TEXT,
    finish_reason="length",
    prompt_tokens=7,
    completion_tokens=5,
    thread_id="t",
    cached_input_tokens=2,
)
STREAM = b"".join(COMPLETION.events(include_usage=True))


def event(**fields: Any) -> bytes:
    return f"data: {json.dumps(fields, ensure_ascii=False)}\n\n".encode()


def delta(text: str | None = None, **more: Any) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": text}, **more}])


DONE = b"data: [DONE]\n\n"


def read(*pieces: bytes) -> tuple[ChatAnswer, str]:
    events = AnswerEvents()
    text = "".join([events.take(piece) for piece in pieces])
    return events.answer(), text


def test_the_same_answer_as_in_one_piece() -> None:
    assert read(STREAM) == (ChatAnswer.parse(COMPLETION.document()), TEXT)


@given(st.lists(st.integers(0, len(STREAM)), max_size=6), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_pieces_may_end_anywhere_and_lines_in_any_way(cuts: list[int], line_end: bytes) -> None:
    stream = STREAM.replace(b"\n", line_end) + b": bye\n"
    edges = sorted({0, *cuts, len(stream)})
    pieces = [stream[start:end] for start, end in itertools.pairwise(edges)]
    assert read(*pieces) == (ChatAnswer.parse(COMPLETION.document()), TEXT)


def test_what_the_format_allows_besides_is_tolerated() -> None:
    answer, text = read(
        b": keep-alive\n\nevent: x\nid: 1\nretry: 5\ndata\n\n",
        b'data:{"choices": [{"delta":\ndata: {"content": "a"}}]}\n\n',
        event(choices=[{"index": 1, "delta": {"content": "other"}}]),
        delta("b", finish_reason="stop") + event(choices=[], usage=None, new={"x": 1}),
        DONE + b"data: not json\n\n",
    )
    assert (text, answer.text, answer.finish_reason, answer.usage) == ("ab", "ab", "stop", None)


def test_usage_comes_last_and_an_answer_may_have_no_text() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    answer, _ = read(delta(None, finish_reason="tool_calls"), event(usage=usage), DONE)
    assert answer.text is None
    assert answer.usage == TokenUsage(prompt_tokens=3, completion_tokens=1, total_tokens=4)


@pytest.mark.parametrize(
    ("stream", "says"),
    [
        (b"", "broke off before its end"),
        (delta("half"), "broke off before its end"),
        (delta("half") + b"data: [DONE]", "broke off before its end"),
        (DONE, "'choices' is missing or empty"),
        (b"data: {\n\n", "not JSON"),
        (b"data: [1]\n\n", "not a JSON object"),
        (b"data: \xff\n\n", "not UTF-8"),
        (event(choices=[{"delta": {"content": 7}}]), "'content' is neither a text nor null"),
        (
            delta("half") + event(detail={"error": {"code": "upstream_timeout", "message": "m"}}),
            "broke off: upstream_timeout",
        ),
        (event(error={"message": "out\nof memory"}), "broke off: outof memory"),
        (event(error="overloaded"), "broke off: overloaded"),
        (event(error={"x": 1}), "broke off: no reason given"),
    ],
)
def test_a_broken_stream_is_refused(stream: bytes, says: str) -> None:
    with pytest.raises(TransportError, match=says):
        read(stream)


def test_an_endless_answer_is_refused() -> None:
    events = AnswerEvents(max_bytes=1000)
    for _ in range(5):
        events.take(b"x" * 200)
    with pytest.raises(TransportError, match="longer than 1000 bytes"):
        events.take(b"x")
