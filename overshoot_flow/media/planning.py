"""Which packets a decoder must see so that the wanted pictures come out right. Pure."""

from __future__ import annotations

from bisect import insort
from collections import deque
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from overshoot_flow.media.sampling import CLOCK_TOLERANCE_US, SamplingPlan

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

MAX_HELD_BYTES: Final = 64 * 1024 * 1024
"""Compressed bytes that wait for a decision; beyond, they are decoded on suspicion."""

_MAX_UNDECIDED: Final = 128
"""Pictures whose successor is not known yet; codecs reorder by 16 at most."""

_by_pts = attrgetter("pts_us")


@dataclass(slots=True, eq=False, kw_only=True)
class EncodedPicture:
    """One packet of the video track with what matters about it.

    Attributes:
        pts_us: When it appears, in µs of media time.
        dts_us: Its decoding time on the same axis, or None if unknown. No later packet's pts is
            below it.
        end_us: When it disappears if nothing follows.
        is_random_access: Whether decoding can begin here.
        is_reference: Whether other pictures may need it.
        is_shown: False for what an edit list hides and what cannot be decoded.
        size: Bytes.
        packet: The packet itself; None only where nothing is decoded.
        is_wanted: Whether it is a sample; None until that is known.
    """

    pts_us: int
    dts_us: int | None
    end_us: int
    is_random_access: bool
    is_reference: bool
    is_shown: bool = True
    size: int = 0
    packet: Packet[VideoStream] | None = None
    is_wanted: bool | None = None


@dataclass(frozen=True, slots=True)
class DecodeStep:
    """Give `picture` to the decoder; `restart` means: drain and reset it first."""

    picture: EncodedPicture
    restart: bool


