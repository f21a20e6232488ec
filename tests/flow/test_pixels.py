"""Steps that look at pixels make their sources decode, and refuse what is encoded all the same."""

from __future__ import annotations

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow import filter_frames, map_frames, run
from overshoot_flow.flow.items import Item
from overshoot_flow.media.access_units import AccessUnit

UNIT = AccessUnit(
    stream_key="k",
    source="camera",
    pts_us=0,
    duration_us=1,
    codec="h264",
    width=2,
    height=2,
    is_keyframe=True,
    data=b"\x00\x00\x00\x01\x65",
)


class Camera(TestingSource[Item]):
    """Counts how often it is asked to decode."""

    def __init__(self) -> None:
        super().__init__([UNIT])
        self.asked = 0

    def decode_always(self) -> None:
        self.asked += 1


def test_every_source_upstream_is_asked_to_decode_and_no_other() -> None:
    near, far, other = Camera(), Camera(), Camera()
    flow = Dataflow("test")
    op.input("other", flow, other)
    passed = op.map("engine_step", op.input("far", flow, far), lambda item: item)
    merged = op.merge("merge", passed, op.input("near", flow, near))
    map_frames("map", merged, lambda frame: frame)
    assert (near.asked, far.asked, other.asked) == (1, 1, 0)
    filter_frames("filter", passed, lambda _frame: True)
    assert (near.asked, far.asked, other.asked) == (1, 2, 0)


@pytest.mark.parametrize("step", [map_frames, filter_frames])
def test_an_access_unit_that_comes_all_the_same_ends_the_run(step: object) -> None:
    flow = Dataflow("test")
    frames = op.input("in", flow, TestingSource([UNIT]))
    op.output("out", step("look", frames, lambda frame: frame), TestingSink([]))  # type: ignore[operator]
    with pytest.raises(
        ConfigurationError, match=r"step look looks at pixels.*let its source decode"
    ):
        run(flow)
