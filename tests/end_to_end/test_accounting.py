"""What users do between source and `infer`, and scarce slots: every frame is accounted for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bytewax.operators as op
import pytest
from bytewax.dataflow import Stream
from end_to_end_support import KEY, STAMPS_SCHEMA, Server, run_flow

from overshoot_flow.config import FrameMode, Inference, Secret, Service
from overshoot_flow.errors import AuthenticationError, ConfigurationError
from overshoot_flow.flow import filter_frames, map_frames
from overshoot_flow.flow.items import Item
from overshoot_flow.local.running import running_server
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.media.frames import Frame
from overshoot_flow.results import FailureReason, GapReason
from overshoot_flow.session.runtime import RUNTIME

pytestmark = pytest.mark.xdist_group("real time")

INFERENCE = Inference(
    prompt="Which stamps?", output_schema=STAMPS_SCHEMA, mode=FrameMode(interval_s=0.25)
)


def test_user_functions_leave_a_record(server: Server, video: Callable[[float], Path]) -> None:
    def fail_once(frame: Frame) -> Frame:
        if frame.pts_us == 1_000_000:
            raise ValueError("cannot see")
        return frame

    def between(frames: Stream[Item]) -> Stream[Item]:
        kept = filter_frames("keep", frames, lambda f: not 1_500_000 <= f.pts_us < 2_000_000)
        return map_frames("look", kept, fail_once)

    done = run_flow([video(3.0)], INFERENCE, server.service(), fps=10, between=between)
    assert done.frames_emitted == 30
    assert done.frames_settled == 30
    (failure,) = done.failures
    assert failure.reason is FailureReason.USER_FUNCTION
    assert failure.detail == "look: ValueError: cannot see"
    (gap,) = done.gaps
    assert (gap.reason, gap.frames_lost) == (GapReason.FILTERED, 5)
    assert (gap.media_start_us, gap.media_end_us) == (1_500_000, 2_000_000)


def test_frames_that_an_operator_swallows_end_the_run(
    server: Server, video: Callable[[float], Path]
) -> None:
    def swallow(frames: Stream[Item]) -> Stream[Item]:
        return op.filter(
            "swallow", frames, lambda item: not isinstance(item, Frame) or item.pts_us < 1_000_000
        )

    with pytest.raises(ConfigurationError, match="use filter_frames"):
        run_flow([video(3.0)], INFERENCE, server.service(), fps=10, between=swallow)
    assert server.alive() == []


def test_a_file_waits_for_a_slot(video: Callable[[float], Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(video(2.0).read_bytes())
    config = ServerConfig(keys={KEY: 1000.0}, allow_faults=True, max_streams_per_key=1)
    with running_server(config) as running:
        server = Server(running.base_url)
        done = run_flow([video(2.0), copy], INFERENCE, server.service(), fps=10)
        assert len(server.streams()) == 2
        assert server.alive() == []
    assert done.frames_settled == done.frames_emitted == 40
    assert len({result.stream_key for result in done.results}) == 2
    assert done.gaps == []
    assert RUNTIME.failures == {}


def test_a_wrong_key_fails_at_once_and_says_so(
    server: Server, video: Callable[[float], Path]
) -> None:
    service = Service(key=Secret("ovs-wrong-key"), base_url=server.base_url)
    done = run_flow([video(3.0)], INFERENCE, service, fps=10)
    (failure,) = RUNTIME.failures.values()
    assert isinstance(failure, AuthenticationError)
    assert failure.status == 401
    assert "ovs-wrong-key" not in str(failure)
    assert {gap.reason for gap in done.gaps} == {GapReason.STOPPED}
    assert done.frames_settled == done.frames_emitted < 30


def test_a_proxy_that_cannot_be_used_fails_the_session_and_says_so(
    server: Server, video: Callable[[float], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:hidden-password@127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    done = run_flow([video(3.0)], INFERENCE, server.service(), fps=10)
    (failure,) = RUNTIME.failures.values()
    assert isinstance(failure, ConfigurationError)
    assert "hidden-password" not in str(failure)
    assert {gap.reason for gap in done.gaps} == {GapReason.STOPPED}
    assert done.frames_settled == done.frames_emitted


def test_a_file_without_video_is_a_gap_and_the_others_go_on(
    server: Server, video: Callable[[float], Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no video" * 100)
    done = run_flow([broken, video(2.0)], INFERENCE, server.service(), fps=10)
    assert [gap.reason for gap in done.gaps] == [GapReason.DECODE]
    assert len({result.stream_key for result in done.results}) == 1
    assert done.frames_settled == done.frames_emitted == 20
    assert len(server.streams()) == 1
