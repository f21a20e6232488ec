"""Puts a camera's pictures into its queue, with what outlives a connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from overshoot_flow.errors import MediaError
from overshoot_flow.media.access_units import AccessUnit
from overshoot_flow.media.annex_b import EncodedPictureData
from overshoot_flow.media.camera_clock import PacketTime
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.live_queue import LiveQueue
from overshoot_flow.results import GapReason

EditPicture: TypeAlias = Callable[[bytearray, int, int], None]
"""Changes the planes of an I420 picture in place, given its width and height; never raises."""


class LiveSink:
    """Puts pictures into a camera's queue; keeps capture time growing and notices a frozen picture.

    It outlives the connections. With a freeze detector, pictures that are the same for
    `freeze_after_us` become a gap with the reason `frozen` until a different one comes.

    Args:
        queue: Where pictures go.
        stream_key: Key of the partition.
        source: The camera as people read it, without credentials.
        freeze_after_us: How long identical pictures are believed; None to believe them for ever.
        edit: Applied to every decoded picture, or None.

    Attributes:
        queue: Where pictures go.
        pictures: Pictures that were handed to the queue.
    """

    def __init__(
        self,
        queue: LiveQueue,
        *,
        stream_key: str,
        source: str,
        freeze_after_us: int | None = None,
        edit: EditPicture | None = None,
    ) -> None:
        self.queue = queue
        self._stream_key = stream_key
        self._source = source
        self._freeze_after_us = freeze_after_us
        self._edit = edit
        self._captured_at_us = 0
        self._same: bytes | bytearray | None = None
        self._same_since_us = 0
        self._reported_us: int | None = None
        self.pictures = 0

    def take_frame(
        self, time: PacketTime, pts_us: int, end_us: int, picture: tuple[int, int, bytes]
    ) -> None:
        """Take a decoded sample that stands for `[pts_us, end_us)`.

        Raises:
            MediaError: The picture could not be edited, and must not be seen without.
        """
        width, height, packed = picture
        data = packed if self._edit is None else _edited(packed, width, height, self._edit)
        frame = Frame(
            stream_key=self._stream_key,
            source=self._source,
            pts_us=pts_us,
            duration_us=max(1, end_us - pts_us),
            captured_at_us=self._captured_us(time),
            capture_basis=time.capture_basis,
            width=width,
            height=height,
            data=data,
        )
        if self._is_frozen(pts_us, data):
            self.queue.give_up(frame, GapReason.FROZEN, "the camera repeats one picture")
            return
        self.pictures += 1
        self.queue.put(frame)

    def take_access_unit(
        self, time: PacketTime, end_us: int, picture: EncodedPictureData, size: tuple[int, int]
    ) -> None:
        """Take an H.264 picture that stands until `end_us`, as it is."""
        width, height = size
        self.pictures += 1
        self.queue.put(
            AccessUnit(
                stream_key=self._stream_key,
                source=self._source,
                pts_us=time.media_us,
                duration_us=max(1, end_us - time.media_us),
                captured_at_us=self._captured_us(time),
                capture_basis=time.capture_basis,
                codec="h264",
                width=width,
                height=height,
                is_keyframe=picture.is_keyframe,
                data=picture.data,
            )
        )

    def _captured_us(self, time: PacketTime) -> int:
        # A camera that is told the right time must not make its pictures run backwards.
        self._captured_at_us = max(time.captured_at_us, self._captured_at_us + 1)
        return self._captured_at_us

    def _is_frozen(self, pts_us: int, data: bytes | bytearray) -> bool:
        if self._freeze_after_us is None:
            return False
        if data != self._same:
            self._same, self._same_since_us, self._reported_us = data, pts_us, None
        return pts_us - self._same_since_us >= self._freeze_after_us

    def wants_reconnect(self, media_us: int) -> bool:
        """Say, once per freeze time, whether a frozen camera should be connected to anew."""
        if self._freeze_after_us is None or self._same is None:
            return False
        since_us = self._same_since_us if self._reported_us is None else self._reported_us
        if media_us - since_us < self._freeze_after_us:
            return False
        self._reported_us = media_us
        return True

    def rested(self) -> None:
        """Nobody looked for a while: what was the same before says nothing about now."""
        self._same = None


def _edited(packed: bytes, width: int, height: int, edit: EditPicture) -> bytearray:
    planes = bytearray(packed)
    try:
        edit(planes, width, height)
    except Exception as error:  # the caller's function: whatever it raises is data
        raise MediaError(
            f"the picture could not be edited: {type(error).__name__}: {error}"
        ) from error
    return planes
