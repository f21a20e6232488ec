"""The repaired clock, and the facts read from H.264 slices."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from av.video.frame import PictureType
from hypothesis import given
from hypothesis import strategies as st
from made_videos import Recipe, decode_everything, make

from overshoot_flow.media.bitstream import inspect_h264, nal_length_size
from overshoot_flow.media.decoding import SampleDecoder
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.sampling import EveryFrame
from overshoot_flow.media.timeline import Timeline

STEP = 3_000  # ticks of 1/90000 s at 30 fps


def timeline(*, may_break: bool = False, reordered: bool = False) -> Timeline:
    return Timeline(Fraction(1, 90_000), STEP, may_break=may_break, reordered=reordered)


@given(
    stamps=st.lists(st.one_of(st.none(), st.integers(-(2**40), 2**40)), min_size=1, max_size=30),
    may_break=st.booleans(),
)
def test_without_reordering_time_never_runs_backwards(
    stamps: list[int | None],
    may_break: bool,  # noqa: FBT001 - Hypothesis passes it by name
) -> None:
    clock = timeline(may_break=may_break)
    repaired = [clock.repair(None, dts)[0] for dts in stamps]
    known = [pts for pts in repaired if pts is not None]
    assert known == sorted(known)
    # Only stamps before the first known one stay unknown.
    assert None not in repaired[repaired.index(known[0]) :] if known else True
    if may_break:
        steps = [later - earlier for earlier, later in pairwise(known)]
        assert all(step <= 10 * 90_000 for step in steps)


def test_a_stretch_after_a_jump_keeps_its_distances() -> None:
    clock = timeline(may_break=True, reordered=True)
    # pts, dts of I P B B, then a new stretch that starts a day later, then one that starts at 0.
    group = [(2, 0), (5, 1), (3, 2), (4, 3)]
    for start in (0, 90_000 * 86_400, 0):
        for pts, dts in group:
            clock.repair(start + pts * STEP, start + dts * STEP)
    clock = timeline(may_break=True, reordered=True)
    shown = []
    for start in (0, 90_000 * 86_400, 0):
        for pts, dts in group:
            repaired = clock.repair(start + pts * STEP, start + dts * STEP)[0]
            assert repaired is not None
            shown.append(repaired // STEP)
    assert shown == [2, 5, 3, 4, 6, 9, 7, 8, 10, 13, 11, 12]


def test_a_long_pause_is_no_jump_where_clocks_do_not_break() -> None:
    clock = timeline()
    assert clock.repair(0, 0) == (0, 0)
    assert clock.repair(90_000 * 60, 90_000 * 60) == (90_000 * 60, 90_000 * 60)


def test_media_time_is_rounded_down_and_back() -> None:
    clock = timeline()
    clock.start_at(1_000)
    assert clock.media_us(1_000 + 60) == 666
    assert clock.media_us(1_000 - 60) == -667
    assert clock.ticks_at(clock.media_us(1_000)) == 1_000
    assert clock.duration_us(0) == 1


def test_two_recordings_in_one_transport_stream_follow_each_other(tmp_path: Path) -> None:
    parts = [
        make(
            tmp_path / f"{start}.ts",
            Recipe(
                suffix=".ts",
                options={"bf": "0"},
                frames=30,
                pts_of=lambda n, start=start: start + n,
            ),
        )
        for start in (3_000_000, 0, 900_000)
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    decoder = SampleDecoder(path, EveryFrame(), stream_key="key")
    frames = [item for item in decoder if isinstance(item, Frame)]
    decoder.close()
    pixels = [picture.planes for part in parts for picture in decode_everything(part)]
    assert [frame.pts_us for frame in frames] == [n * 1_000_000 // 30 for n in range(90)]
    assert [bytes(frame.data) for frame in frames] == pixels


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
def test_slices_say_what_the_encoder_did(suffix: str, tmp_path: Path) -> None:
    options = {"bf": "2", "x264-params": "b-pyramid=none:b-adapt=0:scenecut=0:sliced-threads=0"}
    path = make(tmp_path / f"video{suffix}", Recipe(suffix=suffix, options=options, frames=60))
    with av.open(str(path)) as container:
        types = {
            frame.pts: PictureType(frame.pict_type).name for frame in container.decode(video=0)
        }
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        length_size = nal_length_size(stream.codec_context.extradata)
        assert length_size == (4 if suffix == ".mp4" else 0)
        checked = 0
        for packet in container.demux(stream):
            if packet.size:
                facts = inspect_h264(memoryview(packet), length_size)
                assert facts.is_intra == (types[packet.pts] == "I")
                assert facts.is_reference == (types[packet.pts] != "B")
                checked += 1
    assert checked == 60
    assert set(types.values()) == {"I", "P", "B"}


@given(data=st.binary(max_size=64), length_size=st.sampled_from([0, 1, 2, 4]))
def test_any_bytes_are_survived(data: bytes, length_size: int) -> None:
    facts = inspect_h264(memoryview(data), length_size)
    assert facts.is_reference in {True, False}
