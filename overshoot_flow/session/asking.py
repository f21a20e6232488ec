"""Hands the windows of one stream to whoever asks about them, in order, question by question."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AsyncExitStack
from typing import Final

from overshoot_flow.assignment import Assignment
from overshoot_flow.results import GapReason
from overshoot_flow.session.outcomes import PendingFrame
from overshoot_flow.session.window_asker import WindowAsker
from overshoot_flow.session.window_job import WindowJob
from overshoot_flow.session.window_outcomes import WindowOutcomes
from overshoot_flow.session.workplace import Workplace

MAX_WAITING: Final = 256
"""Windows that may wait to be asked about. One more of a camera and the oldest becomes a gap
(policy: give up the oldest; counted by its gap). An archive publishes no more until half of them
are asked, so beyond that no more wait than it publishes at one time."""

_FELL_BEHIND: Final = "windows came faster than they could be asked about"


class Asking:
    """Takes jobs without delay, so that a camera's pictures go on, and asks about them in turn.

    `run` is to be a task of its owner.

    Args:
        place: The session's parts.
    """

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self._waiting: deque[tuple[Assignment, WindowJob]] = deque()
        self._at_hand: WindowJob | None = None
        self._asker: WindowAsker | None = None
        self._outcomes: WindowOutcomes | None = None
        self._changed = asyncio.Event()
        self._ending = False

    @property
    def is_over_budget(self) -> bool:
        """Whether the budget allows no further question."""
        return self._asker is not None and self._asker.is_over_budget

    @property
    def windows_recorded(self) -> int:
        """How many windows the present question has recorded."""
        return 0 if self._asker is None else self._asker.windows_recorded

    @property
    def expected_cents(self) -> float:
        """What one more question would cost, by those before."""
        return 0.0 if self._asker is None else self._asker.expected_cents

    def put(self, assignment: Assignment, job: WindowJob) -> None:
        """Take the next window, which is asked what `assignment` says."""
        if self._place.feed.account.live and len(self._waiting) >= MAX_WAITING:
            given_up, lost = self._waiting.popleft()
            outcomes = self._outcomes_for(given_up)
            self._place.feed.settled(lost.settles)
            self._place.feed.account.put(
                outcomes.piece(lost, outcomes.gap(lost, GapReason.SERVICE, _FELL_BEHIND))
            )
        self._waiting.append((assignment, job))
        self._changed.set()

    async def room(self) -> None:
        """Wait until so few windows wait that more may be published."""
        while len(self._waiting) > MAX_WAITING // 2:
            self._changed.clear()
            await self._changed.wait()

    def end(self) -> None:
        """No window comes any more."""
        self._ending = True
        self._changed.set()

    async def run(self) -> None:
        """Ask until everything is recorded after `end`.

        Raises:
            OvershootFlowError: The stream is lost, or no question of this run can be answered.
        """
        asked: Assignment | None = None
        async with AsyncExitStack() as askers:
            while True:
                while self._waiting:
                    assignment, job = self._waiting.popleft()
                    self._at_hand = job
                    if self._asker is None or asked is not assignment:
                        asked = assignment
                        if self._asker is not None:
                            await self._asker.drained()
                            await askers.aclose()
                        self._asker = await askers.enter_async_context(
                            WindowAsker.at(self._place, assignment, self._outcomes_for(assignment))
                        )
                    await self._asker.ask(job)
                    self._at_hand = None
                    self._changed.set()
                if self._ending:
                    break
                self._changed.clear()
                await self._next_change()
            if self._asker is not None:
                await self._asker.drained()

    async def _next_change(self) -> None:
        """Wait for something to do; a failure of a question under way is seen meanwhile."""
        if self._asker is None:
            await self._changed.wait()
            return
        changed = asyncio.ensure_future(self._changed.wait())
        drained = asyncio.ensure_future(self._asker.drained())
        try:
            done, _ = await asyncio.wait({changed, drained}, return_when=asyncio.FIRST_COMPLETED)
            if drained in done:
                drained.result()
                await changed
        finally:
            for each in (changed, drained):
                each.cancel()
            await asyncio.gather(changed, drained, return_exceptions=True)

    def unsettled(self) -> list[PendingFrame]:
        """Return the frames of windows that are not recorded, in order, and forget those."""
        frames = [] if self._asker is None else self._asker.unsettled()
        jobs = [] if self._at_hand is None else [self._at_hand]
        jobs += [job for _, job in self._waiting]
        self._waiting.clear()
        self._at_hand = None
        known = {id(frame) for frame in frames}
        frames += [f for job in jobs for f in job.settles if id(f) not in known]
        return frames

    def _outcomes_for(self, assignment: Assignment) -> WindowOutcomes:
        # A schema is compiled once for each question.
        if self._outcomes is None or self._outcomes.inference is not assignment.inference:
            self._outcomes = WindowOutcomes.of(self._place, assignment)
        return self._outcomes
