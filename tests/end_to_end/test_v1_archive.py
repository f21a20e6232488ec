"""Archives over a leased stream of v1 or v1beta: each window once, with exactly its frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from access_unit_support import AccessUnitSource, MakeEncoded
from end_to_end_support import FPS, run_flow
from window_flow_support import question, run_windows, seen, window_server

from overshoot_flow.local.testvideo import VideoSpec, generate
from overshoot_flow.local.v1.config import V1Config
from overshoot_flow.protocol.windows import EveryFrame, WindowPlan, Windows
from overshoot_flow.results import Result
from overshoot_flow.transport_config import Inline

pytestmark = pytest.mark.xdist_group("real time")

SPECS = {
    "b-frames": VideoSpec(width=320, height=180, fps=10, duration_s=4.3, gop=20, b_frames=2),
    "odd pts": VideoSpec(
        width=320, height=180, fps=Fraction(30_000, 2_002), duration_s=3.1, gop=7, first_pts_s=0.71
    ),
    "short": VideoSpec(width=320, height=180, fps=10, duration_s=0.7, gop=20, b_frames=0),
}


def ids(results: list[Result]) -> list[str]:
    return [result.result_id for result in results]


@pytest.mark.parametrize("spec", SPECS)
def test_both_generations_and_inline_show_the_same_frames_of_the_same_windows(
    spec: str, tmp_path: Path
) -> None:
    path = generate(tmp_path / "made.mp4", SPECS[spec]).path
    asked = question(Windows(2, 1))
    with window_server() as server:
        runs = [
            run_windows(path, asked, service)
            for service in (
                server.windows_service("v1"),
                server.windows_service("v1beta"),
                server.windows_service("v1", transport=Inline()),
            )
        ]
        assert server.alive() == []
        assert len(server.streams()) == 2
        for done, sampled in runs:
            assert seen(done.results) == sampled.ideal(Windows(2, 1))
            assert not done.failures
            assert not done.gaps
            assert done.frames_settled == done.frames_emitted == len(sampled.stamps)
            assert ids(done.results) == ids(runs[0][0].results)
        assert len(set(ids(runs[0][0].results))) == len(runs[0][0].results)
        assert len(server.chats()) == 3 * len(runs[0][0].results)


@pytest.mark.parametrize(
    "plan", [EveryFrame(), Windows(Fraction(1, 2), 1), Windows(1, max_fps=5)], ids=str
)
def test_windows_of_every_form_are_shown_exactly(plan: WindowPlan, tmp_path: Path) -> None:
    path = generate(tmp_path / "made.mp4", SPECS["short"]).path
    with window_server(v1=V1Config(ingest_delay_s=0.3)) as server:
        done, sampled = run_windows(path, question(plan), server.windows_service())
        chats = server.chats()
    assert seen(done.results) == sampled.ideal(plan)
    assert done.frames_settled == done.frames_emitted
    assert {chat["status"] for chat in chats} == {200}


def test_a_video_is_asked_about_by_one_segment_that_shows_each_frame_once(tmp_path: Path) -> None:
    path = generate(tmp_path / "made.mp4", SPECS["b-frames"]).path
    with window_server() as server:
        run_windows(path, question(Windows(1)), server.windows_service())
        segments = [chat["media"] for chat in server.chats()]
        streams = server.streams()
    assert sum(len(media) == 1 and "start_frame_index" in media[0] for media in segments) >= 4
    (stream,) = streams
    # What is shown while the first picture is waited for, and few repetitions.
    assert stream["frames_received"] < 43 + 15


def test_access_units_are_located_as_well(encoded: MakeEncoded) -> None:
    plan = Windows(1, 0.5)
    with window_server() as server:
        source = AccessUnitSource([encoded(640, 360, 3.0)])
        done = run_flow([], question(plan), server.windows_service(), source=source)
    assert not done.gaps
    assert not done.failures
    assert done.frames_settled == done.frames_emitted == 3 * FPS
    assert [stamps for *_, stamps in seen(done.results)] == [
        list(range(first, first + FPS)) for first in range(0, 2 * FPS + 1, FPS // 2)
    ]
