"""Live pictures over a leased stream of v1: windows are asked about while pictures flow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from live_flow_support import FRAME_US, HEIGHT, WIDTH, PlayedCamera, PlayedCameras, until, watching
from window_flow_support import question, window_server

from overshoot_flow.assignment import Assignment
from overshoot_flow.local.stamp import draw
from overshoot_flow.media.frames import Frame
from overshoot_flow.protocol.windows import Windows
from overshoot_flow.results import GapReason, Result
from overshoot_flow.session import asking

pytestmark = pytest.mark.xdist_group("real time")

ASKED = question(Windows(1, 0.5))


class StampedCamera(PlayedCamera):
    """Each picture is stamped with the number of its tenth of a second."""

    def _frame(self, pts_us: int) -> Frame:
        frame = super()._frame(pts_us)
        planes = np.frombuffer(frame.data, np.uint8).copy()
        draw(planes[: WIDTH * HEIGHT].reshape(HEIGHT, WIDTH), stamp_at(pts_us))
        return replace(frame, data=planes.tobytes())


def stamp_at(pts_us: int) -> int:
    return pts_us // FRAME_US % 2**24


def assert_shows_itself(result: Result) -> None:
    """No window shows a neighbour's frame; one that is sure of its own shows all of them."""
    inside = [
        stamp_at(pts_us)
        for pts_us in range(result.media_start_us, result.media_end_us)
        if pts_us % FRAME_US == 0
    ]
    stamps = result.output["stamps"]
    assert set(stamps) <= set(inside)
    assert stamps == sorted(stamps)


def test_windows_of_a_camera_show_their_own_frames() -> None:
    with window_server() as server:
        service = server.windows_service(idle_timeout_s=1.0)
        source = PlayedCameras(
            {"a": Assignment(inference=ASKED, services=(service,))}, StampedCamera
        )
        with watching(source) as run:
            until(lambda: len(run.of("a")) >= 8)
            source.cameras["a"].is_silent = True
            until(lambda: server.alive() == [])
            source.cameras["a"].is_silent = False
            before = len(run.of("a"))
            until(lambda: len(run.of("a")) >= before + 3)
        assert server.alive() == []
        assert len(server.streams()) == 2
    results = run.of("a")
    for result in results:
        assert_shows_itself(result)
    whole = [r for r in results if r.media_uncertainty_us == 0 and len(r.output["stamps"]) == 10]
    assert len(whole) >= 5
    assert len({r.result_id for r in results}) == len(results)


def test_a_lost_stream_is_a_gap_and_another_one_goes_on() -> None:
    with window_server() as server:
        service = server.windows_service()
        source = PlayedCameras(
            {"a": Assignment(inference=ASKED, services=(service,))}, StampedCamera
        )
        with watching(source) as run:
            until(lambda: len(run.of("a")) >= 2)
            server.fault("expire_lease")
            until(lambda: len({r.stream_id for r in run.of("a")}) == 2)
        assert server.alive() == []
    assert run.gaps_of("a", GapReason.STREAM_LOST)
    for result in run.of("a"):
        assert_shows_itself(result)


def test_the_next_windows_are_asked_something_else_on_the_same_stream() -> None:
    with window_server() as server:
        service = server.windows_service()
        first = Assignment(inference=ASKED, services=(service,))
        source = PlayedCameras({"a": first}, StampedCamera)
        other = replace(ASKED, prompt="which stamps now?", windows=Windows(0.5))
        with watching(source) as run:
            until(lambda: len(run.of("a")) >= 2)
            source.partitions["a"].assign(replace(first, inference=other))
            until(lambda: sum(r.prompt == other.prompt for r in run.of("a")) >= 3)
        assert len(server.streams()) == 1
    for result in run.of("a"):
        assert_shows_itself(result)
    lengths = {r.media_end_us - r.media_start_us for r in run.of("a") if r.prompt == other.prompt}
    assert 500_000 in lengths
    assert max(lengths) <= 500_000


def test_two_cameras_of_one_key_are_asked_about_in_turn() -> None:
    with window_server() as server:
        service = server.windows_service(max_in_flight=1)
        assignment = Assignment(inference=ASKED, services=(service,))
        server.fault("model_slow", delay_s=0.3)
        source = PlayedCameras({"a": assignment, "b": assignment}, StampedCamera)
        with watching(source) as run:
            until(lambda: len(run.results) >= 8)
            chats = server.chats()
            until(lambda: min(len(run.of(key)) for key in "ab") >= 4)
            server.fault("model_slow", delay_s=0.0)
        assert len(chats) >= 8
    counts = [len(run.of(key)) for key in "ab"]
    assert max(counts) - min(counts) <= max(counts) / 2


def test_windows_that_nobody_has_time_for_are_gaps_oldest_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking, "MAX_WAITING", 2)
    with window_server() as server:
        service = server.windows_service(max_in_flight=1)
        server.fault("model_slow", delay_s=0.5)
        often = question(Windows(0.2))
        source = PlayedCameras(
            {"a": Assignment(inference=often, services=(service,))}, StampedCamera
        )
        with watching(source) as run:
            until(lambda: run.gaps_of("a", GapReason.SERVICE))
            server.fault("model_slow", delay_s=0.0)
            before = len(run.of("a"))
            until(lambda: len(run.of("a")) > before)
    for result in run.of("a"):
        assert_shows_itself(result)
