"""Archives that take turns on one slot: windows that are open when a stream is left are not cut."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from end_to_end_support import run_flow
from window_flow_support import question, window_server

from overshoot_flow.assignment import Assignment
from overshoot_flow.flow import inference
from overshoot_flow.local.testvideo import VideoSpec, generate
from overshoot_flow.protocol.windows import Windows

pytestmark = pytest.mark.xdist_group("real time")

SPEC = VideoSpec(width=320, height=180, fps=10, duration_s=3.0, gop=20)


def test_each_window_is_asked_about_once_over_many_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `infer` has no argument for it: only sources that assign say a dwell time.
    monkeypatch.setattr(inference, "Assignment", partial(Assignment, dwell_s=0.5))
    paths = [generate(tmp_path / f"{name}.mp4", SPEC).path for name in "ab"]
    with window_server() as server:
        service = server.windows_service(max_streams=1)
        done = run_flow(paths, question(Windows(1, 0.5)), service, fps=10)
        assert server.alive() == []
        assert len(server.streams()) > 2
        assert len(server.chats()) == 10
    assert not done.gaps
    assert not done.failures
    assert done.frames_settled == done.frames_emitted == 60
    for stream_key in {result.stream_key for result in done.results}:
        shown = [r.output["stamps"] for r in done.results if r.stream_key == stream_key]
        assert shown == [list(range(first, first + 10)) for first in range(0, 25, 5)]
