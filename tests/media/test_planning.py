"""The planner on made-up streams: enough is decoded for every sample, and little else."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from overshoot_flow.media.planning import DecodePlanner, EncodedPicture
from overshoot_flow.media.sampling import (
    EveryFrame,
    FramesPerSecond,
    Keyframes,
    SamplingPlan,
)

FRAME_US = 33_333
DELAY = 3  # pictures by which presentation lags behind decoding

MINI_GOPS = st.integers(0, DELAY)  # B-frames before each reference, in presentation order
GOPS = st.lists(
    st.tuples(st.integers(0, DELAY), st.lists(MINI_GOPS, max_size=6)), min_size=1, max_size=8
)
PLANS = st.one_of(
    st.just(EveryFrame()),
    st.just(Keyframes()),
    st.fractions(min_value=Fraction(1, 3), max_value=40).map(FramesPerSecond),
)


def stream(gops: list[tuple[int, list[int]]]) -> list[EncodedPicture]:
    """Pictures in decode order; the first number of a GOP is how many leading B-frames it has."""
    order: list[tuple[int, str]] = []
    shown = 0
    for index, (leading, mini_gops) in enumerate(gops):
        b_frames = leading if index else 0
        for kind, before in [("entry", b_frames), *(("reference", count) for count in mini_gops)]:
            order.append((shown + before, kind))
            order.extend((shown + position, "disposable") for position in range(before))
            shown += before + 1
    return [
        EncodedPicture(
            pts_us=number * FRAME_US,
            dts_us=(position - DELAY) * FRAME_US,
            end_us=(number + 1) * FRAME_US,
            is_random_access=kind == "entry",
            is_reference=kind != "disposable",
            size=10,
        )
        for position, (number, kind) in enumerate(order)
    ]


def run(
    pictures: list[EncodedPicture], planner: DecodePlanner
) -> list[tuple[EncodedPicture, bool]]:
    steps = []
    for picture in pictures:
        steps += planner.push(picture)
    steps += planner.finish(max(picture.end_us for picture in pictures))
    return [(step.picture, step.restart) for step in steps]


def samples(pictures: list[EncodedPicture], plan: SamplingPlan, floor_us: int) -> set[int]:
    shown = sorted(pictures, key=lambda picture: picture.pts_us)
    ends = [picture.pts_us for picture in shown[1:]] + [shown[-1].end_us]
    return {
        picture.pts_us
        for picture, end_us in zip(shown, ends, strict=True)
        if picture.pts_us >= floor_us
        and plan.wants(picture.pts_us, end_us, is_key_frame=picture.is_random_access)
    }


def assert_decodable(
    pictures: list[EncodedPicture], decoded: list[tuple[EncodedPicture, bool]], wanted: set[int]
) -> None:
    """Every sample comes with all references since the random access point it depends on."""
    position = {id(picture): index for index, picture in enumerate(pictures)}
    available: set[int] = set()  # references since the last restart, as the decoder has them
    got = set()
    for picture, restart in decoded:
        index = position[id(picture)]
        if restart:
            assert picture.is_random_access
            available = set()
        if picture.pts_us in wanted:
            got.add(picture.pts_us)
            entries = [at for at in range(index + 1) if pictures[at].is_random_access]
            start = entries[-1]
            if picture.pts_us < pictures[start].pts_us:
                start = entries[-2]
            needed = {at for at in range(start, index) if pictures[at].is_reference}
            assert needed <= available
        if picture.is_reference:
            available.add(index)
    assert got == wanted
    assert [position[id(picture)] for picture, _ in decoded] == sorted(
        {position[id(picture)] for picture, _ in decoded}
    )


@given(gops=GOPS, plan=PLANS, floor_us=st.integers(0, 1_000_000))
def test_samples_have_all_they_depend_on_and_nothing_disposable_is_decoded(
    gops: list[tuple[int, list[int]]], plan: SamplingPlan, floor_us: int
) -> None:
    pictures = stream(gops)
    decoded = run(pictures, DecodePlanner(plan, floor_us=floor_us))
    wanted = samples(pictures, plan, floor_us)
    assert_decodable(pictures, decoded, wanted)
    for picture, _ in decoded:
        assert picture.is_reference or picture.pts_us in wanted
    if decoded:
        assert decoded[-1][0].pts_us in wanted


@given(gops=GOPS, plan=PLANS)
def test_a_tight_memory_bound_costs_work_and_nothing_else(
    gops: list[tuple[int, list[int]]], plan: SamplingPlan
) -> None:
    pictures = stream(gops)
    decoded = run(pictures, DecodePlanner(plan, max_held_bytes=15))
    assert_decodable(pictures, decoded, samples(pictures, plan, 0))


def test_a_gop_without_a_sample_is_not_decoded_and_the_next_restarts() -> None:
    pictures = stream([(0, [2, 2]), (0, [2, 2]), (0, [2, 2])])
    gop_us = 7 * FRAME_US
    decoded = run(pictures, DecodePlanner(FramesPerSecond(Fraction(1_000_000, 2 * gop_us))))
    assert [(picture.pts_us, restart) for picture, restart in decoded] == [
        (0, False),
        (2 * gop_us, True),
    ]


def test_pictures_with_the_time_of_another_are_left_out() -> None:
    pictures = stream([(0, [0, 0, 0])])
    pictures[2].pts_us = pictures[1].pts_us
    decoded = run(pictures, DecodePlanner(FramesPerSecond(30)))
    assert sum(bool(picture.is_wanted) for picture, _ in decoded) <= len(pictures)
    assert pictures[3].is_wanted
    assert bool(pictures[1].is_wanted) != bool(pictures[2].is_wanted)
