"""What flows between a source and `infer` besides frames.

User functions never see these: `map_frames` and `filter_frames` pass them on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from overshoot_flow.assignment import Assignment
from overshoot_flow.media.access_units import AccessUnit
from overshoot_flow.media.frames import Frame
from overshoot_flow.results import GapReason, Piece


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """The source's drain token: finished pieces, to be emitted in the epoch of this item.

    A source emits at least one in every epoch, with pieces or without: `infer` says a heartbeat
    for each, so that the sinks have something to end the epoch with.

    `frames_emitted` counts the frames that the source has emitted before it, so that `infer`
    notices frames that an operator in between swallowed.
    """

    stream_key: str
    frames_emitted: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndOfMedia:
    """The source emits no frame of this stream any more: answer what is due, then close."""

    stream_key: str
    frames_emitted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """From here on this is asked about the stream; it comes before the stream's first frame.

    Sources that know what is asked about each of their streams emit it; every `infer` step that
    it passes obeys it instead of what the step itself was given.
    """

    stream_key: str
    assignment: Assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOver:
    """The last item of its stream: what is kept of the stream may be forgotten.

    Sources that do not end emit it; `EndOfMedia` came before, and then ticks.
    """

    stream_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFiltered:
    """The user's filter left this frame out."""

    stream_key: str
    source: str
    pts_us: int
    duration_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFailed:
    """A user function failed on this frame."""

    stream_key: str
    source: str
    pts_us: int
    duration_us: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaGap:
    """The source could not read a stretch of its media, or did not hand it on.

    `frames_lost` counts frames that the source had and gave up; they count as emitted, so that
    every one of them is settled by the gap's record.
    """

    stream_key: str
    source: str
    start_us: int
    end_us: int
    detail: str
    reason: GapReason = GapReason.DECODE
    frames_lost: int = 0


FrameLike: TypeAlias = Frame | AccessUnit | FrameFiltered | FrameFailed
"""What stands for exactly one emitted frame."""

Item: TypeAlias = FrameLike | MediaGap | Tick | EndOfMedia | StreamOver | Assigned
"""Everything that a source of this library emits."""
