"""From windows that are over to the jobs that ask about them by reference."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from overshoot_flow.inference import Inference
from overshoot_flow.protocol.picture_indices import PictureIndices
from overshoot_flow.protocol.question_size import frames_shown
from overshoot_flow.protocol.v1 import RETENTION_S
from overshoot_flow.protocol.v1_chat import MediaPart
from overshoot_flow.protocol.v1_window_parts import stream_parts
from overshoot_flow.session.outcomes import Delivery, PendingFrame
from overshoot_flow.session.window_cells import WindowCell
from overshoot_flow.session.window_job import WindowJob

_EXPIRY_MARGIN_S: Final = 5.0
"""A question that comes so shortly before its frames are forgotten may come too late."""


@dataclass(slots=True)
class WindowJobs:
    """Keeps windows that are over until their frames are located.

    Args:
        stream_id: The stream that has the frames.
        indices: Where they are.
        width: Width of the pictures.
        height: Height of the pictures.
    """

    stream_id: str
    indices: PictureIndices
    width: int
    height: int
    _over: deque[WindowCell] = field(init=False, default_factory=deque)

    def add(self, cells: Sequence[WindowCell]) -> None:
        """Take windows that are over."""
        self._over.extend(cells)

    def take_located(self, delivery: Delivery) -> Iterator[WindowJob | WindowCell]:
        """Yield the jobs of windows whose frames are located, in order.

        A window none of whose frames is surely there cannot be asked about; it comes as it is.
        """
        while self._over and self._is_located(self._over[0]):
            cell = self._over.popleft()
            chosen = self.indices.chosen([frame.pts_us for frame in cell.seen])
            yield self._job(cell, chosen, delivery) if chosen else cell

    def needed_from_us(self, open_from_us: int | None) -> int | None:
        """Return the pts of the oldest frame that is still asked for."""
        return self._over[0].pictures[0].pts_us if self._over else open_from_us

    def take_unsettled(self) -> list[PendingFrame]:
        """Give up what is not located; return the frames that it would have settled."""
        frames = [frame for cell in self._over for frame in cell.settles]
        self._over.clear()
        return frames

    def _is_located(self, cell: WindowCell) -> bool:
        return all(self.indices.is_located(frame.pts_us) for frame in cell.seen)

    def _job(self, cell: WindowCell, chosen: tuple[int, ...], delivery: Delivery) -> WindowJob:
        shown_s = min(frame.published_at_s or 0.0 for frame in cell.pictures)
        doubt = self.indices.doubt([frame.pts_us for frame in cell.seen])

        def show(inference: Inference) -> Sequence[MediaPart]:
            allowed = frames_shown(inference, self.width, self.height)
            return stream_parts(self.stream_id, chosen, inference.model_limits, allowed)

        return WindowJob(
            window=cell.window,
            seen=cell.seen,
            settles=cell.settles,
            frames_covered=cell.frames_covered,
            until_us=cell.until_us,
            show=show,
            stream_id=self.stream_id,
            expires_at_s=shown_s + RETENTION_S - _EXPIRY_MARGIN_S,
            uncertainty_us=doubt * max(frame.duration_us for frame in cell.pictures),
            delivery=delivery,
        )
