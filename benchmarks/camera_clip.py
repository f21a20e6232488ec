"""A camera's video, encoded once: one file per access unit, to be served over and over."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from sampling_scenes import HEIGHT, WIDTH, street


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """What the camera sends: H.264 without B-frames, one slice per picture."""

    width: int = 1280
    height: int = 720
    fps: int = 25
    gop: int = 50
    bitrate: int = 1_500_000
    seconds: int = 10

    @property
    def pictures(self) -> int:
        return self.fps * self.seconds


def make_clip(folder: Path, spec: ClipSpec) -> str:
    """Encode a fixed camera's view of a street; return the pattern of its files."""
    encoder = av.CodecContext.create("libx264", "w")
    if not isinstance(encoder, av.VideoCodecContext):
        msg = "libx264 is an encoder of video"
        raise TypeError(msg)
    encoder.width, encoder.height, encoder.pix_fmt = spec.width, spec.height, "yuv420p"
    encoder.framerate, encoder.time_base = Fraction(spec.fps), Fraction(1, spec.fps)
    encoder.gop_size, encoder.bit_rate = spec.gop, spec.bitrate
    encoder.options = {
        "preset": "veryfast",
        "tune": "zerolatency",
        "x264-params": "sliced-threads=0:slices=1:scenecut=0:threads=1",
    }
    scene = street(np.random.default_rng(1))
    number = 0
    for time in range(spec.pictures + 1):
        is_end = time == spec.pictures
        for packet in encoder.encode(None if is_end else _picture(scene(time), spec, time)):
            (folder / f"{number:05}.h264").write_bytes(bytes(packet))
            number += 1
    if number != spec.pictures:
        msg = f"{number} access units of {spec.pictures} pictures"
        raise RuntimeError(msg)
    return str(folder / "*.h264")


def _picture(luma: np.ndarray, spec: ClipSpec, time: int) -> av.VideoFrame:
    bright = np.clip(luma, 16, 235)
    planes = (bright, bright[::2, ::2] / 4 + 90, bright[::2, ::2] / 4 + 98)
    packed = np.concatenate([plane.astype(np.uint8).reshape(-1) for plane in planes])
    full = av.VideoFrame.from_ndarray(packed.reshape(HEIGHT * 3 // 2, WIDTH), "yuv420p")
    picture = full.reformat(width=spec.width, height=spec.height)
    picture.pts = time
    return picture
