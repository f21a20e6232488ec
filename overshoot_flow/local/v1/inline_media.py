"""Pictures and videos that travel in a request as `data:` URLs."""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Iterator
from typing import Final

import av
import av.error
import numpy as np

from overshoot_flow.errors import MediaError
from overshoot_flow.local.engines.base import SeenFrame
from overshoot_flow.local.v1.errors import upstream_refused
from overshoot_flow.media.pictures import PictureConverter

_HEAD: Final = re.compile(r"data:((?:image|video)/[a-zA-Z0-9.+-]{1,40});base64,")


def decode_data_url(url: str, kind: str, max_frames: int, now_s: float) -> list[SeenFrame]:
    """Return every picture in `url`, upright and in order; at least one.

    Args:
        url: The `data:` URL.
        kind: `image` or `video`.
        max_frames: More pictures are refused.
        now_s: What counts as their arrival.

    Raises:
        V1Error: The URL cannot be read, or has too many pictures.
    """
    head = _HEAD.match(url)
    if head is None or not head.group(1).startswith(f"{kind}/"):
        raise upstream_refused(f"the data: URL is no {kind} in base64")
    try:
        content = base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise upstream_refused("the data: URL is not base64") from None
    frames: list[SeenFrame] = []
    try:
        for picture in _pictures(content):
            frames.append(SeenFrame(picture, now_s))
            if len(frames) > max_frames:
                raise upstream_refused(f"at most {max_frames} frames in one request")
    except (av.error.FFmpegError, MediaError) as error:
        raise upstream_refused(f"the {kind} cannot be decoded: {type(error).__name__}") from None
    if not frames:
        raise upstream_refused(f"the {kind} has no pictures")
    return frames


def _pictures(content: bytes) -> Iterator[av.VideoFrame]:
    converter = PictureConverter(None)
    with av.open(io.BytesIO(content), "r") as container:
        if not container.streams.video:
            return
        for frame in container.decode(container.streams.video[0]):
            width, height, planes = converter.convert(frame)
            packed = np.frombuffer(planes, np.uint8).reshape(height * 3 // 2, width)
            yield av.VideoFrame.from_ndarray(packed, format="yuv420p")
