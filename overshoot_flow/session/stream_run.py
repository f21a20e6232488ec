"""One leased stream from its creation to its deletion."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import Final

from overshoot_flow.errors import (
    OvershootFlowError,
    StreamEndedError,
)
from overshoot_flow.media.access_units import Picture
from overshoot_flow.protocol.session_machine import SessionState
from overshoot_flow.protocol.v02 import StreamCreated
from overshoot_flow.session.departure import Departure, most_telling
from overshoot_flow.session.ingress import Ingress
from overshoot_flow.session.outcomes import PendingFrame
from overshoot_flow.session.pacing import Pacer
from overshoot_flow.session.publication import Publication
from overshoot_flow.session.renewal import Renewal
from overshoot_flow.session.workplace import Leaving, Workplace
from overshoot_flow.transport.publisher import Publisher
from overshoot_flow.transport.results_socket import Malformed, Received, ResultsSocket

_WATCH_INTERVAL_S: Final = 0.5
_TEARDOWN_TIMEOUT_S: Final = 8.0

_logger = logging.getLogger(__name__)


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
    _departure: Departure = field(init=False)
    _publication: Publication = field(init=False)
    _socket: ResultsSocket = field(init=False)
    _renewal: Renewal = field(init=False)
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
        self._departure = Departure(place)
        self._renewal = Renewal(place, self.created, lambda: self._departure.leave(Leaving.BUDGET))
        self._publication = Publication(self.created.stream_id, self._new_publisher)
        self._socket = ResultsSocket(
            place.service.base_url,
            self.created.stream_id,
            place.service.key,
            lease_alive=lambda: not self._over and not self._renewal.is_over,
            monotonic_s=place.clock.monotonic_s,
            wall_us=place.clock.wall_us,
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                helpers = [
                    tasks.create_task(self._renewal.renew(), name="renew-lease"),
                    tasks.create_task(self._take_answers(), name="take-answers"),
                ]
                # A camera's picture is let go when it is noted.
                picture = first.picture
                self._note_published(first)
                await self._connect(picture)
                helpers.append(tasks.create_task(self._watch(), name="watch-deadlines"))
                helpers.append(tasks.create_task(self._publication.stay(), name="stay-in-room"))
                await self._publish(first)
                await self._drain()
                for helper in helpers:
                    helper.cancel()
        except* OvershootFlowError as group:
            error = most_telling(group)
            _logger.info("stream %s is lost: %s", self.created.stream_id, error)
            raise error from None
        finally:
            await self._tear_down()

    @property
    def leaving(self) -> Leaving | None:
        """Why it is left, or None if the media has ended."""
        return self._departure.leaving

    @property
    def expected_cents(self) -> float:
        """What the next lease time would cost, by the last charge."""
        return self._renewal.expected_cents

    def _new_publisher(self) -> Publisher:
        return self.ingress.publisher(self.created, self._renewal.token)

    async def _connect(self, first: Picture) -> None:
        await self._publication.begin(first)
        self.place.machine.move(SessionState.LIVE)

    def _note_published(self, pending: PendingFrame) -> None:
        pending.published_at_s = self.place.clock.monotonic_s()
        self.place.media.published(pending, pending.published_at_s)
        self.place.status.published(pending, self.place.clock.wall_us())
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
        self._departure.note_frame(first)
        while True:
            pending = await place.feed.next_frame()
            if pending is None:
                if await self._goes_on():
                    continue
                break
            self._departure.note_frame(pending)
            if not place.feed.account.live:
                now_s = place.clock.monotonic_s()
                await asyncio.sleep(pacer.due_s(pending.pts_us, now_s) - now_s)
            # Another thread makes room; asking now and then is simpler than a callback across.
            while place.feed.account.congested:  # noqa: ASYNC110
                await asyncio.sleep(_WATCH_INTERVAL_S / 10)
            if await self._publication.show(pending.picture):
                self._note_published(pending)
            else:
                place.feed.skip_undecodable()
        place.machine.move(SessionState.DRAINING)

    async def _goes_on(self) -> bool:
        """No frame is to be published: say whether the next one may be."""
        if self._departure.must_end():
            return False
        place = self.place
        assignment = place.feed.take_assignment()
        if assignment is not None:
            if assignment.inference != place.assignment.inference:
                await place.http.update_prompt(self.created.stream_id, assignment.inference.prompt)
            place.take_over(assignment)
        return True

    async def _drain(self) -> None:
        """Wait until a window that surely held the last frame is answered, or the deadline."""
        place = self.place
        last_s = place.media.last_published_at_s or place.clock.monotonic_s()
        deadline_s = last_s + self._answer_due_s
        surely_s = last_s + place.media.transit_s
        while place.media.unsettled or self._newest_window_end_s < surely_s:
            self._answered.clear()
            wait_s = deadline_s - place.clock.monotonic_s()
            if wait_s <= 0:
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._answered.wait()
        self._give_up_waiting(published_until_s=None)
        place.machine.move(SessionState.CLOSED if place.feed.ended else SessionState.WAITING)

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
            self.place.status.delivered(self._publication.delivery)
            if self.place.machine.state is SessionState.LIVE:
                self._departure.look()
                self._give_up_waiting(self.place.clock.monotonic_s() - self._answer_due_s)

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
                    received.raw_text,
                    received.detail,
                    self.created.stream_id,
                    received.raw_bytes,
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
        newest = (*settlement.between, *settlement.covered)[-1:]
        place.status.answered(newest[0] if newest else None, received.received_at_s)
        self._newest_window_end_s = place.media.window_end_s(received.received_at_s, latency_s)
        place.machine.answered()
        self._answered.set()

    async def _tear_down(self) -> None:
        """Settle the bill, leave the room, close the socket, delete the stream: in this order."""
        try:
            async with asyncio.timeout(_TEARDOWN_TIMEOUT_S):
                if not self._over:
                    await self._renewal.settle_bill()
                await self._publication.end()
                await self._socket.aclose()
                await self.place.http.close_stream(self.created.stream_id)
        except (OvershootFlowError, TimeoutError) as error:
            _logger.warning(
                "stream %s could not be deleted and ends with its lease: %s",
                self.created.stream_id,
                str(error) or "no answer in time",
            )
