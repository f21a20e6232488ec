from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from pictures import decode

from overshoot_flow.errors import ConfigurationError, MediaError
from overshoot_flow.local.engines.pixels import luma_plane
from overshoot_flow.local.stamp import read
from overshoot_flow.local.testvideo import VideoSpec, generate, text_at, values_at


def stamps(frames: list[av.VideoFrame]) -> list[int | None]:
    return [read(luma_plane(frame)) for frame in frames]


@pytest.mark.parametrize("size", [(640, 360), (320, 180)])
def test_stamps_survive_200_kbit_s_and_scaling(tmp_path: Path, size: tuple[int, int]) -> None:
    spec = VideoSpec(bitrate_bps=200_000)
    facts = generate(tmp_path / "poor.mp4", spec)
    frames = [frame.reformat(*size) for frame in decode(facts.path)]
    assert facts.size_bytes * 8 < 240_000 * spec.duration_s
    assert stamps(frames) == list(range(300))


def test_stamps_survive_being_encoded_small_at_100_kbit_s(tmp_path: Path) -> None:
    spec = VideoSpec(width=640, height=360, bitrate_bps=100_000)
    facts = generate(tmp_path / "small.mp4", spec)
    assert stamps(decode(facts.path)) == list(range(300))


@pytest.mark.parametrize("codec", ["h264", "hevc", "vp9"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_every_codec_and_container(tmp_path: Path, codec: str, suffix: str) -> None:
    spec = VideoSpec(width=320, height=180, duration_s=1.5, gop=15, codec=codec)
    facts = generate(tmp_path / f"video.{suffix}", spec)
    frames = decode(facts.path)
    assert (facts.frames, facts.width, facts.height) == (45, 320, 180)
    assert stamps(frames) == list(range(45))
    assert [index for index, frame in enumerate(frames) if frame.key_frame] == [0, 15, 30]
    assert facts.size_bytes == facts.path.stat().st_size


@pytest.mark.parametrize(("b_frames", "kinds"), [(0, "IPPPPPP"), (1, "IBPBPBP"), (2, "IBBPBBP")])
def test_b_frames_are_what_was_asked(tmp_path: Path, b_frames: int, kinds: str) -> None:
    spec = VideoSpec(width=320, height=180, duration_s=1, b_frames=b_frames)
    frames = decode(generate(tmp_path / "b.mp4", spec).path)
    assert "".join("?IPB"[int(frame.pict_type)] for frame in frames[:7]) == kinds


@pytest.mark.parametrize("fps", [24, Fraction(30_000, 1001), 60])
@pytest.mark.parametrize("first_pts_s", [0.0, 3.5])
def test_times_are_exact(tmp_path: Path, fps: int | Fraction, first_pts_s: float) -> None:
    spec = VideoSpec(width=320, height=180, duration_s=1, fps=fps, first_pts_s=first_pts_s)
    frames = decode(generate(tmp_path / "times.mp4", spec).path)
    times = [(frame.pts or 0) * (frame.time_base or Fraction(0)) for frame in frames]
    expected = [Fraction(first_pts_s) + index / Fraction(fps) for index in range(len(frames))]
    assert len(frames) == round(Fraction(fps))
    assert times[0] == first_pts_s
    off = [abs(time - due) for time, due in zip(times, expected, strict=True)]
    assert max(off) <= Fraction(1, 90_000)


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_rotated_video_is_upright_once_turned(tmp_path: Path, rotation: int, suffix: str) -> None:
    spec = VideoSpec(width=320, height=180, duration_s=0.5, rotation_degrees=rotation)
    facts = generate(tmp_path / f"turned.{suffix}", spec)
    frames = decode(facts.path)
    stored = (frames[0].width, frames[0].height)
    assert stored == ((320, 180) if rotation == 180 else (180, 320))
    assert {frame.rotation % 360 for frame in frames} == {rotation}
    assert stamps(frames) == [None] * 15
    # A frame's rotation is counterclockwise, like numpy's.
    upright = [np.rot90(luma_plane(frame), frame.rotation // 90) for frame in frames]
    assert [read(luma) for luma in upright] == list(range(15))
    assert (facts.width, facts.height) == (320, 180)


def test_an_audio_track_can_be_added(tmp_path: Path) -> None:
    spec = VideoSpec(width=320, height=180, duration_s=1, audio=True)
    path = generate(tmp_path / "sound.mp4", spec).path
    with av.open(path) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert 48_000 <= samples <= 52_000
    assert stamps(decode(path)) == list(range(30))


def test_the_scene_moves_and_the_text_changes_every_second(tmp_path: Path) -> None:
    spec = VideoSpec(width=320, height=180, duration_s=2, fps=10)
    lumas = [
        luma_plane(frame).astype(int) for frame in decode(generate(tmp_path / "m.mp4", spec).path)
    ]
    scene, panel = slice(125, 180), slice(60, 120)
    moved = [np.abs(after[scene] - before[scene]).mean() for before, after in pairwise(lumas)]
    assert min(moved) > 0.1
    changes = [np.abs(after[panel] - before[panel]).mean() for before, after in pairwise(lumas)]
    assert int(np.argmax(changes)) == 9
    assert changes[9] > 5 * max(changes[:9] + changes[10:])


def test_a_video_can_have_no_text(tmp_path: Path) -> None:
    spec = VideoSpec(width=320, height=180, duration_s=0.5, text=False)
    frames = decode(generate(tmp_path / "plain.mp4", spec).path)
    assert stamps(frames) == list(range(15))
    assert all((luma_plane(frame)[60:120] > 40).all() for frame in frames)


def test_the_text_is_a_function_of_media_time() -> None:
    assert text_at(0, 30) == text_at(29, 30) == "LANE 1 COUNT 0042\nPLATE AA-223"
    assert text_at(30, 30) == text_at(25, 25) == "LANE 2 COUNT 0049\nPLATE CA-260"
    # The first frame at or after one second is the 30th, at 1.001 s.
    assert text_at(29, Fraction(30_000, 1001)) == text_at(0, 30)
    assert text_at(30, Fraction(30_000, 1001)) == text_at(30, 30)
    values = values_at(100, 10)
    assert (values.lane, values.count, values.plate) == (3, 112, "RA-593")
    assert len({text_at(second, 1) for second in range(3600)}) == 3600


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 641}, "width 641 must be even"),
        ({"width": 158}, "width 158 must be 160 to"),
        ({"height": 88}, "height 88 must be 90 to"),
        ({"fps": 0}, "fps 0 must be above 0"),
        ({"duration_s": 0.0}, "duration_s 0.0 must be 1 to"),
        ({"duration_s": float("nan")}, "duration_s nan must be a finite number"),
        ({"codec": "av1"}, "codec 'av1' must be one of h264, hevc, vp9"),
        ({"gop": 0}, "gop 0 must be at least 1"),
        ({"b_frames": -1}, "b_frames -1 must be 0 to 8"),
        ({"crf": 52}, "crf 52 must be 0 to 51"),
        ({"bitrate_bps": 1}, "bitrate_bps 1 must be None or at least"),
        ({"first_pts_s": -1.0}, "first_pts_s -1.0 must be 0 or more"),
        ({"rotation_degrees": 45}, "rotation_degrees 45 must be 0, 90, 180 or 270"),
    ],
)
def test_what_cannot_be_generated_is_refused_at_once(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        VideoSpec(**change)


def test_a_target_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    spec = VideoSpec(width=320, height=180, duration_s=0.1)
    with pytest.raises(ConfigurationError, match=r"must end in \.mp4 or \.mkv"):
        generate(tmp_path / "video.avi", spec)
    with pytest.raises(ConfigurationError, match="create it first"):
        generate(tmp_path / "missing" / "video.mp4", spec)


def test_a_target_that_is_in_the_way_is_a_media_error(tmp_path: Path) -> None:
    (tmp_path / "video.mp4").mkdir()
    with pytest.raises(MediaError, match=r"cannot write the test video video\.mp4"):
        generate(tmp_path / "video.mp4", VideoSpec(width=320, height=180, duration_s=0.1))
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]


def test_the_file_appears_complete_and_alone(tmp_path: Path) -> None:
    target = tmp_path / "video.mp4"
    target.write_bytes(b"an older file")
    generate(target, VideoSpec(width=320, height=180, duration_s=0.2))
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]
    assert len(decode(target)) == 6


def test_a_failed_run_leaves_the_older_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "video.mp4"
    target.write_bytes(b"an older file")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("overshoot_flow.local.scene.draw", interrupt)
    with pytest.raises(KeyboardInterrupt):
        generate(target, VideoSpec(width=320, height=180, duration_s=0.2))
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]
    assert target.read_bytes() == b"an older file"
