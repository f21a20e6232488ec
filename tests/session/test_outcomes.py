"""Outcomes say with which prompt, schema and labels an answer was made."""

from __future__ import annotations

import dataclasses
import pickle
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from overshoot_flow.config import Inference
from overshoot_flow.protocol.media_map import MediaInterval, Settlement
from overshoot_flow.protocol.v02 import KeepaliveAnswer, ResultMessage
from overshoot_flow.results import Failure, GapReason, Outcome, Result
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.session.clock import SystemClock
from overshoot_flow.session.inbox import NotPublished
from overshoot_flow.session.outcomes import Delivery, OutcomeFactory, PendingFrame

COUNT = {"type": "object", "properties": {"n": {"type": "integer"}}}
LABELS = {"site": "north", "gate": "2"}
BEFORE = Inference(prompt="How many?", output_schema=COUNT)
AFTER = replace(BEFORE, prompt="How many, now?")

Factory = OutcomeFactory


def factory(inference: Inference = AFTER, **changes: Any) -> Factory:
    schema = inference.output_schema
    return OutcomeFactory(
        step_id="ask",
        stream_key="cam-1",
        source="camera",
        inference=inference,
        schema=None if schema is None else OutputSchema(schema),
        clock=SystemClock(),
        **changes,
    )


def frame(pts_us: int) -> PendingFrame:
    return PendingFrame(
        pts_us=pts_us, duration_us=10, captured_at_us=None, capture_basis="media", frame=None
    )


def answered(outcomes: Factory, *, prompt: str | None, result: str = '{"n": 1}') -> Outcome:
    message = ResultMessage(
        id="1",
        stream_id="s",
        mode=None,
        model_backend=None,
        model_name=None,
        prompt=prompt,
        result=result,
        inference_latency_ms=None,
        total_latency_ms=None,
        ok=True,
        error=None,
        finish_reason="stop",
    )
    settlement: Settlement[PendingFrame] = Settlement((frame(0),), (), ())
    piece = outcomes.answer(message, 1, MediaInterval(0, 10, 0), settlement, Delivery())
    (outcome,) = piece.outcomes
    return outcome


@pytest.mark.parametrize(("result", "kind"), [('{"n": 1}', Result), ("no JSON", Failure)])
def test_an_answer_to_the_old_prompt_has_the_version_of_the_old_one(result: str, kind: Any) -> None:
    outcomes = factory()
    for asked in (BEFORE, AFTER, BEFORE):
        outcome = answered(outcomes, prompt=asked.prompt, result=result)
        assert isinstance(outcome, kind)
        assert (outcome.prompt, outcome.prompt_version) == (asked.prompt, asked.prompt_version)


@pytest.mark.parametrize("said", [None, "", "  ", "\ud800"])
def test_a_prompt_that_cannot_have_been_asked_says_nothing(said: str | None) -> None:
    outcome = answered(factory(), prompt=said)
    assert isinstance(outcome, Result)
    assert (outcome.prompt, outcome.prompt_version) == (AFTER.prompt, AFTER.prompt_version)


def test_the_version_follows_a_changed_question_although_the_prompt_is_the_same() -> None:
    outcomes = factory()
    other = replace(AFTER, model="another")
    for inference in (AFTER, other):
        outcomes.inference = inference
        outcome = answered(outcomes, prompt=AFTER.prompt)
        assert isinstance(outcome, Result)
        assert outcome.prompt_version == inference.prompt_version


def test_a_result_has_the_schema_that_it_was_checked_with() -> None:
    outcomes = factory()
    checked = answered(outcomes, prompt=None)
    outcomes.schema = None
    text = answered(outcomes, prompt=None)
    assert isinstance(checked, Result)
    assert checked.schema_json == OutputSchema(COUNT).canonical
    assert isinstance(text, Result)
    assert text.schema_json is None


def test_a_repair_is_recorded_and_its_level_obeyed() -> None:
    fenced = '```json\n{"n": 1}\n```'
    result = answered(factory(), prompt=None, result=fenced)
    assert isinstance(result, Result)
    assert (result.output, result.repaired, result.raw_text) == ({"n": 1}, True, fenced)
    plain = answered(factory(), prompt=None)
    assert isinstance(plain, Result)
    assert not plain.repaired
    refused = answered(factory(replace(AFTER, repair="none")), prompt=None, result=fenced)
    assert isinstance(refused, Failure)


def test_a_dead_letter_has_what_it_takes_to_become_a_result() -> None:
    letter = answered(factory(), prompt=None, result='{"n": "1"}')
    result = answered(factory(), prompt=None)
    assert isinstance(letter, Failure)
    assert isinstance(result, Result)
    own = {"output", "raw_text", "then", "repaired"}
    for each in dataclasses.fields(Result):
        if each.name not in own:
            assert getattr(letter, each.name) == getattr(result, each.name), each.name


def test_every_outcome_has_the_labels_and_reaches_another_process() -> None:
    outcomes = factory(labels=MappingProxyType(LABELS))
    filtered = NotPublished(
        source="camera", start_us=0, end_us=10, frames=1, reason=GapReason.FILTERED, detail=""
    )
    renewed = KeepaliveAnswer(
        ttl_s=45.0,
        credits_remaining_cents=None,
        cost_cents=0.5,
        seconds_charged=15.0,
        livekit_token=None,
    )
    pieces = [
        outcomes.deadline([frame(0)], "s"),
        outcomes.outside_contract("?", "no JSON", "s"),
        outcomes.lost([frame(0)], GapReason.STOPPED, ""),
        outcomes.not_published(filtered),
        outcomes.not_published(replace(filtered, failure=True)),
        outcomes.usage("s", renewed),
    ]
    said = [outcome for piece in pieces for outcome in piece.outcomes]
    said += [answered(outcomes, prompt=None), answered(outcomes, prompt=None, result="no JSON")]
    assert len(said) == 8
    for outcome in said:
        copy = pickle.loads(pickle.dumps(outcome))  # noqa: S301 - our own bytes
        assert copy == outcome
        assert copy.labels == LABELS


def test_without_labels_there_are_none() -> None:
    outcome = answered(factory(), prompt=None)
    assert outcome.labels == {}
