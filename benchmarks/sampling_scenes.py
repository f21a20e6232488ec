"""The videos that `sampling.py` measures on: 1080p H.264 by x264 with B-frames, 30 fps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream

WIDTH, HEIGHT, FPS = 1920, 1080, 30
_MARGIN_X, _MARGIN_Y = 800, 240

Luma = np.ndarray
Scene = Callable[[int], Luma]


@dataclass(frozen=True)
class VideoCase:
    """One file: what it shows, and how it is encoded."""

    name: str
    scene: Callable[[np.random.Generator], Scene]
    gop: int
    crf: int


def _texture(rng: np.random.Generator) -> Luma:
    """Detail of all sizes, larger than the picture so that it can move."""
    height, width = HEIGHT + _MARGIN_Y, WIDTH + _MARGIN_X
    texture = np.full((height, width), 110, np.float32)
    for cell, contrast in ((64, 40), (32, 22), (16, 12), (8, 7), (4, 4)):
        values = rng.normal(128, 2 * contrast, (height // cell + 2, width // cell + 2))
        coarse = av.VideoFrame.from_ndarray(np.clip(values, 0, 255).astype(np.uint8), "gray")
        smooth = coarse.reformat(width=width, height=height, interpolation="BICUBIC")
        texture += (smooth.to_ndarray().astype(np.float32) - 128) / 2
    return texture


def _grain(rng: np.random.Generator, deviation: float) -> Callable[[], Luma]:
    """Sensor noise: one field of it, shown at a new random offset in every picture."""
    field = rng.normal(0, deviation, (HEIGHT + 64, WIDTH + 64)).astype(np.float32)

    def grain() -> Luma:
        row, column = rng.integers(0, 64, 2)
        return field[row : row + HEIGHT, column : column + WIDTH]

    return grain


def water(rng: np.random.Generator) -> Scene:
    """Everything moves: three layers over each other in different directions, and ripples.

    Prediction from other pictures helps little, as with water, foliage, rain or a crowd.
    """
    layers = [
        (_texture(rng), phase, across, along)
        for phase, across, along in ((120, 90, 47), (100, 61, 35), (90, 43, 71))
    ]
    grain = _grain(rng, 1)

    def show(number: int) -> Luma:
        total = grain() * 3
        for texture, phase, across, along in layers:
            row = int(phase + 60 * np.sin(number / along))
            column = int(400 + 300 * np.sin(number / across + phase))
            total = total + texture[row : row + HEIGHT, column : column + WIDTH]
        cells = rng.normal(0, 12, (HEIGHT // 8 + 1, WIDTH // 8 + 1)).astype(np.float32)
        ripple = cells.repeat(8, 0).repeat(8, 1)[:HEIGHT, :WIDTH]
        ripple = (ripple + np.roll(ripple, 4, 0)) / 2
        return total / 3 + (ripple + np.roll(ripple, 4, 1)) / 2

    return show


def street(rng: np.random.Generator) -> Scene:
    """A fixed camera: a still background, twenty things that pass, sensor noise.

    Almost everything is predicted, so key frames are by far the dearest pictures.
    """
    background = _texture(rng)[:HEIGHT, :WIDTH]
    things = [
        (_texture(rng)[:160, :240] * 0.8 + 30, rng.uniform((0, 0, -5, -12), (900, 1600, 5, 12)))
        for _ in range(20)
    ]
    grain = _grain(rng, 2)

    def show(number: int) -> Luma:
        picture = background + grain()
        for texture, (row, column, rows, columns) in things:
            top = int(abs((row + rows * number) % (2 * (HEIGHT - 160)) - (HEIGHT - 160)))
            left = int(abs((column + columns * number) % (2 * (WIDTH - 240)) - (WIDTH - 240)))
            picture[top : top + 160, left : left + 240] = texture
        return picture

    return show


CASES = (
    VideoCase("water_gop60", water, 60, 28),
    VideoCase("water_gop250", water, 250, 28),
    VideoCase("street_gop60", street, 60, 23),
)


def encode(case: VideoCase, folder: Path, seconds: int) -> Path:
    """Make the file of one case: preset medium, three B-frames with x264's default pyramid."""
    path = folder / f"{case.name}.mp4"
    scene = case.scene(np.random.default_rng(1))
    with av.open(str(path), "w") as container:
        stream = cast("VideoStream", container.add_stream("libx264", rate=FPS))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = case.gop
        stream.options = {
            "preset": "medium",
            "crf": str(case.crf),
            "bf": "3",
            "sc_threshold": "0",
        }
        for number in range(seconds * FPS):
            luma = np.clip(scene(number), 16, 235)
            planes = (luma, luma[::2, ::2] / 4 + 90, luma[::2, ::2] / 4 + 98)
            frame = av.VideoFrame.from_ndarray(
                np.concatenate([plane.astype(np.uint8).reshape(-1) for plane in planes]).reshape(
                    HEIGHT * 3 // 2, WIDTH
                ),
                "yuv420p",
            )
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
