"""One session: the question about one stream key, over as many leased streams as it takes."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from collections.abc import Awaitable
from typing import Final

from overshoot_flow.assignment import Assignment
from overshoot_flow.config import Inference
from overshoot_flow.errors import OvershootFlowError, ServiceError
from overshoot_flow.log_context import log_context
from overshoot_flow.protocol.media_map import PublishedMedia
from overshoot_flow.protocol.retry import Backoff
from overshoot_flow.protocol.session_machine import (
    Remedy,
    SessionMachine,
    SessionState,
    is_about_key,
)
from overshoot_flow.protocol.v02 import Source, StreamCreated
from overshoot_flow.results import GapReason
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.session.clients import Clients
from overshoot_flow.session.clock import Clock
from overshoot_flow.session.feed import Feed
from overshoot_flow.session.inbox import Inbox
from overshoot_flow.session.ingress import open_ingress
from overshoot_flow.session.inline_run import InlineRun
from overshoot_flow.session.ledger import Account, Hold
from overshoot_flow.session.outcomes import OutcomeFactory, PendingFrame
from overshoot_flow.session.renewal import is_stream_spent, may_spend
from overshoot_flow.session.slot_pool import Slot, SlotPool
from overshoot_flow.session.status import STATUSES
from overshoot_flow.session.stream_run import StreamRun
from overshoot_flow.session.v1_stream_run import V1StreamRun
from overshoot_flow.session.workplace import Leaving, Workplace
from overshoot_flow.transport.http import OvershootHttp
from overshoot_flow.transport_config import Inline

_RESTART_BACKOFF_S: Final = (0.5, 15.0)
_REST_S: Final = 120.0
"""How long to wait where no repetition helps, such as without credit."""

_WAITS_FOR_SLOT: Final = "all streams that the keys may have at once are in use"
_OVER_BUDGET: Final = "the budget is spent"

_logger = logging.getLogger(__name__)


class Session:
    """Takes frames from its inbox and puts a finished piece for every one into its account.

    Args:
        step_id: The `infer` step.
        source: The source as people read it.
        account: The stream key's account, already attached.
        inbox: Where the frames come from, and new assignments.
        assignment: What is asked at first, and where.
        reassignable: Whether another assignment may come, so that the session never fails for good.
        slots: Where it gets its slots.
        clients: The connections to services; they stay open.
        clock: Time.
    """

    def __init__(
        self,
        *,
        step_id: str,
        source: str,
        account: Account,
        inbox: Inbox,
        assignment: Assignment,
        reassignable: bool,
        slots: SlotPool,
        clients: Clients,
        clock: Clock,
    ) -> None:
        self.step_id = step_id
        self.stream_key = account.stream_key
        self.inbox = inbox
        self._account = account
        self._slots = slots
        self._slot: Slot | None = None
        self._expected_cents = 0.0
        self._clients = clients
        self._clock = clock
        # A camera goes on showing: its session outlives every fault that time may mend.
        max_restarts = min(each.max_restarts for each in assignment.services)
        self._machine = SessionMachine(
            sys.maxsize if account.live else max_restarts, rests=reassignable
        )
        self._status = STATUSES.of(step_id, account.stream_key)
        self._status.follow(self._machine, assignment.services[0])
        self._assignment = assignment
        self._outcomes = OutcomeFactory(
            step_id=step_id,
            stream_key=account.stream_key,
            source=source,
            inference=assignment.inference,
            schema=_compiled(assignment.inference),
            labels=account.all_labels(assignment.labels),
            clock=clock,
        )
        self._feed = Feed(inbox, account, self._outcomes)
        self._media = self._new_media()
        self._backoff = Backoff(*_RESTART_BACKOFF_S, random=random.Random())  # noqa: S311

    @property
    def failure(self) -> OvershootFlowError | None:
        """Why the session failed, or None."""
        return self._machine.failure

    async def run(self) -> None:
        """Work until the end of media is answered, or the session has failed and said so."""
        try:
            await self._work()
        finally:
            # Whatever happened, the source must not wait for this session.
            self._machine.abort()
            self._account.refuse(self._outcomes.step_id)
            self._account.session_ended(self._outcomes.step_id)

    async def _work(self) -> None:
        try:
            while not self._machine.ended:
                self._obey()
                if not may_spend(self._assignment, self._account, self._expected_cents):
                    await self._rest_over_budget()
                    if self._feed.ended:
                        return
                    continue
                first = await self._first_frame()
                if first is None:
                    if self._feed.ended:
                        return
                    self._give_slot_back()
                elif self._slot is None and self._needs_slot:
                    await self._claim_slot()
                else:
                    leaving = await self._one_stream(first)
                    self._give_slot_back()
                    if leaving is Leaving.SLOT:
                        await self._claim_slot()
        finally:
            self._give_slot_back()

    def _obey(self) -> None:
        """Take what has come in since the last stream."""
        self._feed.resume()
        assignment = self._feed.take_assignment()
        if assignment is not None:
            self._adopt(assignment)

    def _adopt(self, assignment: Assignment) -> None:
        mode_before = self._assignment.inference.mode
        self._assignment = assignment
        inference = assignment.inference
        labels = self._account.all_labels(assignment.labels)
        self._outcomes.ask(inference, _compiled(inference), labels)
        if assignment.inference.mode != mode_before:
            self._media = self._new_media()

    def _new_media(self) -> PublishedMedia[PendingFrame]:
        mode = self._assignment.inference.mode
        services = self._assignment.services
        deadline_s = max(each.answers_deadline_s for each in services)
        return PublishedMedia(
            length_s=mode.length_s,
            period_s=mode.period_s,
            transit_s=max(each.transit_s for each in services),
            horizon_s=2 * (mode.length_s + mode.period_s) + deadline_s,
        )

    async def _first_frame(self) -> PendingFrame | None:
        """Wait for a frame to begin with; with a slot in hand only for a while."""
        # A stream that was left may have put the source on hold.
        self._account.hold(self._outcomes.step_id, None)
        idle_s = None
        if self._slot is not None and self._slot.service is not None and self._account.live:
            idle_s = self._slot.service.idle_timeout_s
        try:
            async with asyncio.timeout(idle_s):
                return await self._feed.first_frame()
        except TimeoutError:
            return None

    async def _claim_slot(self) -> None:
        """Wait for a slot; there is none when something else came first."""
        self._slot = self._slots.claim(self._assignment)
        if self._slot.service is None:
            await self._rest(self._slot.granted(), GapReason.SLOT, _WAITS_FOR_SLOT)
        if self._slot.service is None:
            self._give_slot_back()

    def _give_slot_back(self) -> None:
        if self._slot is not None:
            self._slot.release()
            self._slot = None

    async def _rest(self, until: Awaitable[object], reason: GapReason, detail: str) -> None:
        """Wait for something; what a camera shows meanwhile is a gap, an archive waits."""
        if not self._account.live:
            await until
            return
        self._account.hold(self._outcomes.step_id, Hold(reason, detail))
        await self._feed.pass_over(until, reason, detail)
        self._account.hold(self._outcomes.step_id, None)

    async def _rest_over_budget(self) -> None:
        """Wait for a greater budget, which only a live stream's source can give."""
        if self._account.live:
            await self._rest(asyncio.Event().wait(), GapReason.BUDGET, _OVER_BUDGET)
        else:
            await self._feed.discard_rest(
                (),
                GapReason.BUDGET,
                _OVER_BUDGET,
                for_good=is_stream_spent(self._assignment, self._account, self._expected_cents),
            )

    @property
    def _needs_slot(self) -> bool:
        return not isinstance(self._assignment.services[0].transport, Inline)

    async def _one_stream(self, first: PendingFrame) -> Leaving | None:
        """Use one stream, or ask without one; return why it was left although it was alive."""
        slot = self._slot
        service = None if slot is None else slot.service
        place = Workplace(
            service=service or self._assignment.services[0],
            clients=self._clients,
            feed=self._feed,
            outcomes=self._outcomes,
            media=self._media,
            machine=self._machine,
            slot=slot,
            assignment=self._assignment,
            adopt=self._adopt,
            clock=self._clock,
            status=self._status,
        )
        self._status.asks(place.service)
        try:
            leaving = await self._use_if_not_refused(place, first)
        except OvershootFlowError as error:
            has_other_key = False
            if slot is not None:
                slot.failed()
                has_other_key = is_about_key(error) and slot.has_another_key
            self._give_slot_back()
            await self._recover(error, has_other_key=has_other_key)
            return None
        self._media.restart()
        return leaving

    async def _use_if_not_refused(self, place: Workplace, first: PendingFrame) -> Leaving | None:
        """Ask nothing about a file while the key is left alone, which does not prolong that."""
        refusal = self._slots.refusal(place.service)
        if refusal is not None and not self._account.live:
            raise refusal.with_traceback(None)
        try:
            return await self._use(place, first)
        except OvershootFlowError as error:
            if is_about_key(error):
                self._slots.refuse(place.service, error)
            raise

    async def _use(self, place: Workplace, first: PendingFrame) -> Leaving | None:
        run: InlineRun | V1StreamRun
        if place.service.generation == "v0.2":
            return await self._leased(place, first)
        run = (
            InlineRun(place) if isinstance(place.service.transport, Inline) else V1StreamRun(place)
        )
        await run.run(first)
        self._expected_cents = run.expected_cents
        return run.leaving

    async def _leased(self, place: Workplace, first: PendingFrame) -> Leaving | None:
        self._machine.move(SessionState.CREATING)
        ingress = await open_ingress(place.service, self.stream_key)
        try:
            created = await self._create_stream(place.http, ingress.source)
            self._machine.move(SessionState.CONNECTING)
            with log_context(stream_id=created.stream_id):
                _logger.info("%s: stream %s is leased", self.stream_key, created.stream_id)
                stream = StreamRun(place, created, ingress)
                await stream.run(first)
            self._expected_cents = stream.expected_cents
            return stream.leaving
        finally:
            await ingress.aclose()

    async def _create_stream(self, http: OvershootHttp, source: Source) -> StreamCreated:
        """Lease a stream; when cancelled meanwhile, delete what the service leases all the same."""
        creating = asyncio.ensure_future(http.create_stream(self._outcomes.inference, source))
        try:
            return await asyncio.shield(creating)
        except asyncio.CancelledError:
            try:
                await http.close_stream((await creating).stream_id)
            except OvershootFlowError as error:
                _logger.warning("a stream was being created while stopping: %s", error)
            raise

    async def _recover(self, error: OvershootFlowError, *, has_other_key: bool) -> None:
        remedy = self._machine.fault(error, has_other_key=has_other_key)
        unanswered = self._media.take_unsettled()
        self._media.restart()
        if remedy is Remedy.FAIL:
            _logger.error("session of %s failed: %s", self.stream_key, error)
            await self._feed.discard_rest(unanswered, GapReason.STOPPED, str(error))
            return
        if self._account.live and self._account.ending:
            # Nothing else would end attempts that have no bound.
            self._machine.abort()
            await self._feed.discard_rest(unanswered, GapReason.STOPPED, str(error))
            return
        self._feed.again(unanswered, str(error))
        asked_s = error.retry_after_s if isinstance(error, ServiceError) else None
        pause_s = self._backoff.pause_s(self._machine.faults_in_a_row, asked_s)
        if remedy is Remedy.REST:
            pause_s = _REST_S
        where = " with another key" if has_other_key else ""
        text = "%s: %s; a new stream%s in %.1f s"
        _logger.log(self._level_of(remedy, error), text, self.stream_key, error, where, pause_s)
        reason = GapReason.SLOT if remedy is Remedy.WAIT_FOR_SLOT else GapReason.SERVICE
        await self._rest(asyncio.sleep(pause_s), reason, str(error))

    def _level_of(self, remedy: Remedy, error: OvershootFlowError) -> int:
        if remedy is Remedy.REST or is_about_key(error):
            return logging.ERROR
        # Hundreds of cameras may wait for hours; once is enough.
        return logging.DEBUG if self._machine.still_waits_for_slot else logging.WARNING


def _compiled(inference: Inference) -> OutputSchema | None:
    return None if inference.json_schema is None else OutputSchema(inference.json_schema)
