"""One session: the question about one stream key, over as many leased streams as it takes."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from typing import Final

from overshoot_flow.config import Inference, Service
from overshoot_flow.errors import OvershootFlowError, ServiceError
from overshoot_flow.protocol.media_map import PublishedMedia
from overshoot_flow.protocol.retry import Backoff
from overshoot_flow.protocol.session_machine import Remedy, SessionMachine, SessionState
from overshoot_flow.protocol.v02 import Source, StreamCreated
from overshoot_flow.results import GapReason
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.session.clock import Clock
from overshoot_flow.session.feed import Feed
from overshoot_flow.session.inbox import Inbox
from overshoot_flow.session.ingress import open_ingress
from overshoot_flow.session.ledger import Account
from overshoot_flow.session.outcomes import OutcomeFactory, PendingFrame
from overshoot_flow.session.stream_run import TRANSIT_S, StreamRun, Workplace
from overshoot_flow.transport.http import OvershootHttp

_RESTART_BACKOFF_S: Final = (0.5, 15.0)

_logger = logging.getLogger(__name__)


class Session:
    """Takes frames from its inbox and puts a finished piece for every one into its account.

    Args:
        step_id: The `infer` step.
        source: The source as people read it.
        account: The stream key's account, already attached.
        inbox: Where the frames come from.
        inference: What is asked.
        schema: The compiled output schema, or None.
        service: Where it is asked.
        clock: Time.
    """

    def __init__(
        self,
        *,
        step_id: str,
        source: str,
        account: Account,
        inbox: Inbox,
        inference: Inference,
        schema: OutputSchema | None,
        service: Service,
        clock: Clock,
    ) -> None:
        self.stream_key = account.stream_key
        self.inbox = inbox
        self._service = service
        self._account = account
        self._clock = clock
        # A camera goes on showing: its session outlives every fault that time may mend.
        self._machine = SessionMachine(sys.maxsize if account.live else service.max_restarts)
        self._outcomes = OutcomeFactory(
            step_id=step_id,
            stream_key=account.stream_key,
            source=source,
            inference=inference,
            schema=schema,
            clock=clock,
        )
        self._feed = Feed(inbox, account, self._outcomes)
        mode = inference.mode
        self._media: PublishedMedia[PendingFrame] = PublishedMedia(
            length_s=mode.length_s,
            period_s=mode.period_s,
            transit_s=TRANSIT_S,
            horizon_s=2 * (mode.length_s + mode.period_s) + service.answers_deadline_s,
        )
        self._backoff = Backoff(*_RESTART_BACKOFF_S, random=random.Random())  # noqa: S311

    @property
    def failure(self) -> OvershootFlowError | None:
        """Why the session failed, or None."""
        return self._machine.failure

    async def run(self) -> None:
        """Work until the end of media is answered, or the session has failed and said so."""
        try:
            http = OvershootHttp(self._service)
            try:
                await self._run(http)
            finally:
                await http.aclose()
        except OvershootFlowError as error:
            await self._recover(error)
        finally:
            # Whatever happened, the source must not wait for this session.
            self._machine.abort()
            self._account.refuse(self._outcomes.step_id)
            self._account.session_ended(self._outcomes.step_id)

    async def _run(self, http: OvershootHttp) -> None:
        place = Workplace(
            service=self._service,
            http=http,
            feed=self._feed,
            outcomes=self._outcomes,
            media=self._media,
            machine=self._machine,
            clock=self._clock,
        )
        while not self._machine.ended and (first := await self._feed.first_frame()) is not None:
            try:
                await self._one_stream(place, first)
            except OvershootFlowError as error:
                await self._recover(error)

    async def _one_stream(self, place: Workplace, first: PendingFrame) -> None:
        self._machine.move(SessionState.CREATING)
        ingress = await open_ingress(self._service, self.stream_key)
        try:
            created = await self._create_stream(place.http, ingress.source)
            self._machine.move(SessionState.CONNECTING)
            await StreamRun(place, created, ingress).run(first)
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

    async def _recover(self, error: OvershootFlowError) -> None:
        remedy = self._machine.fault(error)
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
        _logger.warning("%s: %s; a new stream in %.1f s", self.stream_key, error, pause_s)
        await asyncio.sleep(pause_s)
