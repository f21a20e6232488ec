"""Pictures as they are encoded: the same ones, at the same times, as when all is decoded."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from overshoot_flow.local.testvideo import VideoSpec, generate
from overshoot_flow.media.access_units import AccessUnit, Picture
from overshoot_flow.media.assembly import MediaProblem
from overshoot_flow.media.decoding import SampleDecoder
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.gop_buffer import GopBuffer
from overshoot_flow.media.muxing import mp4_of
from overshoot_flow.media.pictures import PictureConverter
from overshoot_flow.media.sampling import EveryFrame
from overshoot_flow.media.unit_reading import UnitReader

GOP, FRAMES = 8, 30


def made(folder: Path, suffix: str = ".mp4", **spec: Any) -> Path:
    usual: dict[str, Any] = {
        "width": 192, "height": 108, "fps": Fraction(30_000, 1_001), "duration_s": 1, "gop": GOP,
        "b_frames": 0,
    }  # fmt: skip
    return generate(folder / f"made{suffix}", VideoSpec(**(usual | spec))).path


def read(path: Path, **settings: Any) -> list[Picture | MediaProblem]:
    reader = UnitReader(path, stream_key="k", **settings)
    try:
        return list(reader)
    finally:
        reader.close()


def decoded(path: Path, **settings: Any) -> list[Frame | MediaProblem]:
    decoder = SampleDecoder(path, EveryFrame(), stream_key="k", **settings)
    try:
        return list(decoder)
    finally:
        decoder.close()


def times(items: list[Any]) -> list[tuple[Any, ...]]:
    return [
        (item.start_us, item.end_us, item.detail)
        if isinstance(item, MediaProblem)
        else (item.pts_us, item.duration_us)
        for item in items
    ]


def units_of(items: list[Picture | MediaProblem]) -> list[AccessUnit]:
    return [item for item in items if isinstance(item, AccessUnit)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_units_stand_where_frames_would(suffix: str, tmp_path: Path) -> None:
    path = made(tmp_path, suffix, first_pts_s=0.3)
    items = read(path)
    assert len(units_of(items)) == len(items) == FRAMES
    assert times(items) == times(decoded(path))
    assert [unit.is_keyframe for unit in units_of(items)] == [n % GOP == 0 for n in range(FRAMES)]
    assert {(unit.width, unit.height) for unit in units_of(items)} == {(192, 108)}


@pytest.mark.parametrize("first", [0, 1, 7, 8, 9, 24, 27, 29, 30])
def test_what_precedes_the_first_key_frame_is_decoded(first: int, tmp_path: Path) -> None:
    path = made(tmp_path)
    start_us = first * 1_001_000 // 30 + 1 if first else 0
    items = read(path, start_us=start_us)
    assert times(items) == times(decoded(path, start_us=start_us))
    begin = first + 1 if first else 0
    assert [isinstance(item, AccessUnit) for item in items] == [
        n >= -(-begin // GOP) * GOP for n in range(begin, FRAMES)
    ]


@pytest.mark.parametrize(
    ("spec", "settings"),
    [
        ({"b_frames": 2}, {}),
        ({"codec": "hevc"}, {}),
        ({"rotation_degrees": 90, "width": 160, "height": 192}, {}),
        ({}, {"max_height": 60}),
    ],
)
def test_what_cannot_be_passed_on_is_decoded(
    spec: dict[str, Any], settings: dict[str, Any], tmp_path: Path
) -> None:
    path = made(tmp_path, **spec)
    assert read(path, **settings) == decoded(path, **settings)


def test_a_file_that_is_cut_is_decoded_from_there_on(tmp_path: Path) -> None:
    path = made(tmp_path, ".mkv", duration_s=4)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    items = read(path)
    assert len(units_of(items)) > FRAMES
    assert times(items) == times(decoded(path))


def planes_of(frame: Frame | MediaProblem) -> bytes:
    assert isinstance(frame, Frame)
    return bytes(frame.data)


def test_pictures_are_decoded_once_and_the_same_whatever_is_asked_for(tmp_path: Path) -> None:
    path = made(tmp_path)
    units = units_of(read(path))
    frames = [planes_of(frame) for frame in decoded(path)]
    at = [unit.pts_us for unit in units]
    buffer = GopBuffer()
    for unit in units:
        buffer.push(unit)
    seen = {}
    # In the middle of a GOP; on from there; within another GOP; over the next key frame.
    for first, last in [(2, 4), (3, 6), (18, 19), (20, 26)]:
        found = [
            (at.index(unit.pts_us), planes)
            for unit, (_, _, planes) in buffer.pictures(at[first], at[last])
        ]
        assert not seen.keys() & dict(found)
        seen.update(found)
        assert set(range(first, last + 1)) <= seen.keys()
    assert all(planes == frames[number] for number, planes in seen.items())
    assert buffer.undecodable == 0


def test_only_what_may_be_wanted_is_held(tmp_path: Path) -> None:
    units = units_of(read(made(tmp_path)))
    at = [unit.pts_us for unit in units]
    buffer = GopBuffer(max_bytes=sum(len(unit.data) for unit in units[:20]) - 1)
    held = []
    for unit in units[:20]:
        buffer.push(unit)
        buffer.forget_before(unit.pts_us - 100_000)
        held.append(len(buffer.between(0, at[-1])))
    # From the key frame before what is three frames back.
    assert max(held) == GOP + 3
    assert not buffer.is_full
    assert len(list(buffer.pictures(at[17], at[18]))) == 2
    buffer.forget_before(at[18])
    assert buffer.between(0, at[-1]) == units[18:20]
    buffer.forget_decoded()
    assert buffer.between(0, at[-1]) == units[19:20]
    assert [unit for unit, _ in buffer.pictures(at[19], at[19])] == [units[19]]
    full = GopBuffer(max_bytes=1)
    full.push(units[0])
    assert full.is_full


def test_after_a_hole_nothing_is_shown_until_the_next_key_frame(tmp_path: Path) -> None:
    units = units_of(read(made(tmp_path)))
    buffer = GopBuffer()
    for unit in (*units[:3], *units[4:10]):
        buffer.push(unit)
    assert buffer.undecodable == GOP - 4
    assert buffer.between(0, units[-1].pts_us) == [*units[:3], *units[GOP:10]]


def test_a_damaged_unit_is_counted(tmp_path: Path) -> None:
    units = units_of(read(made(tmp_path)))
    buffer = GopBuffer()
    buffer.push(units[0])
    head, tail = units[1].data[:6], b"\xff" * 40
    buffer.push(
        AccessUnit(
            stream_key="k", source="s", pts_us=units[1].pts_us, duration_us=1, codec="h264",
            width=192, height=108, is_keyframe=False, data=head[:4] + b"\x00" + tail,
        )
    )  # fmt: skip
    found = [unit for unit, _ in buffer.pictures(0, units[1].pts_us)]
    assert found == [units[0]]
    assert buffer.undecodable == 1


def test_a_video_without_encoding_anew_shows_the_same_pictures_at_the_same_times(
    tmp_path: Path,
) -> None:
    path = made(tmp_path)
    units = units_of(read(path))[GOP : 2 * GOP + 3]
    converter = PictureConverter(None)
    with av.open(io.BytesIO(mp4_of(units)), "r") as container:
        track = container.streams.video[0]
        assert (track.width, track.height, track.frames) == (192, 108, len(units))
        shown = [
            (round(frame.pts * frame.time_base * 1_000_000), converter.convert(frame)[2])
            for frame in container.decode(track)
            if frame.pts is not None and frame.time_base is not None
        ]
        assert container.duration is not None
        assert abs(container.duration - sum(unit.duration_us for unit in units)) <= 1
    frames = [planes_of(frame) for frame in decoded(path)][GOP : 2 * GOP + 3]
    assert shown == [
        (unit.pts_us - units[0].pts_us, planes) for unit, planes in zip(units, frames, strict=True)
    ]
