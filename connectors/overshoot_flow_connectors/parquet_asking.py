"""Asks the service again about dead letters of files, and has what passes moved."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from overshoot_flow.assignment import Assignment
from overshoot_flow.config import Inference, Service
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.repair_level import Repair
from overshoot_flow.results import THEN_TEXT, Failure, FailureReason, Result, Usage
from overshoot_flow.schema.json_schema import OutputSchema, Rejected
from overshoot_flow.session.clock import Clock, SystemClock
from overshoot_flow.session.ledger import Account
from overshoot_flow.session.status import STATUSES
from overshoot_flow.session.v1_access import V1Access
from overshoot_flow.session.window_asker import WindowAsker
from overshoot_flow.session.window_outcomes import MODE, WindowOutcomes
from overshoot_flow.session.windows_again import NotAsked, WindowsAgain
from overshoot_flow.spending import RunBudget
from overshoot_flow.transport_config import Inline
from overshoot_flow_connectors.asked_source import AskedSource
from overshoot_flow_connectors.file import FileSource
from overshoot_flow_connectors.parquet_mover import Form, Mover
from overshoot_flow_connectors.replay_report import NotAskedLetter, ReplayReport

ASKABLE: Final = frozenset(
    {
        FailureReason.MODEL_ERROR,
        FailureReason.CONTRACT,
        FailureReason.CUT,
        FailureReason.CONTENT_FILTER,
        FailureReason.DEADLINE,
        FailureReason.REFUSED,
        FailureReason.EXPIRED,
    }
)
"""What another answer may mend: there is no whole one."""

DECIDE_INTERVAL_S: Final = 5.0
"""How often it is decided what has been answered. A kill loses what was answered since."""

_STEP_ID: Final = "replay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What was asked about files, and where it is to be asked again.

    Args:
        inference: The question, the same as it was: prompt, model, schema, windows, everything.
        service: A service of v1 or v1beta; the transport says how pictures travel.
        open_source: Opens a file or object by its name in the records, sampled as it was.
        failing_too: Whether to ask again where a whole answer fails (`not_json`, `schema`) too.
        max_cost_cents: At most this much is spent, but for what is under way; None for no limit.
        concurrent: How many files are read at once.

    Raises:
        ConfigurationError: The service or the question cannot be asked again.
    """

    inference: Inference
    service: Service
    open_source: Callable[[str], FileSource] = FileSource
    failing_too: bool = False
    max_cost_cents: float | None = None
    concurrent: int = 4

    @property
    def inline(self) -> Inline:
        """How the pictures travel."""
        transport = self.service.transport
        if not isinstance(transport, Inline):
            msg = "construction refuses other transports"
            raise TypeError(msg)
        return transport

    @property
    def form(self) -> Form:
        """The form of the answers."""
        schema, then = self.inference.json_schema, self.inference.then
        then_form = None
        if then is not None:
            second = then.inference.json_schema
            then_form = THEN_TEXT if second is None else OutputSchema(second).canonical
        return (None if schema is None else OutputSchema(schema).canonical, then_form)

    def __post_init__(self) -> None:
        """Check what goes together."""
        if not isinstance(self.service.transport, Inline):
            raise ConfigurationError(
                "what is asked again travels in the question: use v1 or v1beta with inline "
                "delivery (the transport Inline)"
            )
        if self.inference.memory:
            raise ConfigurationError(
                "the question had earlier answers as context (memory), which are not the same "
                "again: it cannot be asked again"
            )
        if self.max_cost_cents is not None and not self.max_cost_cents > 0:
            raise ConfigurationError(
                f"max_cost_cents is {self.max_cost_cents:g}; it must be above 0, or None"
            )
        if self.concurrent < 1:
            raise ConfigurationError(f"concurrent is {self.concurrent}; 1 is the least")


class AskingAgain:
    """Collects dead letters, and then asks about them.

    Args:
        terms: What is asked, and where.
        repair: What may be repaired in answers.
        clock: Time.
    """

    def __init__(self, terms: Asking, repair: Repair | str, clock: Clock | None = None) -> None:
        self._terms = replace(terms, inference=replace(terms.inference, repair=repair))
        self._clock = clock or SystemClock()
        self._sources: dict[tuple[str, str], AskedSource] = {}

    def takes(self, failure: Failure, checked: Result | Rejected | None) -> bool:
        """Say whether it is to be asked about, and keep it.

        Args:
            failure: A dead letter.
            checked: What its answer is now; None where there is no whole one.
        """
        if isinstance(checked, Result):
            # It passes; only the second question is missing.
            if failure.then_form is None or self._terms.inference.then is None:
                return False
        elif isinstance(checked, Rejected):
            if not self._terms.failing_too:
                return False
        elif not _is_askable(failure):
            return False
        key = (failure.stream_key, failure.source)
        source = self._sources.setdefault(key, AskedSource(*key))
        is_whole = isinstance(checked, Result) or failure.reason is FailureReason.USER_FUNCTION
        source.add(failure, is_whole=is_whole)
        return True

    def ask(self, mover: Mover, report: ReplayReport) -> None:
        """Ask about what was taken, move what passes, and count the rest.

        Raises:
            OvershootFlowError: No question can be answered, or the disk refuses; what was
                answered before is decided.
        """
        taken = [each for source in self._sources.values() for each in source.ids]
        present = mover.answered(taken)
        for source in self._sources.values():
            report.done_before += source.forget(present)
        sources = [source for source in self._sources.values() if source.ids]
        if sources:
            asyncio.run(_Round(self._terms, mover, report, self._clock).ask(sources))


