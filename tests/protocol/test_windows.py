"""Windows: every moment in the right ones, none twice, the last one with its true length."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.model_limits import ModelLimits
from overshoot_flow.protocol.v1_chat import ImagePart, VideoPart
from overshoot_flow.protocol.v1_window_parts import stream_parts
from overshoot_flow.protocol.windows import (
    EveryFrame,
    FilledWindow,
    Interval,
    Window,
    WindowAssembler,
    WindowPlan,
    Windows,
    evenly,
    from_origin,
    window_result_id,
)

SECOND_US = 1_000_000


@dataclass(frozen=True)
class Shown:
    pts_us: int
    duration_us: int = 100_000


def assembled(plan: WindowPlan, pictures: list[Shown], end_us: int) -> list[FilledWindow[Shown]]:
    assembler = WindowAssembler[Shown](plan)
    filled = [window for picture in pictures for window in assembler.push(picture)]
    filled += assembler.finish(end_us)
    assert assembler.open_pictures == 0
    return filled


def at_10_fps(seconds: float) -> list[Shown]:
    return [Shown(index * 100_000) for index in range(round(seconds * 10))]


def bounds(filled: list[FilledWindow[Shown]]) -> list[tuple[float, float, int]]:
    return [
        (one.window.start_us / SECOND_US, one.window.end_us / SECOND_US, len(one.pictures))
        for one in filled
    ]


@pytest.mark.parametrize(
    ("plan", "seconds", "expected"),
    [
        (Windows(2), 6, [(0, 2, 20), (2, 4, 20), (4, 6, 20)]),
        (Windows(2), 5, [(0, 2, 20), (2, 4, 20), (4, 5, 10)]),
        (Windows(2), 0.5, [(0, 0.5, 5)]),
        (Windows(2), 2, [(0, 2, 20)]),
        (Windows(2), 2.1, [(0, 2, 20), (2, 2.1, 1)]),
        (Windows(4, 2), 8, [(0, 4, 40), (2, 6, 40), (4, 8, 40)]),
        (Windows(4, 2), 9, [(0, 4, 40), (2, 6, 40), (4, 8, 40), (6, 9, 30)]),
        (Windows(4, 2), 3, [(0, 3, 30)]),
        (Windows(1, 3), 7.5, [(0, 1, 10), (3, 4, 10), (6, 7, 10)]),
        (Windows(1, 3), 6.5, [(0, 1, 10), (3, 4, 10), (6, 6.5, 5)]),
        (Windows(1, 3), 6, [(0, 1, 10), (3, 4, 10)]),
        (Interval(2), 5, [(0, 2, 20), (2, 4, 20), (4, 5, 10)]),
    ],
)
def test_the_last_window_is_the_first_that_reaches_the_end(
    plan: WindowPlan, seconds: float, expected: list[tuple[float, float, int]]
) -> None:
    filled = assembled(plan, at_10_fps(seconds), round(seconds * SECOND_US))
    assert bounds(filled) == expected
    if isinstance(plan, Windows):
        assert [one.window for one in filled] == list(plan.until(round(seconds * SECOND_US)))


def test_nothing_is_asked_about_an_empty_medium() -> None:
    assert list(Windows(1).until(0)) == []
    assert WindowAssembler[Shown](Windows(1)).finish(0) == []


def test_a_window_without_a_picture_does_not_appear() -> None:
    pictures = [Shown(0), Shown(7_200 * SECOND_US)]
    filled = assembled(Windows(1), pictures, 7_200 * SECOND_US + 100_000)
    assert bounds(filled) == [(0, 1, 1), (7200, 7200.1, 1)]


def test_a_window_is_over_as_soon_as_a_later_picture_comes() -> None:
    assembler = WindowAssembler[Shown](Windows(1))
    assert assembler.push(Shown(0)) == []
    assert assembler.push(Shown(999_999)) == []
    assert assembler.open_pictures == 2
    (filled,) = assembler.push(Shown(1_000_000))
    assert filled.window == Window(0, 1_000_000)
    assert assembler.open_pictures == 1
    with pytest.raises(ValueError, match="came after"):
        assembler.push(Shown(1_000_000))


def test_every_frame_is_its_own_window_and_an_interval_looks_at_its_first() -> None:
    filled = assembled(EveryFrame(), at_10_fps(0.3), 250_000)
    assert bounds(filled) == [(0, 0.1, 1), (0.1, 0.2, 1), (0.2, 0.25, 1)]
    assert all(one.chosen == one.pictures for one in filled)
    filled = assembled(Interval(0.5), at_10_fps(1), SECOND_US)
    assert [one.chosen for one in filled] == [(Shown(0),), (Shown(500_000),)]


@pytest.mark.parametrize("offset_us", [0, -400, 400])
def test_max_fps_takes_the_first_picture_of_each_slot_whatever_containers_round(
    offset_us: int,
) -> None:
    pictures = [Shown(index * 100_000 + (offset_us if index else 0)) for index in range(10)]
    (filled,) = assembled(Windows(1, max_fps=5), pictures, SECOND_US)
    assert [picture.pts_us // 90_000 for picture in filled.chosen] == [0, 2, 4, 6, 8]
    (filled,) = assembled(Windows(1, max_fps=10), pictures, SECOND_US)
    assert filled.chosen == filled.pictures


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: Windows(0), "length_s must be a number above 0"),
        (lambda: Windows(float("nan")), "length_s"),
        (lambda: Windows(float("inf")), "length_s"),
        (lambda: Windows("x"), "length_s"),
        (lambda: Windows(1, -1), "stride_s"),
        (lambda: Windows(1, max_fps=0), "max_fps"),
        (lambda: Windows(1e-9), "at least 1 µs"),
        (lambda: Windows(1001, 1), "lengthen the stride"),
        (lambda: Interval(0), "above 0"),
    ],
)
def test_windows_that_make_no_sense_are_refused(build: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        build()


def test_decimals_are_exact_however_long_the_medium_is() -> None:
    assert Windows(0.1).window(10**9) == Window(10**14, 10**14 + 100_000)
    thirds = Windows(Fraction(1, 3))
    assert thirds.window(3 * 10**9).start_us == 10**15


lengths = st.fractions(Fraction(1, 50), 3, max_denominator=60)


@st.composite
def media(draw: st.DrawFn) -> tuple[Windows, list[Shown], int]:
    length = draw(lengths)
    stride = draw(lengths.filter(lambda one: length / one <= 20))
    steps = draw(st.lists(st.integers(1, 400_000), max_size=40))
    pts_us, pictures = draw(st.integers(0, 100_000)), []
    for step_us in steps:
        pictures.append(Shown(pts_us, step_us))
        pts_us += step_us
    return Windows(length, stride), pictures, pts_us


@settings(deadline=None, max_examples=60)
@given(media())
def test_every_picture_is_in_exactly_the_windows_that_hold_it(
    case: tuple[Windows, list[Shown], int],
) -> None:
    plan, pictures, end_us = case
    filled = assembled(plan, pictures, end_us)
    windows = [one.window for one in filled]
    assert windows == sorted(set(windows))
    asked = list(plan.until(end_us))
    with_pictures = [
        Window(window.start_us, window.end_us)
        for window in asked
        if any(window.start_us <= picture.pts_us < window.end_us for picture in pictures)
    ]
    assert windows == with_pictures
    for one in filled:
        inside = [p for p in pictures if one.window.start_us <= p.pts_us < one.window.end_us]
        assert list(one.pictures) == inside


@settings(deadline=None, max_examples=60)
@given(lengths, lengths, st.integers(0, 20_000_000), st.integers(0, 20_000_000))
def test_every_moment_is_in_the_windows_of_the_formula(
    length: Fraction, stride: Fraction, at_us: int, more_us: int
) -> None:
    plan = Windows(length, stride)
    exact = [
        index
        for index in range(int(at_us / (stride * SECOND_US)) + 2)
        if index * stride * SECOND_US <= at_us < (index * stride + length) * SECOND_US
    ]
    assert list(plan.windows_of(at_us)) == [plan.window(index) for index in exact]
    asked = list(plan.until(at_us + more_us + 1))
    covering = [window for window in asked if window.start_us <= at_us < window.end_us]
    # Every moment that a window of the formula holds is asked about, the end included.
    assert bool(covering) == bool(exact)
    assert asked[-1].end_us <= at_us + more_us + 1
    assert all(window.end_us > window.start_us for window in asked)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 300), st.integers(1, 100))
def test_what_is_too_much_is_thinned_evenly(count: int, limit: int) -> None:
    items = list(range(count))
    kept = evenly(items, limit)
    assert len(kept) == min(count, limit)
    assert list(kept) == sorted(set(kept))
    if min(count, limit) > 1:
        assert (kept[0], kept[-1]) == (0, count - 1)
        steps = {after - before for before, after in pairwise(kept)}
        assert max(steps) - min(steps) <= 1


def test_the_same_question_about_the_same_video_has_the_same_id() -> None:
    def of(**changes: Any) -> str:
        given: dict[str, Any] = {
            "source_identity": "a.mp4",
            "window": Window(0, 5),
            "prompt_version": "p",
            "model": "m",
            "output_schema": {"a": 1, "b": 2},
        }
        given |= changes
        return window_result_id(given.pop("source_identity"), given.pop("window"), **given)

    assert len(of()) == 32
    assert of() == of(output_schema={"b": 2, "a": 1})
    changes: list[dict[str, Any]] = [
        {"source_identity": "b.mp4"},
        {"window": Window(0, 6)},
        {"window": Window(1, 5)},
        {"prompt_version": "q"},
        {"model": "n"},
        {"output_schema": None},
        {"source_identity": "a.mp4\x1f0", "window": Window(5, 5)},
    ]
    assert len({of(), *(of(**change) for change in changes)}) == 1 + len(changes)


VIDEO = ModelLimits()
IMAGES = ModelLimits(takes_video=False)


@pytest.mark.parametrize(
    ("indices", "limits", "allowed", "urls"),
    [
        ([4], VIDEO, 60, ["frame_index=4"]),
        ([4, 5, 6], VIDEO, 60, ["start_frame_index=4&end_frame_index=7&max_fps=240.0"]),
        ([4, 5], IMAGES, 60, ["frame_index=4", "frame_index=5"]),
        ([4, 6, 8], VIDEO, 60, ["frame_index=4", "frame_index=6", "frame_index=8"]),
        ([4, 5, 6], VIDEO, 2, ["frame_index=4", "frame_index=6"]),
        ([4, 5, 6], VIDEO, 1, ["frame_index=5"]),
    ],
)
def test_parts_show_exactly_the_frames_that_a_model_can_take(
    indices: list[int], limits: ModelLimits, allowed: int, urls: list[str]
) -> None:
    parts = stream_parts("s", indices, limits, allowed)
    assert [str(part.url) for part in parts] == [f"ovs://streams/s?{query}" for query in urls]
    kind = VideoPart if urls[0].startswith("start") else ImagePart
    assert all(isinstance(part, kind) for part in parts)


@pytest.mark.parametrize(
    "plan", [Windows(1), Windows(2, 1), Windows(0.5, 1, max_fps=5), Interval(0.5)]
)
def test_a_medium_that_begins_later_has_the_same_windows_later(plan: WindowPlan) -> None:
    origin_us = 1_234_567
    pictures = [number * 100_000 for number in range(43)]
    moved = from_origin(plan, origin_us)
    for pts_us in pictures:
        windows = plan.windows_of(pts_us, 100_000)
        there = moved.windows_of(pts_us + origin_us, 100_000)
        assert [(w.start_us - origin_us, w.end_us - origin_us) for w in there] == [
            (w.start_us, w.end_us) for w in windows
        ]
        for window, other in zip(windows, there, strict=True):
            inside = [p for p in pictures if window.start_us <= p < window.end_us]
            chosen = moved.choose(other, [p + origin_us for p in inside])
            assert list(chosen) == list(plan.choose(window, inside))
    end_us = 4_321_000
    assert moved.last_start_us(end_us + origin_us) == plan.last_start_us(end_us) + origin_us
    assert from_origin(plan, 0) is plan
