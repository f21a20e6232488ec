"""The `ovs://` grammar: what is written, what is read, and what is refused with which code."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.protocol.v1_uri import (
    Anchor,
    Direction,
    FrameIndex,
    FrameReference,
    InvalidReferenceError,
    NowOffset,
    Reference,
    SegmentReference,
    StreamTime,
    parse_reference,
)

STREAM = "5f1c"


def frame(at: Anchor, **options: Any) -> FrameReference:
    return FrameReference(stream_id=STREAM, at=at, **options)


def segment(start: Anchor, end: Anchor | None = None, **options: Any) -> SegmentReference:
    return SegmentReference(stream_id=STREAM, start=start, end=end, **options)


@pytest.mark.parametrize(
    ("reference", "query"),
    [
        (frame(FrameIndex(0)), "frame_index=0"),
        (frame(FrameIndex(-1)), "frame_index=-1"),
        (frame(StreamTime(1500)), "timestamp_ms=1500"),
        (frame(NowOffset(-250)), "offset_ms=-250"),
        (frame(NowOffset(0)), "offset_ms=0"),
        (frame(StreamTime(7), tolerance_ms=5), "timestamp_ms=7&tolerance_ms=5"),
        (
            frame(StreamTime(7), tolerance_ms=5, direction=Direction.BACKWARD),
            "timestamp_ms=7&tolerance_ms=5&direction=backward",
        ),
        (segment(FrameIndex(3)), "start_frame_index=3"),
        (segment(FrameIndex(3), FrameIndex(4)), "start_frame_index=3&end_frame_index=4"),
        (segment(FrameIndex(3), FrameIndex(-1)), "start_frame_index=3&end_frame_index=-1"),
        (segment(FrameIndex(-9), FrameIndex(-1)), "start_frame_index=-9&end_frame_index=-1"),
        (segment(StreamTime(0), StreamTime(1)), "start_timestamp_ms=0&end_timestamp_ms=1"),
        (segment(NowOffset(-9), NowOffset(0)), "start_offset_ms=-9&end_offset_ms=0"),
        (segment(StreamTime(9), FrameIndex(3)), "start_timestamp_ms=9&end_frame_index=3"),
        (segment(FrameIndex(3), max_fps=2.5), "start_frame_index=3&max_fps=2.5"),
        (segment(FrameIndex(3), max_fps=1e-7), "start_frame_index=3&max_fps=0.0000001"),
        (segment(FrameIndex(3), max_fps=30), "start_frame_index=3&max_fps=30.0"),
    ],
)
def test_a_reference_is_written_and_read_back(reference: Reference, query: str) -> None:
    assert str(reference) == f"ovs://streams/{STREAM}?{query}"
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("", "stream_url_invalid"),
        ("ovs://", "stream_url_invalid"),
        ("https://streams/a?frame_index=0", "stream_url_invalid"),
        ("ovs://stream/a?frame_index=0", "stream_url_invalid"),
        ("ovs://streams?frame_index=0", "stream_url_invalid"),
        ("ovs://streams/?frame_index=0", "stream_url_invalid"),
        ("ovs://streams/a/b?frame_index=0", "stream_url_invalid"),
        ("ovs://streams/a/?frame_index=0", "stream_url_invalid"),
        ("ovs://streams/a?frame_index=0#b", "stream_url_invalid"),
        ("ovs://[streams/a?frame_index=0", "stream_url_invalid"),
        ("ovs://streams/a", "query_param_invalid"),
        ("ovs://streams/a?", "query_param_invalid"),
        ("ovs://streams/a?frame_index", "query_param_invalid"),
        ("ovs://streams/a?frame_index=", "query_param_invalid"),
        ("ovs://streams/a?frame_index=1.5", "query_param_invalid"),
        ("ovs://streams/a?frame_index=1e3", "query_param_invalid"),
        ("ovs://streams/a?frame_index=+1", "query_param_invalid"),
        ("ovs://streams/a?frame_index=0x1", "query_param_invalid"),
        ("ovs://streams/a?frame_index=1&frame_index=2", "query_param_invalid"),
        ("ovs://streams/a?frame_index=1&timestamp_ms=2", "query_param_invalid"),
        ("ovs://streams/a?timestamp_ms=-1", "query_param_invalid"),
        ("ovs://streams/a?offset_ms=1", "query_param_invalid"),
        ("ovs://streams/a?timestamp_ms=1&tolerance_ms=0", "query_param_invalid"),
        ("ovs://streams/a?timestamp_ms=1&tolerance_ms=-5", "query_param_invalid"),
        ("ovs://streams/a?timestamp_ms=1&direction=up", "query_param_invalid"),
        ("ovs://streams/a?timestamp_ms=1&max_fps=2", "query_param_invalid"),
        ("ovs://streams/a?tolerance_ms=5", "query_param_invalid"),
        ("ovs://streams/a?frame_index=0&colour=1", "query_param_invalid"),
        ("ovs://streams/a?end_frame_index=5", "query_param_invalid"),
        ("ovs://streams/a?start_frame_index=0&start_offset_ms=-5", "query_param_invalid"),
        (
            "ovs://streams/a?start_frame_index=0&end_frame_index=5&end_offset_ms=0",
            "query_param_invalid",
        ),
        ("ovs://streams/a?start_frame_index=0&frame_index=5", "query_param_invalid"),
        ("ovs://streams/a?start_frame_index=0&tolerance_ms=5", "query_param_invalid"),
        ("ovs://streams/a?start_frame_index=0&direction=forward", "query_param_invalid"),
        ("ovs://streams/a?start_second=0", "query_param_invalid"),
        ("ovs://streams/a?start_frame_index=0&max_fps=0", "query_param_invalid"),
        ("ovs://streams/a?start_frame_index=0&max_fps=-1", "query_param_invalid"),
        ("ovs://streams/a?start_frame_index=0&max_fps=nan", "query_param_invalid"),
        ("ovs://streams/a?start_frame_index=0&max_fps=inf", "query_param_invalid"),
        ("ovs://streams/a?start_frame_index=5&end_frame_index=5", "segment_invalid"),
        ("ovs://streams/a?start_frame_index=-2&end_frame_index=-3", "segment_invalid"),
        ("ovs://streams/a?start_timestamp_ms=5&end_timestamp_ms=4", "segment_invalid"),
        ("ovs://streams/a?start_offset_ms=-5&end_offset_ms=-5", "segment_invalid"),
    ],
)
def test_what_the_grammar_does_not_allow_is_refused(uri: str, code: str) -> None:
    with pytest.raises(InvalidReferenceError) as raised:
        parse_reference(uri)
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: StreamTime(-1), "begins at 0"),
        (lambda: NowOffset(1), "nothing of the future"),
        (lambda: frame(StreamTime(0), tolerance_ms=0), "tolerance_ms is 0"),
        (lambda: FrameReference(stream_id="", at=FrameIndex(0)), "id is empty"),
        (lambda: FrameReference(stream_id="\ud800", at=FrameIndex(0)), "no valid Unicode"),
        (lambda: segment(FrameIndex(4), FrameIndex(4)), "not after its start"),
        (lambda: segment(FrameIndex(4), max_fps=0), "max_fps is 0"),
        (lambda: segment(FrameIndex(4), max_fps=float("inf")), "max_fps is inf"),
        (lambda: segment(FrameIndex(4), max_fps=float("nan")), "max_fps is nan"),
    ],
)
def test_a_wrong_combination_is_refused_before_the_call(build: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        build()


def test_an_id_of_the_network_leads_nowhere_else() -> None:
    for stream_id in ("a/../b", "a?frame_index=1", "a#b", "ä b", "..", "%2F"):
        reference = FrameReference(stream_id=stream_id, at=FrameIndex(0))
        assert str(reference).count("?") == 1
        assert parse_reference(str(reference)) == reference


anchors = (
    st.integers(-(10**9), 10**15).map(FrameIndex)
    | st.integers(0, 10**15).map(StreamTime)
    | st.integers(-(10**15), 0).map(NowOffset)
)
ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
rates = st.none() | st.floats(1e-300, 1e6, exclude_min=True)


@settings(deadline=None, max_examples=60)
@given(
    ids, anchors, st.none() | st.integers(1, 10**9), st.none() | st.sampled_from(list(Direction))
)
def test_every_frame_reference_survives_the_way(
    stream_id: str, at: Anchor, tolerance_ms: int | None, direction: Direction | None
) -> None:
    reference = FrameReference(
        stream_id=stream_id, at=at, tolerance_ms=tolerance_ms, direction=direction
    )
    assert parse_reference(str(reference)) == reference


@settings(deadline=None, max_examples=60)
@given(ids, anchors, st.none() | anchors, rates)
def test_every_segment_survives_the_way_or_is_refused(
    stream_id: str, start: Anchor, end: Anchor | None, max_fps: float | None
) -> None:
    make = partial(SegmentReference, stream_id=stream_id, start=start, end=end, max_fps=max_fps)
    impossible = type(end) is type(start) and end is not None and end.value <= start.value
    if impossible and (not isinstance(end, FrameIndex) or (end.value < 0) == (start.value < 0)):
        with pytest.raises(InvalidReferenceError, match="not after its start"):
            make()
        return
    reference = make()
    assert parse_reference(str(reference)) == reference
    assert str(reference).isascii()
