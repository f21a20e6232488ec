"""Access units go to the service as they are; the far side decodes them; nothing is unaccounted."""

from __future__ import annotations

import pytest
from access_unit_support import GOP, AccessUnitSource, MakeEncoded
from end_to_end_support import FPS, STAMPS_SCHEMA, Run, Server, run_flow

from overshoot_flow.config import ClipMode, FrameMode, Inference
from overshoot_flow.results import GapReason, Result
from overshoot_flow.session.runtime import RUNTIME

pytestmark = pytest.mark.xdist_group("real time")

INFERENCE = Inference(
    prompt="Which stamps?", output_schema=STAMPS_SCHEMA, mode=FrameMode(interval_s=0.25)
)
CLIPS = Inference(
    prompt="Which stamps?",
    output_schema=STAMPS_SCHEMA,
    mode=ClipMode(target_fps=30, clip_length_s=0.5, delay_s=0.5),
)


def stamps_seen(done: Run) -> set[int]:
    return {stamp for result in done.results for stamp in result.output["stamps"]}


def stamps_outside(done: Run) -> list[tuple[int, Result]]:
    return [
        (stamp, result)
        for result in done.results
        for stamp in result.output["stamps"]
        if not result.media_start_us <= stamp * 1_000_000 // FPS < result.media_end_us
    ]


def test_the_far_side_decodes_every_access_unit_in_full_size(
    server: Server, encoded: MakeEncoded
) -> None:
    done = run_flow([], CLIPS, server.service(), source=AccessUnitSource([encoded(1280, 720, 5.0)]))
    assert done.frames_emitted == done.frames_settled == 5 * FPS
    assert not done.gaps
    assert not done.failures
    (stream,) = server.streams()
    assert (stream["width"], stream["height"]) == (1280, 720)
    assert stream["frames_received"] >= 5 * FPS
    assert stamps_outside(done) == []
    assert len(stamps_seen(done)) >= 4.5 * FPS
    assert {r.delivered_height for r in done.results} - {None} == {720}
    assert server.alive() == []
    assert RUNTIME.failures == {}


def test_a_stream_begins_with_a_key_frame_and_what_precedes_it_is_a_gap(
    server: Server, encoded: MakeEncoded
) -> None:
    source = AccessUnitSource([encoded(640, 360, 3.0)], first=GOP - 5)
    done = run_flow([], INFERENCE, server.service(), source=source)
    assert done.frames_emitted == done.frames_settled == 3 * FPS - GOP + 5
    (gap,) = [gap for gap in done.gaps if gap.reason is GapReason.NO_KEY_FRAME]
    assert gap.frames_lost == 5
    assert gap.media_start_us == pytest.approx((GOP - 5) * 1e6 / FPS, abs=2)
    assert gap.media_end_us == pytest.approx(GOP * 1e6 / FPS, abs=2)
    assert min(stamps_seen(done)) >= GOP


def test_a_source_may_change_between_pixels_and_access_units(
    server: Server, encoded: MakeEncoded
) -> None:
    # As a camera does whose encoder begins to use B-frames. The units after the frames begin in
    # the middle of a GOP.
    pixels = slice(2 * GOP, 4 * GOP - 5)
    source = AccessUnitSource([encoded(640, 360, 4.0)], decoded_part=pixels)
    done = run_flow([], INFERENCE, server.service(), source=source)
    assert done.frames_emitted == done.frames_settled == 4 * FPS
    assert sum(g.frames_lost for g in done.gaps if g.reason is GapReason.NO_KEY_FRAME) == 5
    assert len(server.streams()) == 1
    assert RUNTIME.failures == {}
    assert max(stamps_seen(done)) >= 3.5 * FPS
