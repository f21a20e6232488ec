"""From a window's frames in a live stream to the media parts of a question. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from overshoot_flow.model_limits import ModelLimits
from overshoot_flow.protocol.v1_chat import ImagePart, MediaPart, VideoPart
from overshoot_flow.protocol.v1_uri import FrameIndex, FrameReference, SegmentReference
from overshoot_flow.protocol.windows import evenly

ALL_FRAMES_FPS: Final = 240.0
"""Asked for where the service shall leave no frame out; its own default is one per second."""


def stream_parts(
    stream_id: str, frame_indices: Sequence[int], limits: ModelLimits, frames_allowed: int
) -> tuple[MediaPart, ...]:
    """Return the parts that show a model exactly these frames, or as many as it can take.

    One frame is an image, and so is each of several for a model that takes no video. A segment
    shows a run of consecutive frames. Where frames between must be left out, several images are
    exact; a segment with a frame rate would leave the choice to the service.

    Args:
        stream_id: The stream.
        frame_indices: Lifetime indices, ascending, at least one.
        limits: What the model takes.
        frames_allowed: How many frames fit into one request.
    """
    shown = evenly(frame_indices, frames_allowed)
    first, last = shown[0], shown[-1]
    is_run = last - first + 1 == len(shown)
    if is_run and limits.asks_as_video(len(shown)):
        segment = SegmentReference(
            stream_id=stream_id,
            start=FrameIndex(first),
            end=FrameIndex(last + 1),
            max_fps=ALL_FRAMES_FPS,
        )
        return (VideoPart(segment),)
    return tuple(
        ImagePart(FrameReference(stream_id=stream_id, at=FrameIndex(index))) for index in shown
    )
