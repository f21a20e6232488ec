"""A stream of access units that breaks goes on with a key frame; every unit is accounted for."""

from __future__ import annotations

from typing import Any

import pytest
from access_unit_support import GOP, AccessUnitSource, MakeEncoded
from end_to_end_support import FPS, STAMPS_SCHEMA, FaultAfter, Run, Server, run_flow

from overshoot_flow.config import FrameMode, Inference
from overshoot_flow.results import GapReason
from overshoot_flow.session.runtime import RUNTIME

pytestmark = pytest.mark.xdist_group("real time")

DURATION_S = 6.0
INFERENCE = Inference(
    prompt="Which stamps?", output_schema=STAMPS_SCHEMA, mode=FrameMode(interval_s=0.25)
)


def faulty_run(server: Server, encoded: MakeEncoded, kind: str, **fault: Any) -> Run:
    """Run the flow; after six answers the server breaks as told."""
    done = run_flow(
        [],
        INFERENCE,
        server.service(),
        source=AccessUnitSource([encoded(640, 360, DURATION_S)]),
        on_outcome=FaultAfter(6, lambda: server.fault(kind, **fault)),
    )
    assert done.frames_emitted == done.frames_settled == DURATION_S * FPS
    assert server.alive() == []
    assert RUNTIME.failures == {}
    newest = max(stamp for result in done.results for stamp in result.output["stamps"])
    assert newest > (DURATION_S - 0.5) * FPS, "the far side could not follow after the fault"
    return done


def undecodable(done: Run) -> int:
    return sum(gap.frames_lost for gap in done.gaps if gap.reason is GapReason.NO_KEY_FRAME)


def test_a_lost_room_goes_on_with_a_key_frame(server: Server, encoded: MakeEncoded) -> None:
    done = faulty_run(server, encoded, "room_disconnect")
    assert len(server.streams()) == 1
    assert undecodable(done) < GOP


def test_a_publisher_that_is_sent_away_joins_again_with_a_key_frame(
    server: Server, encoded: MakeEncoded
) -> None:
    done = faulty_run(server, encoded, "room_kick")
    assert len(server.streams()) == 1
    assert undecodable(done) < GOP


def test_a_new_stream_begins_with_a_key_frame(server: Server, encoded: MakeEncoded) -> None:
    done = faulty_run(server, encoded, "room_disconnect", permanent=True)
    assert len({result.stream_id for result in done.results}) == 2
    lost = sum(gap.frames_lost for gap in done.gaps if gap.reason is GapReason.STREAM_LOST)
    assert undecodable(done) + lost < GOP
