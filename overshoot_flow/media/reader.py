"""A thread that decodes ahead of its consumer, by a bounded amount."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType
from typing import Final, Self

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.media.access_units import Picture
from overshoot_flow.media.assembly import MediaProblem
from overshoot_flow.media.decoding import SampleDecoder
from overshoot_flow.media.media_object import Media
from overshoot_flow.media.sampling import SamplingPlan
from overshoot_flow.media.unit_reading import UnitReader
from overshoot_flow.media.video_file import MediaInfo, probe

__all__ = ["FrameReader", "MediaInfo", "MediaProblem", "probe"]

MAX_QUEUED_FRAMES: Final = 32
MAX_QUEUED_BYTES: Final = 64 * 1024 * 1024
"""Five 4K frames, or twenty of 1080p."""


class FrameReader:
    """Reads the samples of one file in a thread of its own.

    Overflow policy of its queue: wait. The thread decodes until the queue holds `max_frames`
    items or `max_bytes` of pixels, then waits for `poll`; an archive never loses a frame. One
    frame always fits, however large.

    Args:
        media: The file or object.
        plan: Which pictures are samples.
        stream_key: Key of the partition, for the frames.
        source: The file as people read it, for the frames; its path if None.
        max_height: Largest height in pixels, or None.
        start_us: Deliver only samples at or after this media time.
        until_us: Deliver only samples before this media time; None for all. Not with `encoded`.
        encoded: Deliver pictures as access units where that is possible; `plan` wants all then.
        max_frames: Bound of the queue in items.
        max_bytes: Bound of the queue in bytes of pixels.

    Raises:
        MediaError: The file cannot be opened, or has no video track.
        ConfigurationError: Both `until_us` and `encoded` are given.
    """

    def __init__(
        self,
        media: Media,
        plan: SamplingPlan,
        *,
        stream_key: str,
        source: str | None = None,
        max_height: int | None = None,
        start_us: int = 0,
        until_us: int | None = None,
        encoded: bool = False,
        max_frames: int = MAX_QUEUED_FRAMES,
        max_bytes: int = MAX_QUEUED_BYTES,
    ) -> None:
        self._decoder: SampleDecoder | UnitReader
        if encoded and until_us is not None:
            raise ConfigurationError("encoded pictures are read to their end: leave until_us out")
        if encoded:
            self._decoder = UnitReader(
                media,
                stream_key=stream_key,
                source=source,
                max_height=max_height,
                start_us=start_us,
            )
        else:
            self._decoder = SampleDecoder(
                media,
                plan,
                stream_key=stream_key,
                source=source,
                max_height=max_height,
                start_us=start_us,
                until_us=until_us,
            )
        self._max_frames = max(1, max_frames)
        self._max_bytes = max_bytes
        self._queue: deque[Picture | MediaProblem] = deque()
        self._queued_bytes = 0
        self._changed = threading.Condition()
        self._is_closing = False
        self._is_done = False
        self._failure: BaseException | None = None
        self._waits = 0
        self._thread = threading.Thread(target=self._run, name=f"decode {media.name}", daemon=True)
        self._thread.start()

    def poll(self, max_frames: int) -> list[Picture | MediaProblem]:
        """Return what is ready, at most `max_frames` items, without waiting for the decoder.

        Raises:
            BaseException: What ended the thread, once everything read before is polled. Damaged
                media never does; it is a `MediaProblem`.
        """
        with self._changed:
            count = min(max(0, max_frames), len(self._queue))
            items = [self._queue.popleft() for _ in range(count)]
            if items:
                self._queued_bytes -= sum(map(_size, items))
                self._changed.notify_all()
            elif self._failure is not None and not self._queue:
                raise self._failure
            return items

    @property
    def exhausted(self) -> bool:
        """Whether everything was read and polled."""
        with self._changed:
            return self._is_done and not self._queue and self._failure is None

    @property
    def waits(self) -> int:
        """How often the full queue made the thread wait."""
        with self._changed:
            return self._waits

    def close(self) -> None:
        """Stop the thread, wait for it, and release the file. May be called again."""
        with self._changed:
            self._is_closing = True
            self._queue.clear()
            self._queued_bytes = 0
            self._changed.notify_all()
        self._decoder.stop()
        self._thread.join()
        self._decoder.close()

    def __enter__(self) -> Self:
        """Return the reader; leaving closes it."""
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def _run(self) -> None:
        try:
            for item in self._decoder:
                if not self._put(item):
                    return
        except BaseException as error:  # noqa: BLE001 - a thread has no caller: poll raises it there
            self._failure = error
        finally:
            with self._changed:
                self._is_done = True

    def _put(self, item: Picture | MediaProblem) -> bool:
        """Queue an item once there is room; False when the reader is being closed."""
        size = _size(item)
        with self._changed:
            if not self._has_room(size):
                self._waits += 1
                self._changed.wait_for(lambda: self._is_closing or self._has_room(size))
            if self._is_closing:
                return False
            self._queue.append(item)
            self._queued_bytes += size
            return True

    def _has_room(self, size: int) -> bool:
        return not self._queue or (
            len(self._queue) < self._max_frames and self._queued_bytes + size <= self._max_bytes
        )


def _size(item: Picture | MediaProblem) -> int:
    return 0 if isinstance(item, MediaProblem) else len(item.data)
