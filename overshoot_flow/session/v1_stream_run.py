"""One leased stream of v1 or v1beta: pictures are published, and their windows asked about."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from overshoot_flow.assignment import Assignment
from overshoot_flow.errors import (
    OvershootFlowError,
)
from overshoot_flow.log_context import log_context
from overshoot_flow.media.frames import Frame
from overshoot_flow.protocol.session_machine import SessionState
from overshoot_flow.protocol.v1 import StreamCreated
from overshoot_flow.protocol.windows import WindowPlan, from_origin
from overshoot_flow.results import GapReason
from overshoot_flow.session.archive_pictures import ArchivePictures
from overshoot_flow.session.asking import Asking
from overshoot_flow.session.camera_pictures import CameraPictures
from overshoot_flow.session.departure import Departure, most_telling
from overshoot_flow.session.outcomes import PendingFrame
from overshoot_flow.session.pacing import Pacer
from overshoot_flow.session.stream_pictures import TRANSIENT_ERRORS
from overshoot_flow.session.stretch import Stretch
from overshoot_flow.session.v1_renewal import V1Renewal
from overshoot_flow.session.window_cells import WindowCells
from overshoot_flow.session.window_job import WindowJob
from overshoot_flow.session.window_jobs import WindowJobs
from overshoot_flow.session.workplace import Leaving, Workplace

LONGEST_PAUSE_S: Final = 0.1
"""Pictures of an archive that are further apart are published this far apart: which picture shows
which moment is known by its index, not by the time."""

_SETTLING_ATTEMPTS: Final = 3
_LOOK_INTERVAL_S: Final = 0.3

_TEARDOWN_TIMEOUT_S: Final = 8.0
_NOT_SEEN: Final = "it is not known which frames of the stream show this"
_LEFT: Final = "the stream was left before the window was over"
_NO_WINDOW: Final = "no window looks at these frames"

_logger = logging.getLogger(__name__)


class V1StreamRun:
    """Leases a stream, publishes into it and asks about its windows until it is drained or lost.

    Args:
        place: The session's parts.
    """

    def __init__(self, place: Workplace) -> None:
        self.place = place
        self._departure = Departure(place)
        self._http = place.clients.v1(place.service).http
        self._asking = Asking(place)
        self._cells = WindowCells(self._plan_of(place.assignment))
        self._stretch = Stretch(place.clock)
        self._is_fruitful = False
        self._end_us = 0

    async def run(self, first: PendingFrame) -> None:
        """Publish from `first` on until everything is answered.

        The stream is deleted in any case, also when this is cancelled.

        Raises:
            OvershootFlowError: No stream could be leased, or it is lost; the unsettled frames are
                left in the media log.
        """
        self.place.machine.move(SessionState.CREATING)
        created = await self._create_stream()
        self.place.machine.move(SessionState.CONNECTING)
        with log_context(stream_id=created.stream_id):
            _logger.info("%s: a stream is leased", self._stream_key)
            await self._use(created, first)

    @property
    def leaving(self) -> Leaving | None:
        """Why it is left, or None if the media has ended."""
        return self._departure.leaving

    @property
    def expected_cents(self) -> float:
        """What one more question would cost; the lease costs nothing."""
        return self._asking.expected_cents

    @property
    def _stream_key(self) -> str:
        return self.place.feed.account.stream_key

    async def _create_stream(self) -> StreamCreated:
        """Lease a stream; when cancelled meanwhile, delete what the service leases all the same."""
        creating = asyncio.ensure_future(self._http.create_stream())
        try:
            return await asyncio.shield(creating)
        except asyncio.CancelledError:
            try:
                await self._http.delete_stream((await creating).stream_id)
            except OvershootFlowError as error:
                _logger.warning("a stream was being created while stopping: %s", error)
            raise

    async def _use(self, created: StreamCreated, first: PendingFrame) -> None:
        place = self.place
        picture = first.picture
        renewal = V1Renewal(self._http, created, place.status, place.clock)
        kind = CameraPictures if place.feed.account.live else ArchivePictures
        self._pictures: CameraPictures | ArchivePictures = kind(
            created.stream_id,
            lambda: renewal.room,
            self._http,
            connect_timeout_s=place.service.connect_timeout_s,
            clock=place.clock,
        )
        self._jobs = WindowJobs(
            created.stream_id, self._pictures.indices, picture.width, picture.height
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(self._asking.run(), name="ask-about-windows")
                helpers = [tasks.create_task(renewal.renew(), name="renew-lease")]
                # A camera's picture is let go when it is noted.
                self._note_published(first)
                await self._pictures.begin(first.pts_us, picture)
                place.machine.move(SessionState.LIVE)
                if not place.feed.account.live:
                    self._stretch.add(first)
                helpers += [
                    tasks.create_task(self._watch(), name="watch-stream"),
                    tasks.create_task(self._pictures.publication.stay(), name="stay-in-room"),
                ]
                await self._publish(first)
                await self._end_windows()
                self._asking.end()
                await asking
                for helper in helpers:
                    helper.cancel()
            self._leave_open_windows()
            place.machine.move(SessionState.CLOSED if place.feed.ended else SessionState.WAITING)
        except* OvershootFlowError as group:
            error = most_telling(group)
            _logger.info("stream %s is lost: %s", created.stream_id, error)
            raise error from None
        finally:
            self._leave_unsettled()
            await self._tear_down(created.stream_id)

    def _leave_unsettled(self) -> None:
        """What is not recorded goes to where the session looks for it."""
        if self._asking.windows_recorded:
            self.place.machine.answered()
        frames = [
            *self._asking.unsettled(),
            *self._jobs.take_unsettled(),
            *self._cells.take_unsettled(),
        ]
        for frame in frames:
            self.place.media.published(frame, frame.published_at_s or 0.0)

    def _note_published(self, pending: PendingFrame) -> None:
        place = self.place
        pending.published_at_s = place.clock.monotonic_s()
        self._departure.note_frame(pending)
        place.status.published(pending, place.clock.wall_us())
        place.feed.take_next()
        place.feed.keep_pixels(pending)
        self._end_us = pending.end_us
        over = self._cells.push(pending)
        self._is_fruitful = self._is_fruitful or bool(over)
        self._jobs.add(over)

    # -- Publishing

    async def _publish(self, first: PendingFrame) -> None:
        place = self.place
        pacer = Pacer(first.pts_us, place.clock.monotonic_s(), longest_pause_s=LONGEST_PAUSE_S)
        while True:
            pending = await self._next_frame()
            if pending is None:
                if await self._goes_on():
                    continue
                break
            if not place.feed.account.live:
                if self._stretch.is_full_before(pending):
                    await self._settle_stretch()
                now_s = place.clock.monotonic_s()
                await asyncio.sleep(pacer.due_s(pending.pts_us, now_s) - now_s)
                await self._asking.room()
            if await self._pictures.show(pending.pts_us, pending.picture):
                self._note_published(pending)
                if not place.feed.account.live:
                    self._stretch.add(pending)
            else:
                place.feed.skip_undecodable()
        place.machine.move(SessionState.DRAINING)

    async def _next_frame(self) -> PendingFrame | None:
        """Wait for a frame; an archive that is slow does not hold up what is published."""
        if self._stretch.frames:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._stretch.left_s):
                    return await self.place.feed.next_frame()
            await self._settle_stretch()
        return await self.place.feed.next_frame()

    async def _goes_on(self) -> bool:
        """No frame is to be published: say whether the next one may be."""
        if self._departure.must_end():
            return False
        assignment = self.place.feed.take_assignment()
        if assignment is not None:
            await self._ask_differently(assignment)
        return True

    def _plan_of(self, assignment: Assignment) -> WindowPlan:
        begins_us = self.place.feed.account.begins_us
        return from_origin(assignment.inference.window_plan, begins_us)

    async def _ask_differently(self, assignment: Assignment) -> None:
        """The next windows are asked something else."""
        plan = self._plan_of(assignment)
        if plan != self._cells.plan:
            self._close_windows()
            await self._settle_stretch()
            self._cells = WindowCells(plan)
        self.place.take_over(assignment)

    # -- From pictures to windows that can be asked about

    async def _settle_stretch(self) -> None:
        """Wait until the service has what was published; publish it again if some was lost."""
        begun_s = self.place.clock.monotonic_s()
        # An access unit that is decoded twice is another picture.
        can_repeat = all(isinstance(each.frame, Frame) for each in self._stretch.frames)
        for attempts_left in reversed(range(_SETTLING_ATTEMPTS if can_repeat else 1)):
            if await self._pictures.settle(at_last=not attempts_left):
                break
            for pending in self._stretch.frames:
                await asyncio.sleep(LONGEST_PAUSE_S)
                await self._pictures.show(pending.pts_us, pending.picture)
        self._stretch.settled(self.place.clock.monotonic_s() - begun_s)
        self._ask_located()

    def _ask_located(self) -> None:
        """Hand on the windows whose frames are known to be there."""
        place = self.place
        for each in self._jobs.take_located(self._pictures.publication.delivery):
            if isinstance(each, WindowJob):
                self._asking.put(place.assignment, each)
            elif each.settles:
                place.feed.settled(each.settles)
                place.feed.account.put(
                    place.outcomes.lost(each.settles, GapReason.STREAM_LOST, _NOT_SEEN)
                )
        needed_us = self._jobs.needed_from_us(self._cells.needed_from_us)
        if needed_us is not None:
            self._pictures.indices.forget_before(needed_us)

    async def _end_windows(self) -> None:
        """Nothing more is published: wait until all that is over can be asked about."""
        account = self.place.feed.account
        # The windows of an archive that goes on later are left to be filled then.
        if account.live or (self.place.feed.ended and not account.ending):
            self._close_windows()
        await self._settle_stretch()

    def _close_windows(self) -> None:
        """The open windows end where the media does."""
        place = self.place
        self._jobs.add(self._cells.finish(self._end_us))
        if rest := self._cells.take_unsettled():
            place.feed.settled(rest)
            place.feed.account.put(place.outcomes.lost(rest, GapReason.NO_ANSWER, _NO_WINDOW))

    def _leave_open_windows(self) -> None:
        """What was published for windows that are not over comes again: here, or in a later run."""
        place = self.place
        rest = self._cells.take_unsettled()
        if rest and place.feed.account.ending:
            place.feed.account.leave(place.outcomes.step_id, len(rest))
        elif rest:
            place.feed.again(rest, _LEFT)

    # -- Watching

    async def _watch(self) -> None:
        """Look what the service has of a camera, and whether the stream is to be left."""
        place, pictures = self.place, self._pictures
        while True:
            await asyncio.sleep(_LOOK_INTERVAL_S)
            if place.machine.state is not SessionState.LIVE:
                continue
            if isinstance(pictures, CameraPictures):
                await self._look(pictures)
            place.status.delivered(pictures.publication.delivery)
            self._look_whether_to_leave()

    async def _look(self, pictures: CameraPictures) -> None:
        try:
            await pictures.look()
        except TRANSIENT_ERRORS as error:
            # Whether the stream still lives is for the lease to say.
            _logger.warning("it is not known what the service has received: %s", error)
            return
        self._ask_located()

    def _look_whether_to_leave(self) -> None:
        # An archive publishes the frames of an open window again: without one that is over, it
        # would never get any further.
        self._departure.look(may_yield=self.place.feed.account.live or self._is_fruitful)
        if self._asking.is_over_budget:
            self._departure.leave(Leaving.BUDGET)

    async def _tear_down(self, stream_id: str) -> None:
        """Leave the room, delete the stream: in this order."""
        try:
            async with asyncio.timeout(_TEARDOWN_TIMEOUT_S):
                await self._pictures.publication.end()
                await self._http.delete_stream(stream_id)
        except (OvershootFlowError, TimeoutError) as error:
            _logger.warning(
                "stream %s could not be deleted and ends with its lease: %s",
                stream_id,
                str(error) or "no answer in time",
            )
