"""The operator that asks Overshoot about video."""

from __future__ import annotations

from dataclasses import dataclass, field

import bytewax.operators as op
from bytewax.dataflow import Stream

from overshoot_flow.assignment import Assignment
from overshoot_flow.config import Inference, Service
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.items import (
    Assigned,
    EndOfMedia,
    FrameFailed,
    FrameFiltered,
    FrameLike,
    Item,
    MediaGap,
    StreamOver,
    Tick,
)
from overshoot_flow.media.access_units import AccessUnit
from overshoot_flow.media.frames import Frame
from overshoot_flow.results import GapReason, Heartbeat, Outcome, Piece
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.session.clock import SystemClock
from overshoot_flow.session.inbox import End, Inbox, InboxItem, NotPublished
from overshoot_flow.session.ledger import LEDGER, Account
from overshoot_flow.session.runtime import RUNTIME
from overshoot_flow.session.status import STATUSES
from overshoot_flow.spending import Budget, RunBudget


def infer(
    step_id: str,
    frames: Stream[Item],
    inference: Inference | None = None,
    service: Service | None = None,
    *,
    budget: Budget | None = None,
) -> Stream[Outcome | Heartbeat]:
    """Publish frames into leased streams, one per stream key, and emit the outcomes.

    No exchange happens: everything of a stream stays on the worker that reads it, and pixels
    never cross a worker. Answers are emitted with the source's ticks, so that the read position
    and the emission fall into the same epoch. In every epoch there is a heartbeat as well.

    Delivery: every frame that reaches this step is settled by exactly one outcome (see
    `overshoot_flow.results`). With a recovery store, a run that goes on after a crash asks about
    exactly the media whose outcomes were not emitted in a finished epoch.

    Args:
        step_id: Unique name of this step.
        frames: Stream of an overshoot-flow source, perhaps through `map_frames` and
            `filter_frames`.
        inference: What is asked; None if the source says it for each of its streams, as
            `FleetSource` does.
        service: Where it is asked; None together with `inference`.
        budget: How much may be spent; None for no limit. What it does not allow is a gap with the
            reason `budget`, and an archive is not read on. A source that says what is asked says
            the budget too.

    Raises:
        UnsupportedSchemaError: The output schema has no typed column form; it names the path.
        ConfigurationError: Only one of the two is given. While the flow runs: the frames do not
            come from a source of this library on the same worker, an operator in between
            swallowed some, or nobody has said what is to be asked.
    """
    if (inference is None) != (service is None):
        raise ConfigurationError(f"step {step_id}: give inference and service, or neither of them")
    assignment = None
    if inference is not None and service is not None:
        if inference.json_schema is not None:
            OutputSchema(inference.json_schema)
        assignment = _assignment(inference, service, budget or Budget())
    return op.flat_map_batch(step_id, frames, InferStep(step_id, assignment))


def _assignment(inference: Inference, service: Service, budget: Budget) -> Assignment:
    run = None if budget.run_cents is None else RunBudget(budget.run_cents)
    return Assignment(
        inference=inference,
        services=(service,),
        budget_cents=budget.stream_cents,
        run_budget=run,
    )


@dataclass(slots=True)
class _Stream:
    """What `infer` knows of one stream key."""

    inbox: Inbox
    account: Account
    frames_seen: int = 0


