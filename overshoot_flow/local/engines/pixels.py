"""The `pixels` engine: answers with measured facts of the frames that really arrived."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt

from overshoot_flow.local.engines.base import EngineAnswer, Question, SeenFrame
from overshoot_flow.local.engines.fill import Findings, fill
from overshoot_flow.local.stamp import Luma, read

# Brightness and motion are measured on a grid of points, so that frames of different sizes compare.
_GRID_ROWS: Final = (np.arange(90) + 0.5) / 90
_GRID_COLUMNS: Final = (np.arange(160) + 0.5) / 160
# Mean difference of luma that compression alone stays below.
_MOTION_SEEN: Final = 1.0


def luma_plane(image: av.VideoFrame) -> Luma:
    """Return the luma plane of a `yuv420p` picture, height x width, as a view without padding."""
    plane = image.planes[0]
    samples: Luma = np.frombuffer(memoryview(plane), dtype=np.uint8)
    return samples.reshape(plane.height, plane.line_size)[:, : plane.width]


def measure(frames: Sequence[SeenFrame]) -> dict[str, Any]:
    """Return the facts of a window, all JSON-serialisable.

    The facts are `stamps` (of every readable frame, oldest first), `first_stamp` and `last_stamp`
    (None without any), `frame_count`, `unreadable` (frames without a readable stamp), `width` and
    `height` of the newest frame, `mean_luma` (0 to 255, over all frames), `motion` (mean absolute
    difference of luma between the oldest and the newest frame) and `description`, a sentence.
    """
    lumas = [luma_plane(frame.image) for frame in frames]
    read_stamps = [read(luma) for luma in lumas]
    stamps = [stamp for stamp in read_stamps if stamp is not None]
    grids = [_grid(luma) for luma in lumas]
    mean_luma = round(float(np.mean([grid.mean() for grid in grids])), 2)
    motion = round(float(np.abs(grids[-1] - grids[0]).mean()), 2)
    height, width = lumas[-1].shape
    facts: dict[str, Any] = {
        "stamps": stamps,
        "first_stamp": stamps[0] if stamps else None,
        "last_stamp": stamps[-1] if stamps else None,
        "frame_count": len(frames),
        "unreadable": len(frames) - len(stamps),
        "width": width,
        "height": height,
        "mean_luma": mean_luma,
        "motion": motion,
    }
    return {**facts, "description": _describe(facts)}


class PixelsEngine:
    """Answers with `measure`: as JSON text, or as a document of the asked schema.

    It keeps no state, so any number of threads may ask at once.
    """

    @property
    def name(self) -> str:
        """Return `"pixels"`."""
        return "pixels"

    def answer(self, frames: Sequence[SeenFrame], question: Question) -> EngineAnswer:
        """Measure the window; properties of the schema are filled from the facts by name."""
        facts = measure(frames)
        if question.output_schema is None:
            return EngineAnswer(json.dumps(facts), facts=facts)
        findings = Findings(
            text=facts["description"],
            seen=facts["motion"] > _MOTION_SEEN,
            at=datetime.fromtimestamp(frames[-1].arrived_at_s, UTC),
            named=facts.get,
        )
        return EngineAnswer(json.dumps(fill(question.output_schema, findings)), facts=facts)


def _grid(luma: Luma) -> npt.NDArray[np.float32]:
    height, width = luma.shape
    rows = (_GRID_ROWS * height).astype(np.intp)
    columns = (_GRID_COLUMNS * width).astype(np.intp)
    return luma[np.ix_(rows, columns)].astype(np.float32)


def _describe(facts: dict[str, Any]) -> str:
    frames = f"{facts['frame_count']} frames of {facts['width']}x{facts['height']}"
    stamps = (
        f"stamped {facts['first_stamp']} to {facts['last_stamp']}"
        if facts["stamps"]
        else "without a readable stamp"
    )
    scene = "moving" if facts["motion"] > _MOTION_SEEN else "still"
    return f"{frames}, {stamps}, {scene}, mean luma {facts['mean_luma']}."
