"""Where a session's frames come from: those to be published again first, then the inbox."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from overshoot_flow.assignment import Assignment
from overshoot_flow.media.access_units import needs_predecessor
from overshoot_flow.results import GapReason
from overshoot_flow.session.inbox import End, Inbox, NotPublished
from overshoot_flow.session.ledger import Account
from overshoot_flow.session.outcomes import OutcomeFactory, PendingFrame

_JOINED_IN_MID_STREAM: Final = "a receiver can begin with a key frame only"

REPLAY_BYTES: Final = 128 * 1024 * 1024
"""Pixels of unanswered frames that are kept for publishing them again on a new stream. Beyond it
the oldest ones' pixels are let go (counted): on a lost stream they become a gap record."""

FRAMES_PER_RECORD: Final = 1000
"""So many lost neighbours make a record at the latest, to bound the memory."""

_PASSED_OVER_TOGETHER_S: Final = 1.0
"""Frames that are passed over make one record until none has come for this long."""


@dataclass(slots=True)
class Feed:
    """Frames for the publisher, in order; what is not published is recorded on the way.

    Args:
        inbox: Items from the engine.
        account: The stream's account: frames are released there, pieces are put there.
        outcomes: Makes the records.

    Attributes:
        pixels_let_go: Frames whose pixels were let go although they were not answered yet.
        ended: Whether the end of media has come.
        assignment: What is to be asked from here on; None after `take_assignment`.
    """

    inbox: Inbox
    account: Account
    outcomes: OutcomeFactory
    replay_bytes: int = REPLAY_BYTES
    pixels_let_go: int = 0
    ended: bool = False
    assignment: Assignment | None = None
    _interrupted: asyncio.Event = field(default_factory=asyncio.Event)
    _ready: deque[PendingFrame] = field(default_factory=deque)
    _kept: deque[PendingFrame] = field(default_factory=deque)
    _kept_bytes: int = 0
    _filtered: NotPublished | None = None
    _undecodable: list[PendingFrame] = field(default_factory=list)

    async def next_frame(self) -> PendingFrame | None:
        """Wait for the next frame to publish; None at the end of media, or when interrupted.

        It stays the next one until `take_next`, so that nothing is lost when publishing fails.
        A new assignment interrupts too, and comes before the frames that it is for.
        """
        while not self._ready and not self.ended and not self._is_interrupted:
            item = await self.inbox.get(unless=self._interrupted)
            if isinstance(item, End):
                self.ended = True
            elif isinstance(item, Assignment):
                self.assignment = item
            elif isinstance(item, NotPublished):
                self._not_published(item)
            elif item is not None:
                self._ready.append(PendingFrame.of(item))
        self._flush_filtered()
        if not self._ready:
            self._flush_undecodable()
        return self._ready[0] if self._ready and not self._is_interrupted else None

    @property
    def _is_interrupted(self) -> bool:
        return self.assignment is not None or self._interrupted.is_set()

    def interrupt(self) -> None:
        """Let `next_frame` return None until `resume`; to be called in the session's loop."""
        self._interrupted.set()
        self.inbox.wake()

    def resume(self) -> None:
        """Give out frames again."""
        self._interrupted.clear()

    def take_assignment(self) -> Assignment | None:
        """Take the newest assignment that has come, if there is one."""
        taken, self.assignment = self.assignment, None
        return taken

    async def pass_over(self, until: Awaitable[object], reason: GapReason, detail: str) -> None:
        """Record frames as lost until something is done, the media ends, or an interruption."""
        waiting = asyncio.ensure_future(until)
        lost: list[PendingFrame] = []
        try:
            while not waiting.done():
                getting = asyncio.ensure_future(self.next_frame())
                await asyncio.wait(
                    {waiting, getting},
                    timeout=_PASSED_OVER_TOGETHER_S if lost else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                pending = await _result_or_none(getting)
                if pending is not None:
                    self.take_next()
                    pending.frame = None
                    lost.append(pending)
                elif self.ended or self._is_interrupted:
                    break
                if lost and (pending is None or len(lost) >= FRAMES_PER_RECORD):
                    self.account.put(self.outcomes.lost(lost, reason, detail))
                    lost = []
        finally:
            if lost:
                self.account.put(self.outcomes.lost(lost, reason, detail))
            waiting.cancel()
        if waiting.done() and not waiting.cancelled():
            waiting.result()

    async def first_frame(self) -> PendingFrame | None:
        """Wait for a frame that a receiver can begin with; those before it are recorded."""
        while (pending := await self.next_frame()) is not None:
            if pending.frame is None or not needs_predecessor(pending.frame):
                break
            self.skip_undecodable()
        return pending

    def skip_undecodable(self) -> None:
        """The next frame depends on one that the receiver does not have: record it as lost.

        Neighbours make one record, which is written when a frame is published again.
        """
        pending = self._ready[0]
        self.take_next()
        pending.frame = None
        self._undecodable.append(pending)
        if len(self._undecodable) >= FRAMES_PER_RECORD:
            self._flush_undecodable()

    def _flush_undecodable(self) -> None:
        lost, self._undecodable = self._undecodable, []
        if lost:
            self.account.put(
                self.outcomes.lost(lost, GapReason.NO_KEY_FRAME, _JOINED_IN_MID_STREAM)
            )

    def take_next(self) -> None:
        """The frame that `next_frame` gave is published, or given up."""
        pending = self._ready.popleft()
        if not pending.released:
            pending.released = True
            self.account.release(self.outcomes.step_id)

    def _not_published(self, item: NotPublished) -> None:
        self.account.release(self.outcomes.step_id, item.frames)
        if item.reason is not GapReason.FILTERED or item.failure:
            self.account.put(self.outcomes.not_published(item))
        elif self._filtered is None:
            self._filtered = item
        else:
            self._filtered = replace(
                self._filtered,
                end_us=max(self._filtered.end_us, item.end_us),
                frames=self._filtered.frames + item.frames,
            )

    def _flush_filtered(self) -> None:
        """Neighbouring frames that the filter left out make one record."""
        if self._filtered is not None:
            self.account.put(self.outcomes.not_published(self._filtered))
            self._filtered = None

    def keep_pixels(self, pending: PendingFrame) -> None:
        """Note that `pending` is published and unanswered, within the bound of memory."""
        self._flush_undecodable()
        if self.account.live:
            # What a camera showed then is not shown again: newer pictures have come.
            pending.frame = None
            return
        if pending.frame is not None:
            self._kept.append(pending)
            self._kept_bytes += len(pending.frame.data)
        while self._kept and (self._kept_bytes > self.replay_bytes or self._kept[0].frame is None):
            oldest = self._kept.popleft()
            if oldest.frame is not None:
                self._kept_bytes -= len(oldest.frame.data)
                oldest.frame = None
                self.pixels_let_go += 1

    def settled(self, frames: Sequence[PendingFrame]) -> None:
        """The outcome of `frames` is known: their pixels are not needed any more."""
        for pending in frames:
            if pending.frame is not None:
                self._kept_bytes -= len(pending.frame.data)
                pending.frame = None

    def again(self, frames: Sequence[PendingFrame], detail: str) -> None:
        """Publish `frames` once more; those that cannot be become a gap.

        That are those whose pixels are gone, and encoded ones that no key frame precedes here.
        """
        first = next((n for n, pending in enumerate(frames) if _can_begin(pending)), len(frames))
        lost, frames = frames[:first], frames[first:]
        if lost:
            self.account.put(self.outcomes.lost(lost, GapReason.STREAM_LOST, detail))
        self._kept.clear()
        self._kept_bytes = 0
        self._ready.extendleft(reversed(frames))

    async def discard_rest(
        self,
        frames: Sequence[PendingFrame],
        reason: GapReason,
        detail: str,
        *,
        for_good: bool = False,
    ) -> None:
        """Give up `frames` and everything until the end of media.

        The source learns that nothing more is wanted; what it has emitted still arrives here. It
        is left to another part of the run, if there can be one. `for_good` says that none would
        want it either; then it is recorded as lost.
        """
        lost = list(frames)
        self._flush_undecodable()
        self.account.refuse(self.outcomes.step_id, gave_up=not for_good)
        while not (self.ended and not self._ready):
            self.resume()
            self.take_assignment()
            if (pending := await self.next_frame()) is None:
                continue
            self.take_next()
            pending.frame = None
            lost.append(pending)
        if self.account.resumable and not for_good:
            self.account.leave(self.outcomes.step_id, len(lost), reason)
        elif lost:
            self.account.put(self.outcomes.lost(lost, reason, detail))


async def _result_or_none(getting: asyncio.Future[PendingFrame | None]) -> PendingFrame | None:
    """Return what was got; when nothing was, stop getting it: nothing is lost by that."""
    if not getting.done():
        getting.cancel()
        await asyncio.wait({getting})
    return None if getting.cancelled() else getting.result()


def _can_begin(pending: PendingFrame) -> bool:
    return pending.frame is not None and not needs_predecessor(pending.frame)
