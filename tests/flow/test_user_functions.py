"""User functions see frames alone, and whatever they do is data."""

from __future__ import annotations

from dataclasses import replace

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main

from overshoot_flow.flow import filter_frames, map_frames
from overshoot_flow.flow.items import EndOfMedia, FrameFailed, FrameFiltered, Item, Tick
from overshoot_flow.media.frames import Frame


def frame(number: int) -> Frame:
    return Frame(
        stream_key="k",
        source="s",
        pts_us=number * 1000,
        duration_us=1000,
        width=2,
        height=2,
        data=bytes([number] * 6),
    )


TICK = Tick(stream_key="k", frames_emitted=2, pieces=())
END = EndOfMedia(stream_key="k", frames_emitted=3)
ITEMS: list[Item] = [frame(0), frame(1), TICK, frame(2), END]


def mapped(function: object) -> list[Item]:
    return _run(lambda stream: map_frames("change", stream, function))  # type: ignore[arg-type]


def filtered(predicate: object) -> list[Item]:
    return _run(lambda stream: filter_frames("keep", stream, predicate))  # type: ignore[arg-type]


def _run(step: object) -> list[Item]:
    out: list[Item] = []
    flow = Dataflow("test")
    stream = op.input("in", flow, TestingSource(ITEMS))
    op.output("out", step(stream), TestingSink(out))  # type: ignore[operator]
    run_main(flow)
    return out


def test_map_changes_pixels_and_passes_control_items_on() -> None:
    out = mapped(lambda f: replace(f, data=bytes(6)))
    assert [item.data for item in out if isinstance(item, Frame)] == [bytes(6)] * 3
    assert out[2] == TICK
    assert out[4] == END


def test_map_cannot_change_identity_or_time() -> None:
    out = mapped(lambda f: replace(f, stream_key="other", pts_us=0))
    assert [(f.stream_key, f.pts_us) for f in out if isinstance(f, Frame)] == [
        ("k", 0),
        ("k", 1000),
        ("k", 2000),
    ]


def test_a_map_that_raises_makes_a_failed_frame_and_goes_on() -> None:
    def fail_on_one(f: Frame) -> Frame:
        if f.pts_us == 1000:
            raise ValueError("too dark")
        return f

    out = mapped(fail_on_one)
    assert isinstance(out[0], Frame)
    assert out[1] == FrameFailed(
        stream_key="k",
        source="s",
        pts_us=1000,
        duration_us=1000,
        detail="change: ValueError: too dark",
    )
    assert isinstance(out[3], Frame)


def test_a_map_that_returns_no_frame_makes_a_failed_frame() -> None:
    out = mapped(lambda _: None)
    assert [type(item) for item in out] == [FrameFailed, FrameFailed, Tick, FrameFailed, EndOfMedia]


def test_a_filtered_frame_leaves_its_place() -> None:
    out = filtered(lambda f: f.pts_us != 1000)
    assert out[1] == FrameFiltered(stream_key="k", source="s", pts_us=1000, duration_us=1000)
    assert [type(item) for item in out] == [Frame, FrameFiltered, Tick, Frame, EndOfMedia]


def test_a_filter_that_raises_makes_a_failed_frame() -> None:
    out = filtered(lambda f: 1 // (f.pts_us - 1000))
    assert isinstance(out[1], FrameFailed)
    assert "ZeroDivisionError" in out[1].detail
