"""JPEG files of frames: the same picture, in full range, of the asked size."""

from __future__ import annotations

import io

import av
import numpy as np
import numpy.typing as npt
import pytest

from overshoot_flow.local.scene import Scene
from overshoot_flow.local.stamp import read
from overshoot_flow.media.jpeg import JpegEncoder


def scene(width: int, height: int, stamp: int = 5) -> bytes:
    planes = Scene(width=width, height=height, fps=10, text=True).frame(stamp)
    return b"".join(plane.tobytes() for plane in planes)


def decoded(content: bytes) -> av.VideoFrame:
    with av.open(io.BytesIO(content), "r") as container:
        (picture,) = container.decode(container.streams.video[0])
    return picture


def luma(picture: av.VideoFrame) -> npt.NDArray[np.uint8]:
    """As limited range, the way frames have it."""
    height = picture.height
    packed = picture.reformat(
        format="yuv420p", src_color_range="JPEG", dst_color_range="MPEG"
    ).to_ndarray()
    return packed[:height]


@pytest.mark.parametrize(("width", "height"), [(640, 360), (426, 240), (854, 480), (162, 90)])
def test_the_picture_is_the_same_whatever_its_size(width: int, height: int) -> None:
    planes = scene(width, height)
    picture = decoded(JpegEncoder(95).encode(width, height, planes))
    assert (picture.width, picture.height) == (width, height)
    shown = luma(picture)
    assert read(np.ascontiguousarray(shown)) == 5
    given = np.frombuffer(planes, np.uint8)[: width * height].reshape(height, width)
    assert np.abs(shown.astype(int) - given).mean() < 3


def test_quality_and_height_are_settings_and_sizes_may_change() -> None:
    planes = scene(1280, 720)
    sizes = [len(JpegEncoder(quality).encode(1280, 720, planes)) for quality in (1, 50, 85, 100)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[3] / 2
    encoder = JpegEncoder(85, max_height=360)
    for width, height, expected in [(1280, 720, (640, 360)), (320, 180, (320, 180))] * 2:
        picture = decoded(encoder.encode(width, height, scene(width, height, 9)))
        assert (picture.width, picture.height) == expected == encoder.size_of(width, height)
        assert read(np.ascontiguousarray(luma(picture))) == 9