class DecodePlanner:
    """Turns packets in decode order into the packets worth decoding.

    Non-reference pictures that are no samples are left out. References are held back until a
    sample needs them; a new random access point makes those before it worthless, unless a sample
    is among its leading pictures (open GOP). What is decoded is thus, for every sample, each
    reference from its random access point on, so the sample is the same as if everything had been.

    Args:
        plan: Which pictures are samples.
        floor_us: Pictures before this media time are never samples.
        ceiling_us: Pictures at or after this one are none either; None for no bound.
        max_held_bytes: See `MAX_HELD_BYTES`.
    """

    def __init__(
        self,
        plan: SamplingPlan,
        *,
        floor_us: int = 0,
        ceiling_us: int | None = None,
        max_held_bytes: int = MAX_HELD_BYTES,
    ) -> None:
        self._plan = plan
        self._floor_us = max(0, floor_us)
        self._ceiling_us = ceiling_us
        self._max_held_bytes = max_held_bytes
        self._watermark_us: int | None = None  # no picture to come has a pts below
        self._decided_us = -1  # latest pts whose fate as a sample is known
        self._newest_pts_us = -1
        self._undecided: list[EncodedPicture] = []  # by pts
        self._pending: deque[EncodedPicture] = deque()  # in decode order
        self._held: list[EncodedPicture] = []  # decided, not yet known whether needed
        self._held_bytes = 0
        self._entry_at: int | None = None  # index in _held whose leading pictures may follow
        self._restart = False

    def push(self, picture: EncodedPicture) -> list[DecodeStep]:
        """Take the next packet in decode order; return what to decode now."""
        self._pending.append(picture)
        self._newest_pts_us = max(self._newest_pts_us, picture.pts_us)
        if self._watermark_us is None:
            self._watermark_us = picture.dts_us
        elif picture.dts_us is not None:
            self._watermark_us = max(self._watermark_us, picture.dts_us)
        if self._plan.key_frames_only:
            picture.is_wanted = (
                picture.is_random_access and picture.is_shown and self._is_inside(picture.pts_us)
            )
        elif not picture.is_shown or picture.pts_us <= self._decided_us:
            picture.is_wanted = False
        else:
            insort(self._undecided, picture, key=_by_pts)
        self._decide()
        return self._settle()

    def finish(self, end_us: int) -> list[DecodeStep]:
        """Say that no packet follows; `end_us` is the end of the media."""
        while self._undecided:
            following = self._undecided[1].pts_us if len(self._undecided) > 1 else end_us
            self._decide_first(following)
        steps = self._settle()
        steps += self._close_leading()
        self._drop_held()
        return steps

    def next_wanted_us(self) -> int | None:
        """Return the first moment not answered yet that asks for a picture, or None."""
        if not self._undecided:
            return None
        return self._plan.next_wanted_us(self._undecided[0].pts_us - CLOCK_TOLERANCE_US)

    @property
    def newest_pts_us(self) -> int:
        """The latest pts pushed so far in µs, -1 before the first."""
        return self._newest_pts_us

    def skip(self) -> list[DecodeStep]:
        """Prepare for packets from another random access point; return what is still to decode.

        To be called only if no moment up to `newest_pts_us` asks for a picture. The pictures that
        are undecided now may be pushed again and are then decided again.
        """
        undecided_us = self._undecided[0].pts_us if self._undecided else self._newest_pts_us + 1
        self._floor_us = max(self._floor_us, undecided_us)
        for picture in self._undecided:
            picture.is_wanted = False
        self._undecided.clear()
        steps = self._settle()
        steps += self._close_leading()
        self._drop_held()
        self._watermark_us = None
        self._newest_pts_us = -1
        self._restart = True
        return steps

    def _decide(self) -> None:
        while len(self._undecided) > 1:
            following_us = self._undecided[1].pts_us
            is_final = self._watermark_us is not None and following_us <= self._watermark_us
            if not is_final and len(self._pending) <= _MAX_UNDECIDED:
                return
            self._decide_first(following_us)

    def _decide_first(self, following_us: int) -> None:
        picture = self._undecided.pop(0)
        self._decided_us = picture.pts_us
        picture.is_wanted = self._is_inside(picture.pts_us) and self._plan.wants(
            picture.pts_us, following_us, is_key_frame=picture.is_random_access
        )

    def _is_inside(self, pts_us: int) -> bool:
        return pts_us >= self._floor_us and (self._ceiling_us is None or pts_us < self._ceiling_us)

    def _settle(self) -> list[DecodeStep]:
        steps: list[DecodeStep] = []
        while self._pending and self._pending[0].is_wanted is not None:
            picture = self._pending.popleft()
            if self._entry_at is not None and (
                picture.is_random_access or picture.pts_us > self._held[self._entry_at].pts_us
            ):
                steps += self._close_leading()
            if picture.is_random_access:
                self._entry_at = len(self._held)
                self._hold(picture)
                if self._plan.key_frames_only:
                    steps += self._close_leading()
            elif picture.is_wanted:
                self._hold(picture)
                steps += self._release()
            elif picture.is_reference:
                self._hold(picture)
                if self._held_bytes > self._max_held_bytes:
                    steps += self._overflow()
        return steps

    def _hold(self, picture: EncodedPicture) -> None:
        self._held.append(picture)
        self._held_bytes += picture.size

    def _close_leading(self) -> list[DecodeStep]:
        """No sample is among the leading pictures: what came before the entry is worthless."""
        if self._entry_at is None:
            return []
        entry = self._held[self._entry_at]
        if self._entry_at > 0:
            self._held_bytes -= sum(picture.size for picture in self._held[: self._entry_at])
            del self._held[: self._entry_at]
            self._restart = True
        self._entry_at = None
        return self._release() if entry.is_wanted else []

    def _overflow(self) -> list[DecodeStep]:
        if not self._plan.key_frames_only:
            return self._release()
        self._drop_held()
        self._restart = True
        return []

    def _release(self) -> list[DecodeStep]:
        steps = [DecodeStep(picture, restart=False) for picture in self._held]
        if self._restart and steps:
            steps[0] = DecodeStep(steps[0].picture, restart=True)
            self._restart = False
        self._held.clear()
        self._held_bytes = 0
        self._entry_at = None
        return steps

    def _drop_held(self) -> None:
        self._held.clear()
        self._held_bytes = 0
        self._entry_at = None