class _Round:
    """One round of questions; what it brings is decided while it goes on."""

    def __init__(self, terms: Asking, mover: Mover, report: ReplayReport, clock: Clock) -> None:
        self._terms = terms
        self._mover = mover
        self._report = report
        self._clock = clock
        self._access = V1Access(terms.service, clock)
        limit_cents = terms.max_cost_cents
        self._assignment = Assignment(
            inference=terms.inference,
            services=(terms.service,),
            run_budget=None if limit_cents is None else RunBudget(limit_cents),
        )
        self._reading = asyncio.Semaphore(terms.concurrent)
        # A cancelled task does not end the thread that it waits for.
        self._deciding = threading.Lock()

    async def ask(self, sources: Sequence[AskedSource]) -> None:
        """Ask about all `sources`."""
        asking = asyncio.create_task(self._all(sources), name="ask-again")
        try:
            while not asking.done():
                await asyncio.wait({asking}, timeout=DECIDE_INTERVAL_S)
                await asyncio.to_thread(self._decide, sources)
            await asking
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await self._access.aclose()
            self._decide(sources)
        for source in sources:
            for identity in source.ids:
                self._refuse(source, identity, NotAsked.BUDGET, "the budget is spent")

    async def _all(self, sources: Iterable[AskedSource]) -> None:
        tasks = [asyncio.create_task(self._one(source)) for source in sources]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, source: AskedSource) -> None:
        async with self._reading:
            opened = await asyncio.to_thread(
                source.opened, self._terms.inference, self._terms.open_source
            )
            for failure, why, detail in opened.refused:
                self._refuse(source, failure.result_id, why, detail)
            if not opened.wanted:
                return
            asker = self._asker(source, opened.identity)
            async with asker:
                await WindowsAgain(
                    settings=self._terms.inline,
                    inference=self._terms.inference,
                    asker=asker,
                    open_reader=opened.open_reader,
                    not_asked=lambda again, why, detail: self._refuse(
                        source, opened.ids[again.window], why, detail
                    ),
                ).ask(opened.wanted)

    def _asker(self, source: AskedSource, identity: str) -> WindowAsker:
        source.account = Account(source.stream_key, identity=identity)
        return WindowAsker(
            service=self._terms.service,
            access=self._access,
            outcomes=WindowOutcomes(
                step_id=_STEP_ID,
                stream_key=source.stream_key,
                source=source.source,
                identity=identity,
                inference=self._terms.inference,
                labels={},
                clock=self._clock,
            ),
            account=source.account,
            settled=lambda _: None,
            assignment=self._assignment,
            status=STATUSES.of(_STEP_ID, source.stream_key),
            clock=self._clock,
        )

    def _refuse(self, source: AskedSource, identity: str, why: NotAsked, detail: str) -> None:
        failure = source.take(identity)
        if failure is not None:
            self._report.not_asked.append(NotAskedLetter.of(failure, why, detail))

    def _decide(self, sources: Iterable[AskedSource]) -> None:
        """Move what has been answered, with what was charged for it."""
        with self._deciding:
            results: list[Result] = []
            usage: list[Usage] = []
            for source in sources:
                for outcome in source.said_now():
                    match outcome:
                        case Result():
                            results.append(outcome)
                            self._report.asked += 1
                        case Failure():
                            self._report.failing[outcome.reason] += 1
                            self._report.asked += 1
                        case Usage():
                            usage.append(outcome)
                            self._report.cost_cents += outcome.cost_cents or 0.0
            self._mover.move(results, self._report, usage=usage, usage_form=self._terms.form)


def _is_askable(failure: Failure) -> bool:
    # One that failed on a frame was never a question.
    has_failed_on_answer = failure.reason is FailureReason.USER_FUNCTION and failure.mode == MODE
    return failure.reason in ASKABLE or has_failed_on_answer
