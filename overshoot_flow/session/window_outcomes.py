"""Turns what became of a window into outcomes, with the identity of its stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias

from overshoot_flow.assignment import Assignment
from overshoot_flow.inference import Inference
from overshoot_flow.protocol.fields import is_unicode
from overshoot_flow.protocol.v1_chat import ChatAnswer, TokenUsage
from overshoot_flow.protocol.windows import window_result_id
from overshoot_flow.repair_level import Repair
from overshoot_flow.results import (
    THEN_TEXT,
    Failure,
    FailureReason,
    Gap,
    GapReason,
    Outcome,
    Piece,
    Result,
    SecondAnswer,
    Usage,
)
from overshoot_flow.schema.json_schema import OutputSchema, Parsed, Rejected
from overshoot_flow.schema.repair import check_answer
from overshoot_flow.session.clock import Clock
from overshoot_flow.session.window_job import WindowJob
from overshoot_flow.session.workplace import Workplace

MODE: Final = "window"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A valid answer: the parsed document, or None for text."""

    answer: ChatAnswer
    text: str
    document: Any
    repaired: bool = False

    @property
    def content(self) -> Any:  # noqa: ANN401 - whatever the schema says
        """What the answer says: the document, or the text."""
        return self.text if self.document is None else self.document


Verdict: TypeAlias = Accepted | Rejected


def judged(answer: ChatAnswer, schema: OutputSchema | None, repair: Repair | str) -> Verdict:
    """Say whether `answer` is what was asked for, after a repair if it takes one."""
    if answer.finish_reason == "content_filter":
        return Rejected(FailureReason.CONTENT_FILTER, "the service's filter withheld it")
    if answer.text is None:
        return Rejected(FailureReason.CONTRACT, "the answer has no text")
    if schema is None:
        if not is_unicode(answer.text):
            return Rejected(FailureReason.CONTRACT, "a lone surrogate is not text")
        return Accepted(answer, answer.text, None)
    checked = check_answer(schema, answer.text, answer.finish_reason, repair)
    if isinstance(checked, Parsed):
        return Accepted(answer, answer.text, checked.document, checked.repaired)
    return checked


