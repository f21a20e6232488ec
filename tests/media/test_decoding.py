"""Selective decoding gives byte for byte what decoding everything gives."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from made_videos import Recipe, decode_everything, make, on_grid, pairs

from overshoot_flow.media.decoding import MediaProblem, SampleDecoder
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.sampling import EveryFrame, FramesPerSecond, Keyframes, SamplingPlan
from overshoot_flow.media.video_file import VideoFile

OPEN_GOP = {"bf": "3", "x264-params": "open-gop=1:keyint=24:min-keyint=24:scenecut=0"}
X265 = "log-level=none:bframes=4:keyint=24"
FINE = Fraction(1, 90_000)


def variable(number: int) -> int:
    """Uneven frame durations, and a picture that stays for three seconds."""
    return number * 3000 + number % 7 * 400 + (270_000 if number > 70 else 0)


RECIPES = {
    "b_frames": Recipe(options={"bf": "3"}),
    "b_frames_gop_60": Recipe(options={"bf": "3"}, gop=60),
    "b_frames_gop_250": Recipe(options={"bf": "3"}, gop=250, frames=270),
    "no_b_frames": Recipe(options={"bf": "0"}),
    "open_gop": Recipe(options=OPEN_GOP),
    "open_gop_ts": Recipe(suffix=".ts", options=OPEN_GOP),
    "matroska": Recipe(suffix=".mkv", options={"bf": "3"}),
    "transport_stream": Recipe(suffix=".ts", options={"bf": "3"}),
    "variable_rate": Recipe(options={"bf": "3"}, time_base=FINE, pts_of=variable),
    "variable_rate_mkv": Recipe(
        suffix=".mkv", options={"bf": "3"}, time_base=FINE, pts_of=variable
    ),
    "late_first_pts": Recipe(suffix=".mkv", options={"bf": "3"}, pts_of=lambda n: n + 100),
    "intra_refresh": Recipe(options={"x264-params": "intra-refresh=1:keyint=24"}),
    "interlaced": Recipe(options={"flags": "+ildct+ilme", "x264-params": "tff=1"}),
    "mpeg4_avi": Recipe(suffix=".avi", codec="mpeg4", options={"bf": "2"}),
    "mpeg2_ts": Recipe(suffix=".ts", codec="mpeg2video", options={"bf": "2", "b": "2M"}, gop=12),
    "hevc": Recipe(codec="libx265", options={"x265-params": X265}),
    "hevc_open_gop": Recipe(
        suffix=".mkv", codec="libx265", options={"x265-params": f"{X265}:open-gop=1"}
    ),
    "vp9": Recipe(
        suffix=".webm", codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"}
    ),
    "av1": Recipe(codec="libsvtav1", frames=60, options={"preset": "10", "svtav1-params": "lp=1"}),
}
DECODED_COMPLETELY = {"interlaced"}


def read(
    path: Path, plan: SamplingPlan, start_us: int = 0, until_us: int | None = None
) -> list[Frame | MediaProblem]:
    decoder = SampleDecoder(path, plan, stream_key="key", start_us=start_us, until_us=until_us)
    try:
        return list(decoder)
    finally:
        decoder.close()


def pixels(items: list[Frame | MediaProblem]) -> list[tuple[int, bytes]]:
    assert all(isinstance(item, Frame) for item in items)
    return [(item.pts_us, bytes(item.data)) for item in items if isinstance(item, Frame)]


def clip_end_us(items: list[Frame | MediaProblem]) -> int:
    return max((i.pts_us + i.duration_us for i in items if isinstance(i, Frame)), default=0)


@pytest.mark.parametrize("name", RECIPES)
def test_every_plan_gives_what_decoding_everything_gives(name: str, tmp_path: Path) -> None:
    path = make(tmp_path / f"video{RECIPES[name].suffix}", RECIPES[name])
    everything = decode_everything(path)
    expected: list[tuple[SamplingPlan, list[tuple[int, bytes]]]] = [
        (EveryFrame(), pairs(everything)),
        (Keyframes(), pairs(picture for picture in everything if picture.is_key_frame)),
    ]
    expected += [
        (FramesPerSecond(fps), pairs(on_grid(everything, fps)))
        for fps in (Fraction(1, 3), Fraction(1, 2), Fraction(1), Fraction(7), Fraction(30))
    ]
    for plan, samples in expected:
        assert pixels(read(path, plan)) == samples, plan
        resumed = pixels(read(path, plan, start_us=1_500_000))
        assert resumed == [sample for sample in samples if sample[0] >= 1_500_000], plan
        clip = read(path, plan, start_us=700_000, until_us=1_500_000)
        assert pixels(clip) == [s for s in samples if 700_000 <= s[0] < 1_500_000], plan
        assert clip_end_us(clip) <= 1_500_000


@pytest.mark.parametrize("name", RECIPES)
def test_only_interlaced_files_are_decoded_completely(name: str, tmp_path: Path) -> None:
    file = VideoFile(make(tmp_path / f"video{RECIPES[name].suffix}", RECIPES[name]))
    assert file.selective == (name not in DECODED_COMPLETELY)
    file.close()


def test_samples_tile_media_time(tmp_path: Path) -> None:
    path = make(tmp_path / "video.mp4", RECIPES["variable_rate"])
    everything = decode_everything(path)
    frames = [item for item in read(path, FramesPerSecond(2)) if isinstance(item, Frame)]
    assert frames[0].pts_us == 0
    for frame, following in pairwise(frames):
        assert frame.pts_us + frame.duration_us == following.pts_us
    assert frames[-1].pts_us + frames[-1].duration_us == everything[-1].end_us
    resumed = read(path, FramesPerSecond(2), start_us=frames[2].pts_us)
    assert resumed == frames[2:]


def test_raw_stream_without_time_stamps_runs_at_its_frame_rate(tmp_path: Path) -> None:
    recipe = Recipe(suffix=".h264", options={"bf": "3"}, fps=25, time_base=Fraction(1, 25))
    path = make(tmp_path / "video.h264", recipe)
    with_times = make(tmp_path / "video.mp4", recipe)
    expected = pairs(on_grid(decode_everything(with_times), Fraction(5)))
    assert pixels(read(path, FramesPerSecond(5))) == expected
    assert len(read(path, EveryFrame())) == recipe.frames


def test_fewer_packets_than_pictures_reach_the_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "video.mp4", Recipe(options={"bf": "3"}, gop=30, frames=300))
    decoded: list[object] = []
    take_step = SampleDecoder._take_step

    def count(self: SampleDecoder, step: object) -> object:
        decoded.append(step)
        return take_step(self, step)  # type: ignore[arg-type] # it is one

    monkeypatch.setattr(SampleDecoder, "_take_step", count)
    assert len(read(path, Keyframes())) == len(decoded) == 10
    decoded.clear()
    assert len(read(path, FramesPerSecond(Fraction(1, 2)))) == len(decoded) == 5
    decoded.clear()
    assert len(read(path, FramesPerSecond(2))) == 20
    # Half of the samples lie in the middle of a GOP: their references, and no tail.
    assert len(decoded) < 110
    decoded.clear()
    assert len(read(path, EveryFrame(), start_us=4_000_000, until_us=4_500_000)) == 15
    # From the key frame before it, and nothing that comes after.
    assert len(decoded) <= 15 + 30


def test_the_last_sample_of_a_clip_ends_with_it_and_its_end_is_no_damage(tmp_path: Path) -> None:
    path = make(tmp_path / "video.mp4", Recipe(options={"bf": "3"}, gop=30, frames=120))
    frames = read(path, FramesPerSecond(2), start_us=500_000, until_us=2_200_000)
    assert all(isinstance(item, Frame) for item in frames)
    assert clip_end_us(frames) == 2_200_000
    # A bound that the media does not reach changes nothing.
    assert read(path, FramesPerSecond(2), until_us=90_000_000) == read(path, FramesPerSecond(2))
    assert read(path, EveryFrame(), start_us=60_000_000, until_us=61_000_000) == []
