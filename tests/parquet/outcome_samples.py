"""Outcomes for tests to vary."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from overshoot_flow.results import Failure, FailureReason, Gap, GapReason, Result, Usage

DAY_US = 86_400 * 1_000_000
NEW_YEAR_2024_US = 19_723 * DAY_US

_RESULT = Result(
    result_id="0",
    stream_key="cam-1",
    source="rtsp://camera.example/1",
    media_start_us=0,
    media_end_us=500_000,
    media_uncertainty_us=40_000,
    captured_start_us=None,
    captured_end_us=None,
    capture_basis="media",
    stream_id="s-1",
    mode="clip",
    backend="overshoot",
    model="m",
    prompt="What?",
    prompt_version="0123456789abcdef",
    raw_text="{}",
    output=None,
    finish_reason="stop",
    inference_latency_ms=120.5,
    total_latency_ms=None,
    received_at_us=NEW_YEAR_2024_US + 1,
    delivered_width=640,
    delivered_height=360,
    frames_published_total=12,
    frames_sent_total=11,
    frames_covered=3,
    settled_start_us=0,
    settled_end_us=400_000,
    frames_between=1,
)
_FAILURE = Failure(
    result_id="1",
    stream_key="cam-1",
    source="rtsp://camera.example/1",
    reason=FailureReason.SCHEMA,
    detail="not an integer",
    instance_path="/n",
    schema_path="/properties/n/type",
    media_start_us=500_000,
    media_end_us=1_000_000,
    media_uncertainty_us=40_000,
    stream_id=None,
    mode="clip",
    backend="overshoot",
    model="m",
    prompt="What?",
    prompt_version="0123456789abcdef",
    raw_text='{"n": "one"}',
    finish_reason="stop",
    received_at_us=NEW_YEAR_2024_US + 2,
    frames_covered=3,
    settled_start_us=0,
    settled_end_us=400_000,
    frames_between=0,
)
_GAP = Gap(
    stream_key="cam-1",
    source="rtsp://camera.example/1",
    media_start_us=1_000_000,
    media_end_us=2_000_000,
    reason=GapReason.DECODE,
    detail="broken packet",
    frames_lost=5,
    recorded_at_us=NEW_YEAR_2024_US + 3,
)
_USAGE = Usage(
    stream_key="cam-1",
    source="rtsp://camera.example/1",
    stream_id="s-1",
    model="m",
    at_us=NEW_YEAR_2024_US + 4,
    seconds_charged=15.0,
    cost_cents=0.5,
    credits_remaining_cents=None,
)


def a_result(**changes: Any) -> Result:
    return replace(_RESULT, **changes)


def a_failure(**changes: Any) -> Failure:
    return replace(_FAILURE, **changes)


def a_gap(**changes: Any) -> Gap:
    return replace(_GAP, **changes)


def a_usage(**changes: Any) -> Usage:
    return replace(_USAGE, **changes)
