"""The user's own functions between source and `infer`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import bytewax.operators as op
from bytewax.dataflow import Stream

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.items import FrameFailed, FrameFiltered, Item
from overshoot_flow.flow.pixels import ask_for_pixels
from overshoot_flow.media.access_units import AccessUnit
from overshoot_flow.media.frames import Frame

_logger = logging.getLogger(__name__)


def map_frames(
    step_id: str, frames: Stream[Item], function: Callable[[Frame], Frame]
) -> Stream[Item]:
    """Change every frame with `function`; control items pass by.

    A frame for which `function` raises or returns anything but a frame of the same stream and
    pts becomes a dead letter with the reason `user_function`; the run goes on.

    Sources that would publish encoded video as it is decode it because of this step.

    Raises:
        ConfigurationError: While the flow runs: the source emits access units all the same.
    """
    ask_for_pixels(frames)

    def shim(item: Item) -> Item:
        if not isinstance(item, Frame):
            return _without_pixels(step_id, item)
        try:
            changed = function(item)
        except Exception as error:  # noqa: BLE001 - whatever a user function raises is data
            return _failed(step_id, item, error)
        if not isinstance(changed, Frame):
            return _failed(step_id, item, TypeError(f"it returned {type(changed).__name__}"))
        # Identity and time are the source's: a function may change the picture alone.
        return replace(
            changed,
            stream_key=item.stream_key,
            source=item.source,
            pts_us=item.pts_us,
            duration_us=item.duration_us,
            captured_at_us=item.captured_at_us,
            capture_basis=item.capture_basis,
        )

    return op.map(step_id, frames, shim)


def filter_frames(
    step_id: str, frames: Stream[Item], predicate: Callable[[Frame], bool]
) -> Stream[Item]:
    """Keep the frames for which `predicate` is true; control items pass by.

    Frames left out are recorded as a gap with the reason `filtered`; a frame for which
    `predicate` raises becomes a dead letter with the reason `user_function`.

    Sources that would publish encoded video as it is decode it because of this step.

    Raises:
        ConfigurationError: While the flow runs: the source emits access units all the same.
    """
    ask_for_pixels(frames)

    def shim(item: Item) -> Item:
        if not isinstance(item, Frame):
            return _without_pixels(step_id, item)
        try:
            kept = predicate(item)
        except Exception as error:  # noqa: BLE001 - whatever a user function raises is data
            return _failed(step_id, item, error)
        if kept:
            return item
        return FrameFiltered(
            stream_key=item.stream_key,
            source=item.source,
            pts_us=item.pts_us,
            duration_us=item.duration_us,
        )

    return op.map(step_id, frames, shim)


def _without_pixels(step_id: str, item: Item) -> Item:
    """Pass a control item on; an access unit has no pixels that could be looked at."""
    if isinstance(item, AccessUnit):
        raise ConfigurationError(
            f"step {step_id} looks at pixels, and {item.source} comes as encoded video: let its "
            "source decode, or leave the step out"
        )
    return item


def _failed(step_id: str, frame: Frame, error: Exception) -> FrameFailed:
    detail = f"{step_id}: {type(error).__name__}: {error}"
    _logger.warning(
        "a user function failed on a frame of %s: %s",
        frame.stream_key,
        detail,
        extra={"camera": frame.stream_key, "step": step_id},
    )
    return FrameFailed(
        stream_key=frame.stream_key,
        source=frame.source,
        pts_us=frame.pts_us,
        duration_us=frame.duration_us,
        detail=detail,
    )
