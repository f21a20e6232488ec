"""Readers of clips, for `ReaderPartition`."""

from __future__ import annotations

from collections.abc import Sequence

from overshoot_flow.flow.items import MediaGap
from overshoot_flow.media.access_units import Picture
from overshoot_flow.media.assembly import MediaProblem
from overshoot_flow.media.reader import FrameReader


class ClipReader:
    """Reads a clip, and says so when there is no picture in it.

    Args:
        reader: Reads the clip; closed with this one.
        nothing: What is said instead of the pictures when there are none; None where some have
            been read before.
    """

    def __init__(self, reader: FrameReader, nothing: MediaGap | None) -> None:
        self._reader = reader
        self._nothing = nothing

    def poll(self, max_frames: int) -> Sequence[Picture | MediaProblem | MediaGap]:
        """Return what is ready, at most `max_frames` items, without waiting."""
        items = self._reader.poll(max_frames)
        if items:
            self._nothing = None
        elif self._nothing is not None and self._reader.exhausted:
            gap, self._nothing = self._nothing, None
            return [gap]
        return items

    @property
    def exhausted(self) -> bool:
        """Whether everything was read and polled."""
        return self._nothing is None and self._reader.exhausted

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()


class NoVideo:
    """Stands for the reader of what is no video.

    Args:
        gap: What is said about it.
    """

    def __init__(self, gap: MediaGap) -> None:
        self._gaps = [gap]

    def poll(self, max_frames: int) -> Sequence[MediaGap]:  # noqa: ARG002 - the protocol's signature
        """Return the gap once."""
        gaps, self._gaps = self._gaps, []
        return gaps

    @property
    def exhausted(self) -> bool:
        """Whether it was said."""
        return not self._gaps

    def close(self) -> None:
        """Do nothing."""
