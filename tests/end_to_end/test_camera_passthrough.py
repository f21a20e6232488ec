"""Camera → infer without decoding: what the far side sees, and that all time is accounted for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import bytewax.operators as op
import pytest
from access_unit_support import MakeEncoded
from bytewax.dataflow import Dataflow, Stream
from bytewax.testing import TestingSink
from end_to_end_support import FPS, STAMPS_SCHEMA, Run, Server
from rtsp_support import CameraServer, until
from test_cameras import frames_in, holes, run_disturbed

from overshoot_flow.config import ClipMode, FrameMode, Inference
from overshoot_flow.flow import infer, map_frames
from overshoot_flow.flow.items import Item
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.reconnecting import ReconnectPlan
from overshoot_flow.media.sampling import EveryFrame
from overshoot_flow.results import GapReason, Heartbeat, Outcome
from overshoot_flow.session.ledger import LEDGER
from overshoot_flow.session.runtime import RUNTIME
from overshoot_flow_connectors.rtsp import Camera, CameraStatus, RtspSettings, RtspSource

pytestmark = pytest.mark.xdist_group("real time")

Servers = Callable[..., CameraServer]
KEY_INTERVAL = 10
FRAMES = Inference(
    prompt="Which stamps?", output_schema=STAMPS_SCHEMA, mode=FrameMode(interval_s=0.25)
)
CLIPS = Inference(
    prompt="Which stamps?",
    output_schema=STAMPS_SCHEMA,
    mode=ClipMode(target_fps=30, clip_length_s=0.5, delay_s=0.5),
)


class CameraRun:
    """A flow from one camera to any number of questions, run while a test disturbs it."""

    def __init__(
        self,
        url: str,
        server: Server,
        questions: dict[str, Inference],
        *,
        between: Callable[[Stream[Item]], Stream[Item]] = lambda stream: stream,
        queue_access_units: int = 100,
    ) -> None:
        self.source = RtspSource(
            Camera(url=url, name="door"),
            settings=RtspSettings(
                reconnect=ReconnectPlan(tiers=((1000, 0.2),)),
                queue_access_units=queue_access_units,
            ),
        )
        self.said: dict[str, Run] = {}
        RUNTIME.failures.clear()
        self._flow = Dataflow("cameras")
        frames = between(op.input("cameras", self._flow, self.source))
        for step_id, inference in questions.items():
            self.said[step_id] = Run()
            outcomes = infer(step_id, frames, inference, server.service())
            kept = op.inspect(f"keep_{step_id}", outcomes, self._keep(self.said[step_id]))
            op.output(f"kept_{step_id}", kept, TestingSink([]))

    def _keep(self, done: Run) -> Callable[[str, Outcome | Heartbeat], None]:
        def keep(_step_id: str, outcome: Outcome | Heartbeat) -> None:
            if not isinstance(outcome, Heartbeat):
                done.outcomes.append(outcome)

        return keep

    @property
    def status(self) -> CameraStatus:
        return self.source.statuses()["door"]

    def until_answers(self, count: int) -> None:
        wanted = {step_id: len(done.results) + count for step_id, done in self.said.items()}
        until(lambda: all(len(self.said[key].results) >= many for key, many in wanted.items()))

    def run(self, disturb: Callable[[], None]) -> None:
        run_disturbed(self._flow, disturb)
        assert RUNTIME.failures == {}
        for done in self.said.values():
            rows = [asdict(outcome) for outcome in done.outcomes]
            assert holes(rows) == []
            assert frames_in(rows) == LEDGER.frames_emitted("door")


def test_two_questions_share_one_session_and_the_far_side_sees_every_picture(
    server: Server, camera_servers: Servers, encoded: MakeEncoded
) -> None:
    cameras = camera_servers({"door": {"file": str(encoded(640, 360, 12.0))}})
    watched = CameraRun(cameras.url("door"), server, {"clips": CLIPS, "frames": FRAMES})
    status: list[CameraStatus] = []

    def disturb() -> None:
        watched.until_answers(6)
        assert cameras.command("sessions")["sessions"] == 1
        status.append(watched.status)

    watched.run(disturb)
    assert (status[0].passes_through, status[0].attempts) == (True, 1)
    assert len(server.streams()) == 2
    for stream in server.streams():
        assert (stream["width"], stream["height"]) == (640, 360)
    seen = sorted({s for result in watched.said["clips"].results for s in result.output["stamps"]})
    # What waited for the stream to be made comes at once, and the service leaves some of it out.
    steady = [stamp for stamp in seen if stamp >= seen[0] + FPS]
    assert len(steady) >= 1.5 * FPS
    # Nothing is left out for good; a busy machine may make the service miss a moment.
    assert len(steady) >= 0.7 * (steady[-1] - steady[0] + 1)
    # A picture's stamp says when it was: the answers' media times must agree on the distance.
    begins_us = [
        result.media_start_us - min(result.output["stamps"]) * 1_000_000 / FPS
        for result in watched.said["clips"].results
        if result.output["stamps"]
    ]
    assert max(begins_us) - min(begins_us) < 300_000
    assert server.alive() == []


def test_a_camera_that_comes_back_with_another_size_is_passed_on_again(
    server: Server, camera_servers: Servers
) -> None:
    cameras = camera_servers({"door": {"width": 640, "height": 360}})
    watched = CameraRun(cameras.url("door"), server, {"ask": FRAMES})

    def disturb() -> None:
        watched.until_answers(4)
        cameras.command("set", camera="door", settings={"width": 320, "height": 240})
        until(lambda: watched.status.connections == 2)
        watched.until_answers(4)
        until(lambda: server.streams()[-1]["height"] == 240)
        cameras.kill()
        until(lambda: watched.status.attempts >= 4)
        cameras.start()
        until(lambda: watched.status.connections == 3)
        watched.until_answers(4)
        assert watched.status.passes_through

    watched.run(disturb)
    done = watched.said["ask"]
    assert {GapReason.OUTAGE} <= {gap.reason for gap in done.gaps}
    assert {r.delivered_height for r in done.results} >= {360, 240}
    assert server.alive() == []


def test_a_function_on_pixels_makes_the_camera_be_decoded(
    server: Server, camera_servers: Servers
) -> None:
    cameras = camera_servers({"door": {}})
    looked_at: list[int] = []

    def look(stream: Stream[Item]) -> Stream[Item]:
        return map_frames("look", stream, look_at)

    def look_at(frame: Frame) -> Frame:
        looked_at.append(frame.width)
        return frame

    watched = CameraRun(cameras.url("door"), server, {"ask": FRAMES}, between=look)
    status: list[CameraStatus] = []

    def disturb() -> None:
        watched.until_answers(3)
        status.append(watched.status)

    watched.run(disturb)
    assert watched.source.plan == EveryFrame()
    assert "looks at pixels" in (status[0].decoded_because or "")
    assert len(looked_at) >= 10


def test_a_service_that_is_away_costs_whole_groups_of_pictures_and_no_reconnect(
    server: Server, camera_servers: Servers
) -> None:
    cameras = camera_servers({"door": {"key_interval": KEY_INTERVAL}})
    watched = CameraRun(
        cameras.url("door"), server, {"ask": FRAMES}, queue_access_units=KEY_INTERVAL
    )

    def disturb() -> None:
        watched.until_answers(3)
        server.fault("http_errors", count=5, status=503)
        server.fault("room_disconnect", permanent=True)
        until(lambda: watched.status.given_up.get("dropped", 0) >= KEY_INTERVAL)
        watched.until_answers(3)

    watched.run(disturb)
    assert watched.status.attempts == 1
    assert GapReason.DROPPED in {gap.reason for gap in watched.said["ask"].gaps}
