"""Every stamp that the server saw lies in the answer's media interval."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from end_to_end_support import FPS, STAMPS_SCHEMA, Server, run_flow

from overshoot_flow.config import ClipMode, FrameMode, Inference

MODES = {
    "frame": FrameMode(interval_s=0.25),
    "clip": ClipMode(target_fps=10, clip_length_s=0.5, delay_s=0.5),
}


@pytest.mark.xdist_group("real time")
@pytest.mark.parametrize("mode", MODES)
def test_stamps_lie_in_the_interval(
    mode: str, server: Server, video: Callable[[float], Path]
) -> None:
    inference = Inference(prompt="Which stamps?", output_schema=STAMPS_SCHEMA, mode=MODES[mode])
    done = run_flow([video(20.0)], inference, server.service())

    checked = wrong = 0
    for result in done.results:
        stamps = result.output["stamps"]
        assert stamps, "the engine read no stamp"
        checked += 1
        inside = all(
            result.media_start_us <= stamp * 1_000_000 // FPS < result.media_end_us
            for stamp in stamps
        )
        wrong += not inside
        width_us = result.media_end_us - result.media_start_us
        assert width_us <= MODES[mode].length_s * 1_000_000 + 300_000 + 2
    assert checked >= 0.8 * 20 / MODES[mode].period_s
    assert wrong <= 0.01 * checked
    assert not done.failures
    assert done.frames_emitted == 20 * FPS
    assert done.frames_settled == done.frames_emitted
    assert {r.delivered_height for r in done.results} - {None} == {360}
    assert done.usage[-1].cost_cents is not None
    assert server.alive() == []
