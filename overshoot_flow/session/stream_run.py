"""One leased stream from its creation to its deletion."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import Final

from overshoot_flow.config import Secret, Service
from overshoot_flow.errors import (
    OvershootFlowError,
    PublishError,
    StreamEndedError,
    TransportError,
)
from overshoot_flow.media.access_units import Picture
from overshoot_flow.protocol.lease import Lease
from overshoot_flow.protocol.media_map import PublishedMedia
from overshoot_flow.protocol.session_machine import SessionMachine, SessionState
from overshoot_flow.protocol.v02 import StreamCreated
from overshoot_flow.session.clock import Clock
from overshoot_flow.session.feed import Feed
from overshoot_flow.session.ingress import Ingress
from overshoot_flow.session.outcomes import OutcomeFactory, PendingFrame
from overshoot_flow.session.pacing import Pacer
from overshoot_flow.session.publication import Publication
from overshoot_flow.transport.http import OvershootHttp
from overshoot_flow.transport.publisher import Publisher
from overshoot_flow.transport.results_socket import Malformed, Received, ResultsSocket

TRANSIT_S: Final = 0.2
"""Bound of the way of a picture to the model: encoder, pacer, network, jitter buffer, decoder."""

_WATCH_INTERVAL_S: Final = 0.5
_LAST_CHARGE_TIMEOUT_S: Final = 2.0
_TEARDOWN_TIMEOUT_S: Final = 8.0

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Workplace:
    """What every stream of one session works with."""

    service: Service
    http: OvershootHttp
    feed: Feed
    outcomes: OutcomeFactory
    media: PublishedMedia[PendingFrame]
    machine: SessionMachine
    clock: Clock


@dataclass(slots=True)
class StreamRun:
    """Publishes into one stream and takes its answers until it is drained or lost.

    Args:
        place: The session's parts.
        created: The stream, alive and billed from here on.
        ingress: Its way in; the caller closes it.
    """

    place: Workplace
    created: StreamCreated
    ingress: Ingress
    _publication: Publication = field(init=False)
    _socket: ResultsSocket = field(init=False)
    _lease: Lease = field(init=False)
    _token: Secret | None = field(init=False, default=None)
    _answered: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _newest_window_end_s: float = field(init=False, default=float("-inf"))
    _over: bool = field(init=False, default=False)

    async def run(self, first: PendingFrame) -> None:
        """Publish from `first` on until everything is answered.

        The stream is deleted in any case, also when this is cancelled.

        Raises:
            OvershootFlowError: The stream is lost; unsettled frames are left in the media log.
        """
        place = self.place
        self._lease = Lease(self.created.lease_ttl_s, place.clock.monotonic_s())
        self._publication = Publication(self.created.stream_id, self._new_publisher)
        self._socket = ResultsSocket(
            place.service.base_url,
            self.created.stream_id,
            place.service.key,
            lease_alive=lambda: not self._over and not self._lease.over(place.clock.monotonic_s()),
            monotonic_s=place.clock.monotonic_s,
            wall_us=place.clock.wall_us,
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                helpers = [
                    tasks.create_task(self._renew_lease(), name="renew-lease"),
                    tasks.create_task(self._take_answers(), name="take-answers"),
                ]
                # A camera's picture is let go when it is noted.
                picture = _picture_of(first)
                self._note_published(first)
                await self._connect(picture)
                helpers.append(tasks.create_task(self._watch(), name="watch-deadlines"))
                helpers.append(tasks.create_task(self._publication.stay(), name="stay-in-room"))
                await self._publish(first)
                await self._drain()
                for helper in helpers:
                    helper.cancel()
        except* OvershootFlowError as group:
            raise _first_of(group) from None
        finally:
            await self._tear_down()

    def _new_publisher(self) -> Publisher:
        return self.ingress.publisher(self.created, self._token)

    async def _connect(self, first: Picture) -> None:
        await self._publication.begin(first)
        self.place.machine.move(SessionState.LIVE)

    def _note_published(self, pending: PendingFrame) -> None:
        self.place.media.published(pending, self.place.clock.monotonic_s())
        self.place.feed.take_next()
        self.place.feed.keep_pixels(pending)

    async def _publish(self, first: PendingFrame) -> None:
        place = self.place
        mode = place.outcomes.inference.mode
        pacer = Pacer(
            first.pts_us,
            place.clock.monotonic_s(),
            longest_pause_s=mode.length_s + mode.period_s + 1.0,
        )
        while (pending := await place.feed.next_frame()) is not None:
            if not place.feed.account.live:
                now_s = place.clock.monotonic_s()
                await asyncio.sleep(pacer.due_s(pending.pts_us, now_s) - now_s)
            # Another thread makes room; asking now and then is simpler than a callback across.
            while place.feed.account.congested:  # noqa: ASYNC110
                await asyncio.sleep(_WATCH_INTERVAL_S / 10)
            if await self._publication.show(_picture_of(pending)):
                self._note_published(pending)
            else:
                place.feed.skip_undecodable()
        place.machine.move(SessionState.DRAINING)

    async def _drain(self) -> None:
        """Wait until a window that surely held the last frame is answered, or the deadline."""
        place = self.place
        last_s = place.media.last_published_at_s or place.clock.monotonic_s()
        deadline_s = last_s + self._answer_due_s
        while place.media.unsettled or self._newest_window_end_s < last_s + TRANSIT_S:
            self._answered.clear()
            wait_s = deadline_s - place.clock.monotonic_s()
            if wait_s <= 0:
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._answered.wait()
        self._give_up_waiting(published_until_s=None)
        place.machine.move(SessionState.CLOSED)

    @property
    def _answer_due_s(self) -> float:
        mode = self.place.outcomes.inference.mode
        return self.place.service.answers_deadline_s + mode.period_s + mode.length_s

    def _give_up_waiting(self, published_until_s: float | None) -> None:
        late = self.place.media.take_unsettled(published_until_s)
        if late:
            self.place.feed.settled(late)
            self.place.feed.account.put(self.place.outcomes.deadline(late, self.created.stream_id))

    async def _watch(self) -> None:
        """Read the sender's statistics and give up on answers that are overdue."""
        while True:
            await asyncio.sleep(_WATCH_INTERVAL_S)
            await self._publication.note_delivery()
            if self.place.machine.state is SessionState.LIVE:
                self._give_up_waiting(self.place.clock.monotonic_s() - self._answer_due_s)

    async def _renew_lease(self) -> None:
        place, lease = self.place, self._lease
        while True:
            now_s = place.clock.monotonic_s()
            await asyncio.sleep(max(0.0, lease.next_attempt_s - now_s))
            await self._keep_alive()

    async def _keep_alive(self) -> None:
        """One keepalive; an error that the lease survives is retried by its schedule."""
        place = self.place
        try:
            answer = await place.http.keepalive(self.created.stream_id)
        except OvershootFlowError as error:
            if self._lease.failed(place.clock.monotonic_s(), error):
                _logger.warning("keepalive of stream %s failed: %s", self.created.stream_id, error)
                return
            raise
        self._lease.renewed(place.clock.monotonic_s(), answer.ttl_s)
        if answer.livekit_token is not None:
            self._token = answer.livekit_token
        place.feed.account.put(place.outcomes.usage(self.created.stream_id, answer))

    async def _take_answers(self) -> None:
        try:
            async for received in self._socket.answers():
                self._take(received)
        except StreamEndedError:
            self._over = True
            raise

    def _take(self, received: Received | Malformed) -> None:
        place = self.place
        if isinstance(received, Malformed):
            place.feed.account.put(
                place.outcomes.outside_contract(
                    received.raw_text, received.detail, self.created.stream_id
                )
            )
            return
        message = received.message
        latency_s = None if message.total_latency_ms is None else message.total_latency_ms / 1000
        interval = place.media.interval(received.received_at_s, latency_s)
        if interval is None:
            _logger.warning("an answer came before any frame was published")
            return
        settlement = place.media.settle(interval)
        place.feed.account.put(
            place.outcomes.answer(
                message, received.received_at_us, interval, settlement, self._publication.delivery
            )
        )
        place.feed.settled((*settlement.unanswered, *settlement.between, *settlement.covered))
        self._newest_window_end_s = place.media.window_end_s(received.received_at_s, latency_s)
        place.machine.answered()
        self._answered.set()

    async def _tear_down(self) -> None:
        """Settle the bill, leave the room, close the socket, delete the stream: in this order."""
        try:
            async with asyncio.timeout(_TEARDOWN_TIMEOUT_S):
                if not self._over:
                    await self._settle_bill()
                await self._publication.end()
                await self._socket.aclose()
                await self.place.http.close_stream(self.created.stream_id)
        except (OvershootFlowError, TimeoutError) as error:
            _logger.warning(
                "stream %s could not be deleted and ends with its lease: %s",
                self.created.stream_id,
                str(error) or "no answer in time",
            )

    async def _settle_bill(self) -> None:
        """Ask for the charge since the last keepalive, which the deletion would not tell."""
        try:
            # A service that does not answer here must not use up the time of the deletion.
            async with asyncio.timeout(_LAST_CHARGE_TIMEOUT_S):
                answer = await self.place.http.keepalive(self.created.stream_id)
        except (OvershootFlowError, TimeoutError) as error:
            _logger.info(
                "the last charge of %s is unknown: %s",
                self.created.stream_id,
                str(error) or "no answer in time",
            )
            return
        self.place.feed.account.put(self.place.outcomes.usage(self.created.stream_id, answer))


def _picture_of(pending: PendingFrame) -> Picture:
    if pending.frame is None:
        msg = "an unpublished frame has lost its picture"
        raise RuntimeError(msg)
    return pending.frame


def _first_of(group: BaseExceptionGroup[OvershootFlowError]) -> OvershootFlowError:
    """What the service says about the stream explains more than the broken pipe it leaves."""
    errors = [
        _first_of(error) if isinstance(error, BaseExceptionGroup) else error
        for error in group.exceptions
    ]
    return min(errors, key=lambda error: isinstance(error, TransportError | PublishError))