@dataclass
class WindowOutcomes:
    """Makes the pieces of one stream key whose windows are asked about.

    Args:
        step_id: The `infer` step that the pieces belong to.
        stream_key: Key of the source partition.
        source: The source as people read it, without credentials.
        identity: What the media is, the same whenever the same media is read.
        inference: What is asked.
        labels: Names and values of the user's own for every outcome.
        clock: Gives the time of recording.
    """

    step_id: str
    stream_key: str
    source: str
    identity: str
    inference: Inference
    labels: Mapping[str, str]
    clock: Clock

    @classmethod
    def of(cls, place: Workplace, assignment: Assignment) -> Self:
        """Return what records the windows of a session's stream that are asked `assignment`."""
        account = place.feed.account
        return cls(
            step_id=place.outcomes.step_id,
            stream_key=account.stream_key,
            source=place.outcomes.source,
            identity=account.identity or account.stream_key,
            inference=assignment.inference,
            labels=account.all_labels(assignment.labels),
            clock=place.clock,
        )

    def __post_init__(self) -> None:
        """Compile what is the same for all windows."""
        schema = self.inference.json_schema
        self.schema = None if schema is None else OutputSchema(schema)
        then = self.inference.then
        self.then_schema: OutputSchema | None = None
        self.then_form: str | None = None
        if then is not None:
            second = then.inference.json_schema
            self.then_schema = None if second is None else OutputSchema(second)
            self.then_form = THEN_TEXT if self.then_schema is None else self.then_schema.canonical

    def result_id(self, job: WindowJob) -> str:
        """Return the identity of the window's record."""
        return window_result_id(
            self.identity,
            job.window,
            prompt_version=self.inference.prompt_version,
            model=self.inference.model,
            output_schema=self.inference.json_schema,
        )

    def piece(self, job: WindowJob, *outcomes: Outcome) -> Piece:
        """Return what finishes `job`."""
        start_us = min([job.window.start_us, *(each.pts_us for each in job.settles[:1])])
        return Piece(
            step_id=self.step_id,
            stream_key=self.stream_key,
            start_us=start_us,
            end_us=job.until_us,
            outcomes=outcomes,
        )

    def bookkeeping(self, *outcomes: Outcome) -> Piece:
        """Return what finishes no media."""
        return Piece(
            step_id=self.step_id,
            stream_key=self.stream_key,
            start_us=0,
            end_us=0,
            outcomes=outcomes,
        )

    def result(
        self,
        job: WindowJob,
        accepted: Accepted,
        *,
        latency_ms: float,
        second: SecondAnswer | None,
    ) -> Result:
        """Record a valid answer."""
        captured = [each for each in job.seen if each.captured_at_us is not None]
        return Result(
            result_id=self.result_id(job),
            stream_key=self.stream_key,
            source=self.source,
            media_start_us=job.window.start_us,
            media_end_us=job.window.end_us,
            media_uncertainty_us=job.uncertainty_us,
            captured_start_us=captured[0].captured_at_us if captured else None,
            captured_end_us=captured[-1].captured_at_us if captured else None,
            capture_basis=captured[-1].capture_basis if captured else "media",
            stream_id=job.stream_id,
            mode=MODE,
            backend=self.inference.backend,
            model=accepted.answer.model or self.inference.model,
            prompt=self.inference.prompt,
            prompt_version=self.inference.prompt_version,
            raw_text=accepted.text,
            output=accepted.document,
            repaired=accepted.repaired,
            finish_reason=accepted.answer.finish_reason,
            inference_latency_ms=None,
            total_latency_ms=latency_ms,
            received_at_us=self.clock.wall_us(),
            delivered_width=job.delivery.width,
            delivered_height=job.delivery.height,
            frames_published_total=job.delivery.captured,
            frames_sent_total=job.delivery.sent,
            frames_covered=job.frames_covered,
            frames_between=len(job.settles) - job.frames_covered,
            settled_start_us=job.settles[0].pts_us if job.settles else None,
            settled_end_us=job.settles[-1].end_us if job.settles else None,
            schema_json=None if self.schema is None else self.schema.canonical,
            then_form=self.then_form,
            then=second,
            labels=dict(self.labels),
        )

    def failure(
        self,
        job: WindowJob,
        rejected: Rejected,
        answer: ChatAnswer | None,
        *,
        latency_ms: float | None = None,
    ) -> Failure:
        """Record an answer that is not valid, or that there is none."""
        captured = [each for each in job.seen if each.captured_at_us is not None]
        return Failure(
            result_id=self.result_id(job),
            stream_key=self.stream_key,
            source=self.source,
            reason=rejected.reason,
            detail=rejected.detail,
            instance_path=rejected.instance_path,
            schema_path=rejected.schema_path,
            media_start_us=job.window.start_us,
            media_end_us=job.window.end_us,
            media_uncertainty_us=job.uncertainty_us,
            stream_id=job.stream_id,
            mode=MODE,
            backend=self.inference.backend,
            model=(answer.model if answer is not None else None) or self.inference.model,
            prompt=self.inference.prompt,
            prompt_version=self.inference.prompt_version,
            raw_text=None if answer is None else answer.text,
            finish_reason=None if answer is None else answer.finish_reason,
            received_at_us=self.clock.wall_us(),
            frames_covered=job.frames_covered,
            frames_between=len(job.settles) - job.frames_covered,
            settled_start_us=job.settles[0].pts_us if job.settles else None,
            settled_end_us=job.settles[-1].end_us if job.settles else None,
            captured_start_us=captured[0].captured_at_us if captured else None,
            captured_end_us=captured[-1].captured_at_us if captured else None,
            capture_basis=captured[-1].capture_basis if captured else "media",
            total_latency_ms=latency_ms,
            delivered_width=job.delivery.width,
            delivered_height=job.delivery.height,
            frames_published_total=job.delivery.captured,
            frames_sent_total=job.delivery.sent,
            schema_json=None if self.schema is None else self.schema.canonical,
            then_form=self.then_form,
            labels=dict(self.labels),
        )

    def gap(self, job: WindowJob, reason: GapReason, detail: str) -> Gap:
        """Record that nobody was asked about the window."""
        start_us = min([job.window.start_us, *(each.pts_us for each in job.settles[:1])])
        return Gap(
            stream_key=self.stream_key,
            source=self.source,
            media_start_us=start_us,
            media_end_us=max(job.window.end_us, job.until_us),
            reason=reason,
            detail=detail,
            frames_lost=len(job.settles),
            recorded_at_us=self.clock.wall_us(),
            labels=dict(self.labels),
        )

    def usage(
        self, job: WindowJob, model: str, tokens: TokenUsage, cost_cents: float | None
    ) -> Usage:
        """Record what an answer has cost."""
        return Usage(
            stream_key=self.stream_key,
            source=self.source,
            stream_id=job.stream_id,
            model=model,
            at_us=self.clock.wall_us(),
            seconds_charged=None,
            cost_cents=cost_cents,
            credits_remaining_cents=None,
            prompt_tokens=tokens.prompt_tokens,
            completion_tokens=tokens.completion_tokens,
            cached_tokens=tokens.cached_input_tokens,
            result_id=self.result_id(job),
            labels=dict(self.labels),
        )

    def balance(self, cents: float) -> Usage:
        """Record what was left on the account at the start."""
        return Usage(
            stream_key=self.stream_key,
            source=self.source,
            stream_id=None,
            model=self.inference.model,
            at_us=self.clock.wall_us(),
            seconds_charged=None,
            cost_cents=None,
            credits_remaining_cents=cents,
            labels=dict(self.labels),
        )
