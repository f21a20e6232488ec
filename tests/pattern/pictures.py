"""Shared by the tests of the test pattern: decoding a file into luma planes."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from overshoot_flow.local.stamp import Luma


def decode(path: Path) -> list[av.VideoFrame]:
    with av.open(path) as container:
        return list(container.decode(video=0))


def luma_of(frame: av.VideoFrame) -> Luma:
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : frame.width]
