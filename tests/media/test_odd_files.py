"""Rotation, sizes, pixel formats, damage, and files that are no video."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.video.stream import VideoStream
from made_videos import (
    HEIGHT,
    WIDTH,
    Recipe,
    decode_everything,
    make,
    moving_scene,
    pairs,
    picture,
)

from overshoot_flow.errors import MediaError
from overshoot_flow.media.decoding import MediaProblem, SampleDecoder, probe
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.pictures import fit
from overshoot_flow.media.sampling import EveryFrame, FramesPerSecond, Keyframes

LOSSLESS = {"qp": "0", "bf": "0"}


def read(path: Path, max_height: int | None = None, fps: float = 30) -> list[Frame | MediaProblem]:
    decoder = SampleDecoder(path, FramesPerSecond(fps), stream_key="key", max_height=max_height)
    try:
        return list(decoder)
    finally:
        decoder.close()


def frames_of(items: list[Frame | MediaProblem]) -> list[Frame]:
    return [item for item in items if isinstance(item, Frame)]


def problems_of(items: list[Frame | MediaProblem]) -> list[MediaProblem]:
    return [item for item in items if isinstance(item, MediaProblem)]


def luma(frame: Frame) -> np.ndarray:
    values = np.frombuffer(frame.data, np.uint8, frame.width * frame.height)
    return values.reshape(frame.height, frame.width)


def remux(source: Path, target: Path, degrees: float) -> Path:
    """Copy the packets and write a rotation as metadata."""
    with av.open(str(source)) as container, av.open(str(target), "w") as output:
        stream = container.streams.video[0]
        copied = output.add_stream_from_template(stream)
        copied.set_display_rotation(degrees)
        for packet in container.demux(stream):
            if packet.dts is not None:
                packet.stream = copied
                output.mux(packet)
    return target


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_turns_the_planes(degrees: int, tmp_path: Path) -> None:
    stored = make(tmp_path / "stored.mp4", Recipe(options=LOSSLESS, frames=3))
    turned = remux(stored, tmp_path / "turned.mp4", degrees)
    frames = frames_of(read(turned))
    assert len(frames) == 3
    for number, frame in enumerate(frames):
        expected = np.rot90(moving_scene(number, WIDTH, HEIGHT), degrees // 90)
        assert np.array_equal(luma(frame), expected)


def test_the_height_limit_is_that_of_the_upright_picture(tmp_path: Path) -> None:
    stored = make(tmp_path / "stored.mp4", Recipe(frames=2))
    (frame, _) = frames_of(read(remux(stored, tmp_path / "turned.mp4", 90), max_height=64))
    assert (frame.width, frame.height) == (48, 64)


def test_scaling_keeps_the_scene(tmp_path: Path) -> None:
    path = make(tmp_path / "video.mp4", Recipe(options=LOSSLESS, frames=2))
    frame = frames_of(read(path, max_height=49))[1]
    assert (frame.width, frame.height) == (64, 48)
    blocks = moving_scene(1, WIDTH, HEIGHT).reshape(48, 2, 64, 2).mean(axis=(1, 3))
    assert abs(luma(frame) - blocks).mean() < 3
    assert frames_of(read(path, max_height=200))[1].height == HEIGHT


@pytest.mark.parametrize(
    ("size", "limit", "fitted"),
    [
        ((1920, 1080), None, (1920, 1080)),
        ((1920, 1080), 720, (1280, 720)),
        ((1921, 1081), None, (1920, 1080)),
        ((854, 480), 361, (640, 360)),
        ((4, 4000), 100, (2, 100)),
    ],
)
def test_sizes_are_even(size: tuple[int, int], limit: int | None, fitted: tuple[int, int]) -> None:
    assert fit(*size, limit) == fitted


def test_odd_sizes_lose_their_last_row_and_column(tmp_path: Path) -> None:
    recipe = Recipe(codec="ffv1", suffix=".mkv", frames=2, width=127, height=95)
    frame = frames_of(read(make(tmp_path / "video.mkv", recipe)))[1]
    assert np.array_equal(luma(frame), moving_scene(1, 127, 95)[:94, :126])


@pytest.mark.parametrize("pixel_format", ["yuv422p", "yuv444p", "yuv420p10le"])
def test_other_samplings_and_depths_become_eight_bit_420(pixel_format: str, tmp_path: Path) -> None:
    recipe = Recipe(codec="ffv1", suffix=".mkv", frames=1, pixel_format=pixel_format)
    (frame,) = frames_of(read(make(tmp_path / "video.mkv", recipe)))
    assert abs(luma(frame).astype(int) - moving_scene(0, WIDTH, HEIGHT)).max() <= 1


def test_full_range_becomes_limited_range(tmp_path: Path) -> None:
    recipe = Recipe(
        codec="mjpeg", suffix=".avi", frames=1, pixel_format="yuvj420p", options={"qscale": "2"}
    )
    path = make(tmp_path / "video.avi", recipe)
    (frame,) = frames_of(read(path))
    (decoded,) = decode_everything(path)
    full = np.frombuffer(decoded.planes, np.uint8, WIDTH * HEIGHT).astype(float)
    assert abs(luma(frame).reshape(-1) - (16 + full * 219 / 255)).max() <= 2
    assert full.max() > 235


def test_the_default_track_is_read_and_cover_pictures_are_not(tmp_path: Path) -> None:
    path = tmp_path / "tracks.mp4"
    sizes = {"cover": (320, 240), "small": (64, 48), "main": (128, 96)}
    with av.open(str(path), "w") as container:
        streams = {}
        for name, (width, height) in sizes.items():
            codec = "mjpeg" if name == "cover" else "libx264"
            stream = cast("VideoStream", container.add_stream(codec, rate=30))
            stream.width, stream.height = width, height
            stream.pix_fmt = "yuvj420p" if name == "cover" else "yuv420p"
            streams[name] = stream
        streams["cover"].disposition = Disposition.attached_pic
        streams["main"].disposition = Disposition.default
        for name, stream in streams.items():
            for number in range(1 if name == "cover" else 10):
                frame = picture(number, *sizes[name], stream.pix_fmt or "")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        written = [stream.disposition for stream in container.streams.video]
    assert sorted(written) == [Disposition(0), Disposition.default, Disposition.attached_pic]
    frames = frames_of(read(path))
    assert {(frame.width, frame.height) for frame in frames} == {sizes["main"]}
    assert len(frames) == 10


def test_a_file_with_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = cast("av.AudioStream", container.add_stream("pcm_s16le", rate=8000))
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(MediaError, match="no video track"):
        probe(path)


@pytest.mark.parametrize("content", [b"", b"this is no video" * 100])
def test_what_cannot_be_opened_raises(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError, match="cannot open"):
        SampleDecoder(path, EveryFrame(), stream_key="key")
    with pytest.raises(MediaError, match="cannot open"):
        probe(tmp_path / "missing.mp4")


def test_damage_in_the_middle_is_a_problem_and_the_rest_is_delivered(tmp_path: Path) -> None:
    path = make(tmp_path / "video.mp4", Recipe(options={"bf": "0"}, gop=30, frames=150))
    whole = pairs(decode_everything(path))
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.dts is not None]
    content = bytearray(path.read_bytes())
    for number in range(60, 90):
        start = places[number] or 0
        content[start : start + 40] = b"\xff" * 40
    path.write_bytes(content)
    items = read(path)
    delivered = [(frame.pts_us, bytes(frame.data)) for frame in frames_of(items)]
    undamaged = [sample for sample in whole if not 2_000_000 <= sample[0] < 3_000_000]
    assert [sample for sample in delivered if sample in undamaged] == undamaged
    (problem,) = problems_of(items)
    assert 2_000_000 <= problem.start_us < problem.end_us <= 3_000_000
    assert problem.detail


def test_a_file_that_was_cut_off_ends_with_a_problem(tmp_path: Path) -> None:
    options = {"bf": "3", "movflags": "+faststart"}
    path = make(tmp_path / "video.mp4", Recipe(options={"bf": "3"}, frames=150))
    front = tmp_path / "front.mp4"
    with av.open(str(path)) as source, av.open(str(front), "w", options=options) as target:
        copied = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copied
                target.mux(packet)
    front.write_bytes(front.read_bytes()[: front.stat().st_size * 6 // 10])
    items = read(front, fps=2)
    assert len(frames_of(items)) >= 4
    assert isinstance(items[-1], MediaProblem)
    assert 2_000_000 < items[-1].start_us < items[-1].end_us == 5_000_000


def test_probe_says_what_the_file_says(tmp_path: Path) -> None:
    info = probe(make(tmp_path / "video.mp4", Recipe(frames=90)))
    assert (info.width, info.height, info.codec) == (WIDTH, HEIGHT, "h264")
    assert (info.duration_us, info.fps, info.frames_estimate) == (3_000_000, 30.0, 90)
    webm = Recipe(suffix=".webm", codec="libvpx-vp9", frames=30, options={"cpu-used": "8"})
    info = probe(make(tmp_path / "video.webm", webm))
    assert info.codec == "vp9"
    assert info.duration_us == pytest.approx(1_000_000, abs=40_000)
    assert info.frames_estimate == pytest.approx(30, abs=1)


def test_names_that_look_like_protocols_are_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "video.mp4", Recipe(frames=2)).rename(tmp_path / "cam:1 [a].mp4")
    decoder = SampleDecoder(Path("cam:1 [a].mp4"), Keyframes(), stream_key="key")
    assert len(list(decoder)) == 1
    decoder.close()
