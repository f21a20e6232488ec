"""Small videos made for tests, and what decoding all of them gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream

WIDTH, HEIGHT = 128, 96
TOLERANCE_US = 1_000


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a video is made; `pts_of` maps the picture's number to ticks of `time_base`."""

    suffix: str = ".mp4"
    codec: str = "libx264"
    options: Mapping[str, str] = field(default_factory=dict)
    gop: int = 30
    fps: int = 30
    frames: int = 120
    width: int = WIDTH
    height: int = HEIGHT
    pixel_format: str = "yuv420p"
    time_base: Fraction = Fraction(1, 30)
    pts_of: Callable[[int], int] = lambda number: number


def moving_scene(number: int, width: int, height: int) -> np.ndarray:
    """A luma plane of moving texture, different for every number."""
    rows, columns = np.mgrid[0:height, 0:width]
    wave = 60 * np.sin((columns + 3 * number) / 9) + 40 * np.cos((rows - 2 * number) / 7)
    noise = np.random.default_rng(number).integers(-12, 12, (height, width))
    return np.clip(128 + wave + noise, 16, 235).astype(np.uint8)


def picture(number: int, width: int, height: int, pixel_format: str) -> av.VideoFrame:
    """The picture of that number in any pixel format."""
    luma = moving_scene(number, width, height)
    chroma = np.full(((height + 1) // 2, (width + 1) // 2), 90 + number % 64, np.uint8)
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, values in zip(frame.planes, (luma, chroma, 255 - chroma), strict=True):
        padding = plane.line_size - values.shape[1]
        plane.update(np.ascontiguousarray(np.pad(values, ((0, 0), (0, padding)))))
    return frame if pixel_format == "yuv420p" else frame.reformat(format=pixel_format)


def make(path: Path, recipe: Recipe) -> Path:
    """Encode a video."""
    with av.open(str(path), "w") as container:
        stream = cast("VideoStream", container.add_stream(recipe.codec, rate=recipe.fps))
        stream.width, stream.height = recipe.width, recipe.height
        stream.pix_fmt = recipe.pixel_format
        stream.time_base = stream.codec_context.time_base = recipe.time_base
        stream.codec_context.gop_size = recipe.gop
        stream.options = dict(recipe.options)
        for number in range(recipe.frames):
            frame = picture(number, recipe.width, recipe.height, recipe.pixel_format)
            frame.pts, frame.time_base = recipe.pts_of(number), recipe.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@dataclass(frozen=True)
class Decoded:
    """One picture of a file that was decoded completely."""

    pts_us: int
    end_us: int
    is_key_frame: bool
    planes: bytes


def decode_everything(path: Path) -> list[Decoded]:
    """Decode every picture from the first key frame on, the plain way."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    while not frames[0].key_frame:
        del frames[0]
    first = frames[0]
    assert first.pts is not None
    assert first.time_base is not None
    frames = [frame for frame in frames if frame.pts is not None and frame.pts >= first.pts]
    decoded = []
    for frame in frames:
        assert frame.pts is not None
        start = (frame.pts - first.pts) * first.time_base
        end = start + frame.duration * first.time_base
        decoded.append(
            Decoded(
                int(start * 1_000_000),
                int(end * 1_000_000),
                frame.key_frame,
                frame.to_ndarray(format="yuv420p").tobytes(),
            )
        )
    return decoded


def on_grid(pictures: list[Decoded], fps: Fraction) -> list[Decoded]:
    """Pick the picture on screen at every grid point, each picture once."""
    end_us = pictures[-1].end_us
    picked: list[Decoded] = []
    step = 0
    while step * 1_000_000 / fps <= end_us - TOLERANCE_US:
        grid_us = step * 1_000_000 / fps
        shown = [picture for picture in pictures if picture.pts_us - TOLERANCE_US < grid_us]
        if shown and (not picked or picked[-1] is not shown[-1]):
            picked.append(shown[-1])
        step += 1
    return picked


def pairs(pictures: Iterable[Decoded]) -> list[tuple[int, bytes]]:
    """What must be equal: time and pixels."""
    return [(picture.pts_us, picture.planes) for picture in pictures]
