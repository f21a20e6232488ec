"""Which frames a reference means: table-driven over a stream with a known past."""

from __future__ import annotations

import av
import pytest

from overshoot_flow.local.engines.base import SeenFrame
from overshoot_flow.local.v1.errors import V1Error
from overshoot_flow.local.v1.frames import RetainedFrames
from overshoot_flow.protocol.v1_uri import FrameReference, SegmentReference, parse_reference

FIRST_S = 1_700_000_000.0
PLANE_BYTES = 16 * 16 * 3 // 2


def remembering(count: int = 20, **changes: float) -> RetainedFrames:
    """Ten frames a second, the first at stream time 0; the size of a frame says its index."""
    options = {"retention_s": 600.0, "max_bytes": 10**9, "delay_s": 0.0} | changes
    frames = RetainedFrames(
        retention_s=options["retention_s"],
        max_bytes=int(options["max_bytes"]),
        delay_s=options["delay_s"],
    )
    for index in range(count):
        frames.add(SeenFrame(av.VideoFrame(16, 16, "yuv420p"), FIRST_S + index / 10))
    return frames


def asked(frames: RetainedFrames, query: str, now_s: float = FIRST_S + 1.9) -> list[int]:
    """The indices of what `query` means at stream time 1.9 s."""
    reference = parse_reference(f"ovs://streams/s?{query}")
    if isinstance(reference, FrameReference):
        found = [frames.frame(reference, now_s)]
    else:
        assert isinstance(reference, SegmentReference)
        found = frames.segment(reference, now_s)
    return [round((frame.arrived_at_s - FIRST_S) * 10) for frame in found]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("frame_index=0", 0),
        ("frame_index=19", 19),
        ("frame_index=-1", 19),
        ("frame_index=-20", 0),
        ("timestamp_ms=500", 5),
        ("timestamp_ms=540", 5),
        ("timestamp_ms=560", 6),
        ("timestamp_ms=510&direction=forward", 6),
        ("timestamp_ms=590&direction=backward", 5),
        ("timestamp_ms=500&direction=forward", 5),
        ("timestamp_ms=500&direction=backward&tolerance_ms=1", 5),
        ("timestamp_ms=2000", 19),
        ("offset_ms=0", 19),
        ("offset_ms=-1900", 0),
    ],
)
def test_a_frame_reference_means_one_frame(query: str, index: int) -> None:
    assert asked(remembering(), query) == [index]


@pytest.mark.parametrize(
    ("query", "indices"),
    [
        ("start_frame_index=3&end_frame_index=7&max_fps=100", [3, 4, 5, 6]),
        ("start_frame_index=17&max_fps=10", [17, 18, 19]),
        ("start_frame_index=-3&max_fps=10", [17, 18, 19]),
        ("start_frame_index=-30&end_frame_index=2&max_fps=10", [0, 1]),
        ("start_frame_index=-3&end_frame_index=-1&max_fps=10", [17, 18]),
        ("start_frame_index=18&end_frame_index=20&max_fps=10", [18, 19]),
        ("start_timestamp_ms=300&end_timestamp_ms=700&max_fps=10", [3, 4, 5, 6]),
        ("start_timestamp_ms=1700&end_timestamp_ms=9000&max_fps=10", [17, 18, 19]),
        ("start_offset_ms=-300&end_offset_ms=-100&max_fps=10", [16, 17]),
        ("start_timestamp_ms=300&end_frame_index=5&max_fps=10", [3, 4]),
        ("start_frame_index=0&end_frame_index=20", [0, 10]),
        ("start_frame_index=0&end_frame_index=20&max_fps=5", [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]),
        ("start_frame_index=3&end_frame_index=4&max_fps=10", [3]),
    ],
)
def test_a_segment_means_the_frames_between_its_anchors(query: str, indices: list[int]) -> None:
    assert asked(remembering(), query) == indices


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("frame_index=20", 409, "frame_not_yet_produced"),
        ("frame_index=4", 410, "frame_evicted"),
        ("frame_index=-16", 410, "frame_evicted"),
        ("frame_index=-21", 404, "segment_empty"),
        ("timestamp_ms=200", 404, "segment_empty"),
        ("timestamp_ms=1040&tolerance_ms=10", 404, "segment_empty"),
        ("timestamp_ms=2001", 409, "frame_not_yet_produced"),
        ("start_frame_index=4&end_frame_index=9", 410, "frame_evicted"),
        ("start_frame_index=20", 409, "frame_not_yet_produced"),
        ("start_frame_index=18&end_frame_index=21", 409, "frame_not_yet_produced"),
        ("start_timestamp_ms=100&end_timestamp_ms=200", 404, "segment_empty"),
        ("start_timestamp_ms=1010&end_timestamp_ms=1090", 404, "segment_empty"),
        ("start_timestamp_ms=1000&end_frame_index=8", 400, "segment_invalid"),
        ("start_frame_index=10&end_frame_index=-12", 400, "segment_invalid"),
        ("start_offset_ms=-300&end_frame_index=10", 400, "segment_invalid"),
    ],
)
def test_what_is_gone_not_there_yet_or_nowhere_is_told_apart(
    query: str, status: int, code: str
) -> None:
    frames = remembering(max_bytes=15 * PLANE_BYTES)
    with pytest.raises(V1Error) as raised:
        asked(frames, query)
    assert (raised.value.status, raised.value.code) == (status, code)


