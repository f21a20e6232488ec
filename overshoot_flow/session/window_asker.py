"""Asks about the windows of one stream, several at a time, and records them in their order."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from overshoot_flow.assignment import Assignment
from overshoot_flow.config import Service
from overshoot_flow.inference import Escalation, Inference
from overshoot_flow.protocol.v1_chat import ChatAnswer, Exchange
from overshoot_flow.protocol.v1_models import MICROCENTS_PER_CENT, Pricing
from overshoot_flow.results import FailureReason, GapReason, Outcome, Piece, SecondAnswer, Usage
from overshoot_flow.schema.json_schema import Rejected
from overshoot_flow.session.clock import Clock
from overshoot_flow.session.conversation import Conversation, OverBudget
from overshoot_flow.session.ledger import Account
from overshoot_flow.session.outcomes import PendingFrame
from overshoot_flow.session.renewal import is_stream_spent, may_spend
from overshoot_flow.session.status import SessionStatus
from overshoot_flow.session.v1_access import V1Access
from overshoot_flow.session.window_job import WindowJob
from overshoot_flow.session.window_outcomes import Accepted, Verdict, WindowOutcomes, judged
from overshoot_flow.session.workplace import Workplace

_JOBS_PER_QUESTION: Final = 2
"""Windows that may be open for each question that may be under way: the rest waits at the source.
An early window that takes long holds up the records of those behind it, not their questions."""

_LOOK_INTERVAL_S: Final = 0.1
_OVER_BUDGET: Final = "the budget is spent"

_logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Open:
    """A window that is being asked about; `piece` is there when it is done.

    One that `is_left` has none, and is done: another part of the run asks about it.
    """

    job: WindowJob
    is_left: bool = False
    outcomes: list[Outcome] = field(default_factory=list)
    piece: Piece | None = None
    answered: Exchange | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)


class WindowAsker:
    """Takes windows in order and puts a piece for each into the account, in the same order.

    Use it as an asynchronous context manager; leaving it stops what is under way.

    Args:
        service: Where it is asked.
        access: The service's client, limiter and prices.
        outcomes: Makes the records; it says what is asked.
        account: Where the pieces go.
        settled: Learns which frames are settled.
        assignment: The budgets.
        status: Counts.
        clock: Time.

    Attributes:
        is_over_budget: Whether the budget allows no further question; windows become gaps.
        windows_recorded: How many windows are recorded.
    """

    def __init__(
        self,
        *,
        service: Service,
        access: V1Access,
        outcomes: WindowOutcomes,
        account: Account,
        settled: Callable[[Sequence[PendingFrame]], None],
        assignment: Assignment,
        status: SessionStatus,
        clock: Clock,
    ) -> None:
        self._access = access
        self._outcomes = outcomes
        self._account = account
        self._settled = settled
        self._assignment = assignment
        self._status = status
        self._clock = clock
        self._conversation = Conversation(
            outcomes.stream_key, service, access, self._may_ask, clock
        )
        self._max_open = _JOBS_PER_QUESTION * service.max_in_flight
        self._open: deque[_Open] = deque()
        self._memory: deque[Exchange] = deque(maxlen=outcomes.inference.memory)
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None
        self._prices: dict[str, Pricing] = {}
        self._is_leaving = False
        self._answers = 0
        self._spent_cents = 0.0
        self.is_over_budget = False
        self.windows_recorded = 0

    @property
    def expected_cents(self) -> float:
        """What one more question would cost, by those before; 0 before the first."""
        return self._spent_cents / self._answers if self._answers else 0.0

    @classmethod
    def at(cls, place: Workplace, assignment: Assignment, outcomes: WindowOutcomes) -> Self:
        """Return what asks `assignment` at a session's service."""
        return cls(
            service=place.service,
            access=place.clients.v1(place.service),
            outcomes=outcomes,
            account=place.feed.account,
            settled=place.feed.settled,
            assignment=assignment,
            status=place.status,
            clock=place.clock,
        )

    async def __aenter__(self) -> Self:
        """Tell what is left on the account, once for all streams.

        Raises:
            OvershootFlowError: There is a budget, and no price to count with.
        """
        assignment = self._assignment
        if assignment.budget_cents is not None or assignment.run_budget is not None:
            # Known late, a price would let answers through that nobody has counted.
            for inference in self._outcomes.inference.questions:
                self._prices[inference.model] = await self._access.needed_pricing(inference.model)
        balance = await self._access.take_balance()
        if balance is not None:
            self._account.put(self._outcomes.bookkeeping(self._outcomes.balance(balance.cents)))
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop every question under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def ask(self, job: WindowJob) -> None:
        """Take the next window as soon as there is room.

        Raises:
            OvershootFlowError: The stream is lost, or no question of this run can be answered.
        """
        await self._until(lambda: len(self._open) < self._max_open and not self._account.congested)
        opened = _Open(job)
        before = self._open[-1] if self._open else None
        self._open.append(opened)
        task = asyncio.create_task(self._work(opened, before), name="ask-window")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def drained(self) -> None:
        """Wait until every window is recorded.

        Raises:
            OvershootFlowError: The stream is lost, or no question of this run can be answered.
        """
        await self._until(lambda: not self._open)

    async def recorded(self, windows: int) -> None:
        """Wait until so many windows are recorded.

        Raises:
            OvershootFlowError: The stream is lost, or no question of this run can be answered.
        """
        await self._until(lambda: self.windows_recorded >= windows)

    def unsettled(self) -> list[PendingFrame]:
        """Return the frames of windows that are not recorded, in order, and forget those."""
        for each in self._open:
            self._keep_charges(each)
        frames = [frame for each in self._open for frame in each.job.settles]
        self._open.clear()
        return frames

    async def _until(self, condition: Callable[[], bool]) -> None:
        while True:
            if self._failure is not None:
                raise self._failure
            if condition():
                return
            self._changed.clear()
            # The account is emptied by another thread, which does not know of this event.
            try:
                async with asyncio.timeout(_LOOK_INTERVAL_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = self._failure or error
        self._changed.set()

    async def _work(self, opened: _Open, before: _Open | None) -> None:
        if self._outcomes.inference.memory and before is not None:
            await before.done.wait()
        try:
            await self._answer(opened)
        finally:
            opened.done.set()
        self._emit()

    async def _answer(self, opened: _Open) -> None:
        job, outcomes = opened.job, self._outcomes
        inference = outcomes.inference
        begun_s = self._clock.monotonic_s()
        history = tuple(self._memory)
        reply = job.said or await self._conversation.ask(job, inference, history)
        answer = reply if isinstance(reply, ChatAnswer) else None
        if answer is not None and job.said is None:
            await self._charge(opened, answer, inference)
        if isinstance(reply, OverBudget):
            opened.is_left = self._may_be_left
        if opened.is_left:
            return
        if isinstance(reply, OverBudget):
            opened.outcomes.append(outcomes.gap(job, GapReason.BUDGET, _OVER_BUDGET))
            opened.piece = outcomes.piece(job, *opened.outcomes)
            return
        verdict: Verdict
        if isinstance(reply, ChatAnswer):
            verdict = judged(reply, outcomes.schema, inference.repair)
        else:
            verdict = reply
        latency_ms = (self._clock.monotonic_s() - begun_s) * 1000
        said: Outcome
        if isinstance(verdict, Accepted):
            second = await self._second(opened, verdict)
            if isinstance(second, Rejected):
                said = outcomes.failure(job, second, answer, latency_ms=latency_ms)
            else:
                said = outcomes.result(job, verdict, latency_ms=latency_ms, second=second)
                self._memory.append(Exchange(question=inference.prompt, answer=verdict.text))
        else:
            answered_ms = None if answer is None else latency_ms
            said = outcomes.failure(job, verdict, answer, latency_ms=answered_ms)
        opened.outcomes.append(said)
        opened.piece = outcomes.piece(job, *opened.outcomes)
        newest = job.settles[-1] if job.settles else None
        self._status.answered(newest, self._clock.monotonic_s())

    async def _second(self, opened: _Open, first: Accepted) -> SecondAnswer | Rejected | None:
        """Ask the second question where the first answer calls for it."""
        then = self._outcomes.inference.then
        if then is None:
            return None
        try:
            is_called_for = then.when(first.content)
        except Exception as error:  # noqa: BLE001 - whatever a user function raises is data
            return Rejected(
                FailureReason.USER_FUNCTION, f"{then.name}: {type(error).__name__}: {error}"
            )
        return await self._ask_second(opened, then) if is_called_for else None

    async def _ask_second(self, opened: _Open, then: Escalation) -> SecondAnswer:
        reply = await self._conversation.ask(opened.job, then.inference)
        answer = reply if isinstance(reply, ChatAnswer) else None
        if isinstance(reply, ChatAnswer):
            await self._charge(opened, reply, then.inference)
        verdict: Verdict | OverBudget
        if isinstance(reply, ChatAnswer):
            verdict = judged(reply, self._outcomes.then_schema, then.inference.repair)
        else:
            verdict = reply
        error = None
        if isinstance(verdict, OverBudget):
            error = f"{GapReason.BUDGET}: {_OVER_BUDGET}"
        elif isinstance(verdict, Rejected):
            error = f"{verdict.reason}: {verdict.detail}"
        return SecondAnswer(
            model=(answer.model if answer is not None else None) or then.inference.model,
            prompt_version=then.inference.prompt_version,
            raw_text=None if answer is None else answer.text,
            output=verdict.document if isinstance(verdict, Accepted) else None,
            finish_reason=None if answer is None else answer.finish_reason,
            error=error,
            repaired=isinstance(verdict, Accepted) and verdict.repaired,
        )

    async def _charge(self, opened: _Open, answer: ChatAnswer, asked: Inference) -> None:
        """Note what an answer has cost, before anything else is asked."""
        if answer.usage is None:
            return
        # What answers may be called by another name than what was asked, which has no price then.
        pricing = self._prices.get(asked.model) or await self._access.pricing(asked.model)
        if pricing is None and answer.model is not None:
            pricing = await self._access.pricing(answer.model)
        cents = None
        if pricing is not None:
            cents = pricing.cost_microcents(answer.usage) / MICROCENTS_PER_CENT
            self._spent_cents += cents
            self._account.spending.spend(cents)
            if self._assignment.run_budget is not None:
                self._assignment.run_budget.spending.spend(cents)
        self._answers += 1
        opened.outcomes.append(
            self._outcomes.usage(opened.job, answer.model or asked.model, answer.usage, cents)
        )

    def _may_ask(self) -> bool:
        """Whether the budget allows one question more than those that are under way."""
        expected_cents = 0.0
        if self._answers:
            # The one that asks has had its turn and counts as under way.
            expected_cents = self._spent_cents / self._answers * self._access.limiter.in_flight
        if not may_spend(self._assignment, self._account, expected_cents):
            if not self.is_over_budget:
                _logger.warning("%s: %s", self._outcomes.stream_key, _OVER_BUDGET)
            self.is_over_budget = True
        return not self.is_over_budget

    @property
    def _may_be_left(self) -> bool:
        """Whether another part of the run, with a greater budget, can ask what this one cannot."""
        is_for_good = is_stream_spent(self._assignment, self._account, self.expected_cents)
        return self._account.resumable and not is_for_good

    def _emit(self) -> None:
        """Put the pieces of windows that are done, as far as none before them is missing."""
        while self._open and (self._open[0].is_left or self._open[0].piece is not None):
            done = self._open.popleft()
            settles = done.job.settles
            self._settled(settles)
            # Windows share pictures, so those after one that is left are asked again with it.
            self._is_leaving = self._is_leaving or done.is_left
            if done.piece is None or self._is_leaving:
                self._keep_charges(done)
                self._account.leave(self._outcomes.step_id, len(settles), GapReason.BUDGET)
            else:
                self._account.put(done.piece)
            self.windows_recorded += 1

    def _keep_charges(self, opened: _Open) -> None:
        """What was charged for a window that is asked again is on record all the same."""
        charges = [each for each in opened.outcomes if isinstance(each, Usage)]
        if charges:
            self._account.put(self._outcomes.bookkeeping(*charges))