@dataclass(slots=True)
class InferStep:
    """The step's function. Several workers share it; each stream key belongs to one of them."""

    step_id: str
    assignment: Assignment | None
    _streams: dict[str, _Stream] = field(default_factory=dict)
    _assigned: dict[str, Assignment] = field(default_factory=dict)
    _remembered: set[str] = field(default_factory=set)

    def __call__(self, items: list[Item]) -> list[Outcome | Heartbeat]:
        """Hand frames over, and return what the ticks bring back."""
        said: list[Outcome | Heartbeat] = []
        for item in items:
            if isinstance(item, Tick):
                self._notice_missing(item)
                self._remember_spending(item.stream_key)
                said.append(Heartbeat(stream_key=item.stream_key))
                for piece in item.pieces:
                    if piece.step_id == self.step_id:
                        said += piece.outcomes
                        self._note_emitted(piece)
            elif isinstance(item, EndOfMedia):
                self._end(item)
            elif isinstance(item, Assigned):
                self._assign(item)
            elif isinstance(item, StreamOver):
                self._forget(item.stream_key)
            else:
                self._hand_over(item)
        return said

    def _note_emitted(self, piece: Piece) -> None:
        status = STATUSES.of(self.step_id, piece.stream_key)
        status.emitted(piece.outcomes, SystemClock().wall_us())

    def _stream(self, stream_key: str, source: str) -> _Stream:
        account = LEDGER.account(stream_key)
        stream = self._streams.get(stream_key)
        if stream is not None:
            return stream
        if account is None:
            raise ConfigurationError(
                f"step {self.step_id}: no overshoot-flow source of this process has the "
                f"stream {stream_key!r}; feed infer from FileSource or a ReaderPartition, on "
                "the same worker"
            )
        assigned = self._assigned.get(stream_key)
        assignment = assigned or self.assignment
        if assignment is None:
            raise ConfigurationError(
                f"step {self.step_id}: nobody says what is asked about {stream_key!r}; give infer "
                "an inference and a service, or a source that does"
            )
        session = RUNTIME.open_session(
            step_id=self.step_id,
            source=source,
            account=account,
            assignment=assignment,
            reassignable=assigned is not None,
        )
        stream = self._streams[stream_key] = _Stream(session.inbox, account)
        return stream

    def _assign(self, item: Assigned) -> None:
        self._assigned[item.stream_key] = item.assignment
        stream = self._streams.get(item.stream_key)
        if stream is None:
            return
        if stream.account is LEDGER.account(item.stream_key):
            stream.inbox.put(item.assignment)
        else:
            # It was taken out of its source and has come back: everything is counted anew.
            del self._streams[item.stream_key]

    def _forget(self, stream_key: str) -> None:
        self._streams.pop(stream_key, None)
        self._assigned.pop(stream_key, None)
        self._remembered.discard(stream_key)

    def _remember_spending(self, stream_key: str) -> None:
        """What earlier parts of the run have spent counts, whether or not more is asked."""
        budget = None if self.assignment is None else self.assignment.run_budget
        if budget is None or stream_key in self._remembered:
            return
        self._remembered.add(stream_key)
        account = LEDGER.account(stream_key)
        if account is not None:
            budget.spending.spend(account.spending.before_cents)

    def _hand_over(self, item: FrameLike | MediaGap) -> None:
        stream = self._stream(item.stream_key, item.source)
        if isinstance(item, MediaGap):
            stream.frames_seen += item.frames_lost
            # One without a length is no moment of the media: the source could not be opened.
            moment = item.end_us > item.start_us
            if moment and stream.account.finished_before(self.step_id, item.start_us):
                stream.account.release(self.step_id, item.frames_lost)
                return
        else:
            stream.frames_seen += 1
            if stream.account.finished_before(self.step_id, item.pts_us):
                stream.account.release(self.step_id)
                return
        stream.inbox.put(_inbox_item(item))

    def _notice_missing(self, item: Tick | EndOfMedia) -> None:
        """Frames that an operator in between swallowed would be neither answered nor recorded."""
        stream = self._streams.get(item.stream_key)
        seen = 0 if stream is None else stream.frames_seen
        if item.frames_emitted != seen:
            raise ConfigurationError(
                f"step {self.step_id}: {item.frames_emitted - seen} frames of {item.stream_key!r} "
                "vanished between the source and infer; use filter_frames and map_frames instead "
                "of the engine's own operators, so that they are accounted for"
            )

    def _end(self, item: EndOfMedia) -> None:
        self._notice_missing(item)
        stream = self._streams.get(item.stream_key)
        if stream is not None:
            stream.inbox.put(End())


def _inbox_item(item: FrameLike | MediaGap) -> InboxItem:
    match item:
        case Frame() | AccessUnit():
            return item
        case FrameFiltered():
            reason, detail, failure = GapReason.FILTERED, "left out by the filter", False
        case FrameFailed():
            reason, detail, failure = GapReason.FILTERED, item.detail, True
        case MediaGap():
            return NotPublished(
                source=item.source,
                start_us=item.start_us,
                end_us=item.end_us,
                frames=item.frames_lost,
                reason=item.reason,
                detail=item.detail,
            )
    return NotPublished(
        source=item.source,
        start_us=item.pts_us,
        end_us=item.pts_us + max(1, item.duration_us),
        frames=1,
        reason=reason,
        detail=detail,
        failure=failure,
    )