@pytest.mark.parametrize(
    "query", ["frame_index=0", "frame_index=-1", "timestamp_ms=0", "offset_ms=0"]
)
def test_before_the_first_frame_nothing_is_there_yet(query: str) -> None:
    with pytest.raises(V1Error, match="frame_not_yet_produced"):
        asked(remembering(0), query)


def test_frames_go_with_their_age_and_keep_their_indices() -> None:
    frames = remembering(retention_s=1.0)
    assert [one.index for one in frames.available(FIRST_S + 1.9)] == list(range(10, 20))
    assert frames.evicted_early == 0
    with pytest.raises(V1Error, match="frame_evicted"):
        asked(frames, "frame_index=9")
    assert asked(frames, "frame_index=10") == [10]
    with pytest.raises(V1Error, match="frame_evicted"):
        asked(frames, "frame_index=10", FIRST_S + 2.0)


def test_frames_that_go_for_want_of_bytes_are_counted() -> None:
    frames = remembering(max_bytes=5 * PLANE_BYTES)
    assert frames.evicted_early == 15
    assert [one.index for one in frames.available(FIRST_S + 1.9)] == [15, 16, 17, 18, 19]


def test_a_frame_can_be_asked_about_some_time_after_it_came() -> None:
    frames = remembering(delay_s=1.0)
    assert asked(frames, "frame_index=-1") == [9]
    with pytest.raises(V1Error, match="frame_not_yet_produced"):
        asked(frames, "frame_index=10")
    assert asked(frames, "frame_index=10", FIRST_S + 2.0) == [10]


def test_jitter_of_arrival_neither_doubles_nor_loses_a_frame() -> None:
    frames = RetainedFrames(retention_s=600, max_bytes=10**9, delay_s=0)
    for index in range(20):
        jitter_s = (-1) ** index * 0.02 if index else 0.0
        frames.add(SeenFrame(av.VideoFrame(16, 16, "yuv420p"), FIRST_S + index / 10 + jitter_s))
    for max_fps in (10.5, 20, 240):
        assert len(asked(frames, f"start_frame_index=0&max_fps={max_fps}", FIRST_S + 3)) == 20
    assert len(asked(frames, "start_frame_index=0&max_fps=5", FIRST_S + 3)) == 10


def test_the_recent_rate_is_measured() -> None:
    assert remembering().recent_fps() == pytest.approx(10)
    assert remembering(1).recent_fps() is None
