"""Turns what happened to frames into outcomes, with the identity of their stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from overshoot_flow.config import Inference
from overshoot_flow.media.access_units import Picture
from overshoot_flow.media.frames import CaptureBasis
from overshoot_flow.protocol.key_frames import KeyFrameStatistics
from overshoot_flow.protocol.media_map import MediaInterval, Settlement
from overshoot_flow.protocol.v02 import KeepaliveAnswer, ResultMessage
from overshoot_flow.results import (
    Failure,
    FailureReason,
    Gap,
    GapReason,
    Outcome,
    Piece,
    Result,
    Usage,
    result_id,
)
from overshoot_flow.schema.json_schema import OutputSchema, Parsed, Rejected
from overshoot_flow.schema.repair import check_answer
from overshoot_flow.session.answered_questions import AnsweredQuestions
from overshoot_flow.session.clock import Clock
from overshoot_flow.session.inbox import NotPublished


@dataclass(slots=True)
class PendingFrame:
    """A frame or access unit from its arrival at the session until an outcome settles it.

    `frame` holds the picture while it may be needed to publish it again; None afterwards.
    """

    pts_us: int
    duration_us: int
    captured_at_us: int | None
    capture_basis: CaptureBasis
    frame: Picture | None
    released: bool = False
    """Whether the source was told that this frame has left the way to the publisher."""
    published_at_s: float | None = None
    """Monotonic time at which it was handed to the sender, the last time."""

    @classmethod
    def of(cls, frame: Picture) -> PendingFrame:
        """Wrap a picture that has just arrived."""
        return cls(
            pts_us=frame.pts_us,
            duration_us=frame.duration_us,
            captured_at_us=frame.captured_at_us,
            capture_basis=frame.capture_basis,
            frame=frame,
        )

    @property
    def picture(self) -> Picture:
        """The picture of a frame that is not published yet.

        Raises:
            RuntimeError: It was let go: a defect of the caller.
        """
        if self.frame is None:
            msg = "an unpublished frame has lost its picture"
            raise RuntimeError(msg)
        return self.frame

    @property
    def end_us(self) -> int:
        """Where this frame's time ends."""
        return self.pts_us + max(1, self.duration_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What the sender has counted when an answer came."""

    width: int | None = None
    height: int | None = None
    captured: int = 0
    sent: int | None = None
    connection: int = 0
    """Which connection of the process has counted; each one begins at 0."""
    key_frames: KeyFrameStatistics | None = None
    """Set when encoded video is published as it is."""


@dataclass(slots=True)
class OutcomeFactory:
    """Makes the pieces of one stream key.

    Every outcome gets a plain copy of the labels: it may cross processes, which not every mapping
    can.

    Args:
        step_id: The `infer` step that the pieces belong to.
        stream_key: Key of the source partition.
        source: The source as people read it, without credentials.
        inference: What is asked.
        schema: The compiled output schema, or None for text answers.
        clock: Gives the time of recording.
        labels: Names and values of the user's own for every outcome.
    """

    step_id: str
    stream_key: str
    source: str
    inference: Inference
    schema: OutputSchema | None
    clock: Clock
    frontier_us: int = 0
    """Where the newest settled media ends."""
    labels: Mapping[str, str] = field(default_factory=dict)
    _answered: AnsweredQuestions = field(default_factory=AnsweredQuestions, init=False, repr=False)

    def ask(
        self, inference: Inference, schema: OutputSchema | None, labels: Mapping[str, str]
    ) -> None:
        """From here on this is asked."""
        self.inference = inference
        self.schema = schema
        self.labels = labels

    def _piece(self, start_us: int, end_us: int, *outcomes: Outcome) -> Piece:
        self.frontier_us = max(self.frontier_us, end_us)
        return Piece(
            step_id=self.step_id,
            stream_key=self.stream_key,
            start_us=start_us,
            end_us=end_us,
            outcomes=outcomes,
        )

    def answer(
        self,
        message: ResultMessage,
        received_at_us: int,
        interval: MediaInterval,
        settlement: Settlement[PendingFrame],
        delivery: Delivery,
    ) -> Piece:
        """Judge an answer; what it settles becomes part of its record."""
        outcomes: list[Outcome] = []
        if settlement.unanswered:
            outcomes.append(
                self._gap(
                    settlement.unanswered, GapReason.NO_ANSWER, "no answer came for this time"
                )
            )
        outcomes.append(self._judged(message, received_at_us, interval, settlement, delivery))
        settled = (*settlement.unanswered, *settlement.between, *settlement.covered)
        start_us = min([interval.start_us, *(frame.pts_us for frame in settled[:1])])
        return self._piece(start_us, interval.end_us, *outcomes)

    def _judged(
        self,
        message: ResultMessage,
        received_at_us: int,
        interval: MediaInterval,
        settlement: Settlement[PendingFrame],
        delivery: Delivery,
    ) -> Result | Failure:
        identity = result_id(self.stream_key, message.stream_id, message.id)
        parsed: Parsed | None = None
        rejected: Rejected | None = None
        if not message.ok:
            rejected = Rejected(FailureReason.MODEL_ERROR, message.error or "the model failed")
        elif self.schema is not None:
            verdict = check_answer(
                self.schema, message.result or "", message.finish_reason, self.inference.repair
            )
            if isinstance(verdict, Rejected):
                rejected = verdict
            else:
                parsed = verdict
        elif message.finish_reason == "content_filter":
            rejected = Rejected(FailureReason.CONTENT_FILTER, "the service's filter withheld it")
        captured = [f for f in settlement.covered if f.captured_at_us is not None]
        schema_json = None if self.schema is None else self.schema.canonical
        if rejected is not None:
            failure = self._failure(
                rejected,
                identity,
                interval,
                covered=len(settlement.covered),
                between=len(settlement.between),
                settled=_settled_span(settlement),
                stream_id=message.stream_id,
                model=message.model_name,
                backend=message.model_backend,
                prompt=message.prompt,
                raw_text=message.result,
                finish_reason=message.finish_reason,
                received_at_us=received_at_us,
            )
            return replace(
                failure,
                captured_start_us=captured[0].captured_at_us if captured else None,
                captured_end_us=captured[-1].captured_at_us if captured else None,
                capture_basis=captured[-1].capture_basis if captured else "media",
                inference_latency_ms=message.inference_latency_ms,
                total_latency_ms=message.total_latency_ms,
                delivered_width=delivery.width,
                delivered_height=delivery.height,
                frames_published_total=delivery.captured,
                frames_sent_total=delivery.sent,
                schema_json=schema_json,
            )
        question = self._answered.by_prompt(self.inference, message.prompt)
        settled_start_us, settled_end_us = _settled_span(settlement)
        return Result(
            result_id=identity,
            stream_key=self.stream_key,
            source=self.source,
            media_start_us=interval.start_us,
            media_end_us=interval.end_us,
            media_uncertainty_us=interval.uncertainty_us,
            captured_start_us=captured[0].captured_at_us if captured else None,
            captured_end_us=captured[-1].captured_at_us if captured else None,
            capture_basis=captured[-1].capture_basis if captured else "media",
            stream_id=message.stream_id,
            mode=self.inference.mode.name,
            backend=message.model_backend or self.inference.backend,
            model=message.model_name or self.inference.model,
            prompt=question.prompt,
            prompt_version=question.version,
            raw_text=message.result or "",
            output=None if parsed is None else parsed.document,
            repaired=parsed is not None and parsed.repaired,
            finish_reason=message.finish_reason,
            inference_latency_ms=message.inference_latency_ms,
            total_latency_ms=message.total_latency_ms,
            received_at_us=received_at_us,
            delivered_width=delivery.width,
            delivered_height=delivery.height,
            frames_published_total=delivery.captured,
            frames_sent_total=delivery.sent,
            frames_covered=len(settlement.covered),
            frames_between=len(settlement.between),
            settled_start_us=settled_start_us,
            settled_end_us=settled_end_us,
            schema_json=schema_json,
            labels=dict(self.labels),
        )

    def _failure(
        self,
        rejected: Rejected,
        identity: str,
        interval: MediaInterval,
        *,
        covered: int,
        settled: tuple[int | None, int | None],
        received_at_us: int,
        between: int = 0,
        stream_id: str | None = None,
        model: str | None = None,
        backend: str | None = None,
        prompt: str | None = None,
        raw_text: str | None = None,
        finish_reason: str | None = None,
    ) -> Failure:
        question = self._answered.by_prompt(self.inference, prompt)
        return Failure(
            result_id=identity,
            stream_key=self.stream_key,
            source=self.source,
            reason=rejected.reason,
            detail=rejected.detail,
            instance_path=rejected.instance_path,
            schema_path=rejected.schema_path,
            media_start_us=interval.start_us,
            media_end_us=interval.end_us,
            media_uncertainty_us=interval.uncertainty_us,
            stream_id=stream_id,
            mode=self.inference.mode.name,
            backend=backend or self.inference.backend,
            model=model or self.inference.model,
            prompt=question.prompt,
            prompt_version=question.version,
            raw_text=raw_text,
            finish_reason=finish_reason,
            received_at_us=received_at_us,
            frames_covered=covered,
            frames_between=between,
            settled_start_us=settled[0],
            settled_end_us=settled[1],
            labels=dict(self.labels),
        )

    def deadline(self, frames: Sequence[PendingFrame], stream_id: str | None) -> Piece:
        """No answer about `frames` (at least one) came in time."""
        interval = _span(frames)
        failure = self._failure(
            Rejected(FailureReason.DEADLINE, "no answer came before the deadline"),
            result_id(self.stream_key, "deadline", interval.start_us, interval.end_us),
            interval,
            covered=len(frames),
            settled=(interval.start_us, interval.end_us),
            stream_id=stream_id,
            received_at_us=self.clock.wall_us(),
        )
        return self._piece(interval.start_us, interval.end_us, failure)

    def outside_contract(
        self, raw_text: str, detail: str, stream_id: str, raw_bytes: bytes | None = None
    ) -> Piece:
        """A message that cannot be read; what it was about is unknown, so it settles nothing."""
        at = MediaInterval(self.frontier_us, self.frontier_us, 0)
        failure = self._failure(
            Rejected(FailureReason.CONTRACT, detail),
            result_id(self.stream_key, stream_id, self.clock.wall_us(), raw_text),
            at,
            covered=0,
            settled=(None, None),
            stream_id=stream_id,
            raw_text=raw_text,
            received_at_us=self.clock.wall_us(),
        )
        failure = replace(failure, raw_bytes=raw_bytes)
        return self._piece(at.start_us, at.end_us, failure)

    def lost(self, frames: Sequence[PendingFrame], reason: GapReason, detail: str) -> Piece:
        """`frames` (at least one) will never be answered."""
        span = _span(frames)
        return self._piece(span.start_us, span.end_us, self._gap(frames, reason, detail))

    def not_published(self, item: NotPublished) -> Piece:
        """Record frames, or a stretch of media, that never came to be published."""
        outcome: Outcome
        if item.failure:
            interval = MediaInterval(item.start_us, item.end_us, 0)
            outcome = self._failure(
                Rejected(FailureReason.USER_FUNCTION, item.detail),
                result_id(self.stream_key, "user_function", item.start_us, item.end_us),
                interval,
                covered=item.frames,
                settled=(item.start_us, item.end_us),
                received_at_us=self.clock.wall_us(),
            )
        else:
            outcome = Gap(
                stream_key=self.stream_key,
                source=item.source,
                media_start_us=item.start_us,
                media_end_us=item.end_us,
                reason=item.reason,
                detail=item.detail,
                frames_lost=item.frames,
                recorded_at_us=self.clock.wall_us(),
                labels=dict(self.labels),
            )
        return self._piece(item.start_us, item.end_us, outcome)

    def usage(self, stream_id: str, answer: KeepaliveAnswer) -> Piece:
        """Record what a keepalive said about money; it settles no media."""
        usage = Usage(
            stream_key=self.stream_key,
            source=self.source,
            stream_id=stream_id,
            model=self.inference.model,
            at_us=self.clock.wall_us(),
            seconds_charged=answer.seconds_charged,
            cost_cents=answer.cost_cents,
            credits_remaining_cents=answer.credits_remaining_cents,
            labels=dict(self.labels),
        )
        return self._piece(self.frontier_us, self.frontier_us, usage)

    def _gap(self, frames: Sequence[PendingFrame], reason: GapReason, detail: str) -> Gap:
        span = _span(frames)
        return Gap(
            stream_key=self.stream_key,
            source=self.source,
            media_start_us=span.start_us,
            media_end_us=span.end_us,
            reason=reason,
            detail=detail,
            frames_lost=len(frames),
            recorded_at_us=self.clock.wall_us(),
            labels=dict(self.labels),
        )


def _span(frames: Sequence[PendingFrame]) -> MediaInterval:
    return MediaInterval(frames[0].pts_us, max(frame.end_us for frame in frames), 0)


def _settled_span(settlement: Settlement[PendingFrame]) -> tuple[int | None, int | None]:
    frames = (*settlement.between, *settlement.covered)
    return (frames[0].pts_us, frames[-1].end_us) if frames else (None, None)
