"""What pictures say about a camera."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from overshoot_flow_pipelines.check_facts import (
    ENOUGH_PICTURES,
    CameraFacts,
    CameraObservation,
    PictureFacts,
)

NOW_US = 1_700_000_000_000_000


def observe(
    pts_us: Sequence[int | None], keys: Sequence[int] = (0,), offset_us: int | None = None
) -> CameraObservation:
    observation = CameraObservation()
    for index, each in enumerate(pts_us):
        arrival_us = NOW_US + index * 40_000
        observation.take(
            PictureFacts(
                pts_us=each,
                arrival_us=arrival_us,
                # The first pictures of a session come before the first report.
                ntp_us=None if offset_us is None or index < 2 else arrival_us + offset_us,
                is_key_frame=index in keys,
            )
        )
    return observation


def facts(
    observation: CameraObservation,
    *,
    codec: str = "h264",
    announces_b_frames: bool = False,
    pixels_for: str | None = None,
) -> CameraFacts:
    return observation.facts(
        codec=codec,
        width=320,
        height=240,
        announces_b_frames=announces_b_frames,
        pixels_for=pixels_for,
    )


STEADY = [index * 40_000 for index in range(40)]


def test_a_steady_camera() -> None:
    seen = facts(observe(STEADY, keys=(0, 12, 24, 36), offset_us=250_000))
    assert seen.fps == 25
    assert (seen.gop_pictures, seen.gop_s) == (12, 0.48)
    assert (seen.clock_basis, seen.clock_offset_s) == ("ntp", 0.25)
    assert not seen.has_b_frames
    assert seen.passthrough_refusal is None


@pytest.mark.parametrize(
    "pts_us",
    [
        [None, *STEADY[1:]],
        [each for each in STEADY if each != 400_000],
        [each + (5_000_000 if each > 800_000 else 0) for each in STEADY],
    ],
    ids=["first without", "one lost", "a jump"],
)
def test_the_rate_is_measured_in_spite_of(pts_us: list[int | None]) -> None:
    assert facts(observe(pts_us)).fps == 25


def test_what_was_not_seen_is_unknown() -> None:
    seen = facts(observe([None]))
    assert (seen.fps, seen.gop_pictures, seen.gop_s) == (None, None, None)
    assert (seen.clock_basis, seen.clock_offset_s) == ("arrival", None)
    assert seen.pictures == 1


@pytest.mark.parametrize("offset_us", [-3_600_000_000, 5_100_000])
def test_a_clock_that_was_not_set_is_not_used(offset_us: int) -> None:
    seen = facts(observe(STEADY, offset_us=offset_us))
    assert seen.clock_basis == "arrival"
    assert seen.clock_offset_s == offset_us / 1_000_000


def test_b_frames_are_seen_by_order_or_announced() -> None:
    reordered = [0, 120_000, 40_000, 80_000]
    assert facts(observe(reordered)).has_b_frames
    announced = facts(observe(STEADY), announces_b_frames=True)
    assert announced.has_b_frames
    assert announced.passthrough_refusal == "it has B-frames"


def test_other_codecs_and_what_needs_pixels_are_decoded() -> None:
    refusal = facts(observe(STEADY), codec="hevc").passthrough_refusal
    assert refusal == "hevc is not known to be taken by the service"
    assert facts(observe(STEADY), pixels_for="a reason").passthrough_refusal == "a reason"
    assert facts(observe(STEADY)).passthrough_refusal is None


def test_when_it_is_enough() -> None:
    assert observe(STEADY, keys=(0, 12), offset_us=0).is_enough
    assert not observe(STEADY, keys=(0,), offset_us=0).is_enough
    assert not observe(STEADY, keys=(0, 12)).is_enough
    assert not observe(STEADY[: ENOUGH_PICTURES - 1], keys=(0, 12), offset_us=0).is_enough
