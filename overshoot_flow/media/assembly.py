"""From decoded samples to frames that tile media time."""

from __future__ import annotations

from dataclasses import dataclass

from overshoot_flow.media.frames import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaProblem:
    """A stretch of media that could not be decoded.

    Attributes:
        start_us: Its start in µs of media time.
        end_us: Its end; equal to the start if unknown.
        detail: What the decoder or the demuxer said, for people.
    """

    start_us: int
    end_us: int
    detail: str


@dataclass(frozen=True, slots=True)
class _Sample:
    pts_us: int
    end_us: int
    width: int
    height: int
    data: bytes


class FrameAssembler:
    """Holds each sample until the next one says how long it lasts; merges adjacent problems.

    Args:
        stream_key: Key of the partition, for the frames.
        source: The file as people read it, for the frames.
    """

    def __init__(self, stream_key: str, source: str) -> None:
        self._stream_key = stream_key
        self._source = source
        self._held: _Sample | MediaProblem | None = None

    def sample(
        self, pts_us: int, end_us: int, picture: tuple[int, int, bytes]
    ) -> list[Frame | MediaProblem]:
        """Take the next sample; `end_us` is where its picture ends if nothing follows."""
        finished = self._take(pts_us)
        self._held = _Sample(pts_us, end_us, *picture)
        return finished

    def problem(self, start_us: int, end_us: int, detail: str) -> list[Frame | MediaProblem]:
        """Take a problem that begins at or after everything taken before."""
        held = self._held
        if isinstance(held, MediaProblem):
            self._held = MediaProblem(
                start_us=held.start_us, end_us=max(held.end_us, end_us), detail=held.detail
            )
            return []
        start_us = start_us if held is None else max(start_us, held.pts_us)
        finished = self._take(start_us)
        self._held = MediaProblem(start_us=start_us, end_us=max(start_us, end_us), detail=detail)
        return finished

    def finish(self, end_us: int) -> list[Frame | MediaProblem]:
        """Return what is held; `end_us` is the end of the media."""
        return self._take(end_us)

    def _take(self, next_us: int) -> list[Frame | MediaProblem]:
        held, self._held = self._held, None
        if held is None:
            return []
        if isinstance(held, MediaProblem):
            return [held]
        end_us = next_us if next_us > held.pts_us else held.end_us
        return [
            Frame(
                stream_key=self._stream_key,
                source=self._source,
                pts_us=held.pts_us,
                duration_us=max(1, end_us - held.pts_us),
                width=held.width,
                height=held.height,
                data=held.data,
            )
        ]
