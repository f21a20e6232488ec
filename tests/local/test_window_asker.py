"""Windows are asked about: in order, with memory, a second question, and within a budget."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from local_server_support import KEY
from v1_support import V1Client, encoded, serving_v1

from overshoot_flow.assignment import Assignment
from overshoot_flow.config import Escalation, Inference, Secret, Service
from overshoot_flow.errors import AuthenticationError
from overshoot_flow.local.engines.base import EngineAnswer, Question, SeenFrame
from overshoot_flow.local.engines.pixels import measure
from overshoot_flow.media.frames import Frame
from overshoot_flow.protocol.v1_chat import DataUrl, ImagePart, MediaPart
from overshoot_flow.protocol.windows import Window
from overshoot_flow.results import Failure, FailureReason, Gap, GapReason, Outcome, Result, Usage
from overshoot_flow.session.clock import SystemClock
from overshoot_flow.session.ledger import Account
from overshoot_flow.session.outcomes import PendingFrame
from overshoot_flow.session.status import SessionStatus
from overshoot_flow.session.v1_access import V1Access
from overshoot_flow.session.window_asker import WindowAsker
from overshoot_flow.session.window_job import WindowJob
from overshoot_flow.session.window_outcomes import WindowOutcomes
from overshoot_flow.spending import RunBudget, Spending

STAMPS: dict[str, Any] = {
    "type": "object",
    "properties": {"stamps": {"type": "array", "items": {"type": "integer"}}},
    "required": ["stamps"],
    "additionalProperties": False,
}
INFERENCE = Inference(prompt="Which stamps?", model="local/pixels", output_schema=STAMPS)
SECOND_US = 1_000_000


@dataclass
class Rig:
    """An asker, and what it puts into its account."""

    asker: WindowAsker
    account: Account
    client: V1Client

    async def outcomes(self) -> list[Outcome]:
        await self.asker.drained()
        return [outcome for piece in self.account.take() for outcome in piece.outcomes]

    async def chats(self) -> list[dict[str, Any]]:
        chats: list[dict[str, Any]] = (await self.client.call("GET", "/_local/chats"))[1]
        return chats


@contextlib.asynccontextmanager
async def asking(
    inference: Inference = INFERENCE,
    *,
    key: str = KEY,
    budget: RunBudget | None = None,
    engine: Any = "pixels",
    v1: Any = None,
    **settings: Any,
) -> AsyncIterator[Rig]:
    knobs = {} if v1 is None else {"v1": v1}
    async with serving_v1(engine=engine, **knobs) as client:
        service = Service(key=Secret(key), base_url=f"{client.server.root_url}/v1", **settings)
        clock = SystemClock()
        access = V1Access(service, clock)
        account = Account("cam")
        account.attach("ask")
        asker = WindowAsker(
            service=service,
            access=access,
            outcomes=WindowOutcomes(
                step_id="ask",
                stream_key="cam",
                source="cam.mp4",
                identity="digest",
                inference=inference,
                labels={"site": "north"},
                clock=clock,
            ),
            account=account,
            settled=lambda _: None,
            assignment=Assignment(inference=inference, services=(service,), run_budget=budget),
            status=SessionStatus(),
            clock=clock,
        )
        try:
            async with asker:
                yield Rig(asker, account, client)
        finally:
            await access.aclose()


def job(number: int, show: Callable[[Inference], Sequence[MediaPart]] | None = None) -> WindowJob:
    """A second of media with one picture that is stamped with its number."""
    pending = PendingFrame.of(
        Frame(
            stream_key="cam",
            source="cam.mp4",
            pts_us=number * SECOND_US,
            duration_us=SECOND_US,
            width=2,
            height=2,
            data=bytes(6),
        )
    )
    part = ImagePart(DataUrl("image/png", encoded([number], "png", "image2pipe")))
    return WindowJob(
        window=Window(number * SECOND_US, (number + 1) * SECOND_US),
        seen=(pending,),
        settles=(pending,),
        frames_covered=1,
        until_us=(number + 1) * SECOND_US,
        show=show or (lambda _: (part,)),
    )


class Slow:
    """Measures; takes longer for earlier windows, so that answers overtake each other."""

    name = "pixels"

    def __init__(self, windows: int) -> None:
        self._windows = windows
        self.prompts: list[str] = []

    def answer(self, frames: Sequence[SeenFrame], question: Question) -> EngineAnswer:
        import time  # noqa: PLC0415

        facts = measure(frames)
        self.prompts.append(question.prompt)
        time.sleep(0.05 * (self._windows - facts["stamps"][0]))
        return EngineAnswer(json.dumps({"stamps": facts["stamps"]}))


def results(outcomes: Sequence[Outcome]) -> list[Result]:
    return [each for each in outcomes if isinstance(each, Result)]


def test_records_come_in_the_order_of_the_windows() -> None:
    async def scenario() -> list[Outcome]:
        async with asking(engine=Slow(6)) as rig:
            for number in range(6):
                await rig.asker.ask(job(number))
            return await rig.outcomes()

    said = asyncio.run(scenario())
    assert [each.output["stamps"] for each in results(said)] == [[n] for n in range(6)]
    assert [each.media_start_us for each in results(said)] == [n * SECOND_US for n in range(6)]
    assert len({each.result_id for each in results(said)}) == 6
    assert {each.labels["site"] for each in said} == {"north"}
    usage = [each for each in said if isinstance(each, Usage)]
    # What is left on the account is told once, at the start.
    assert usage[0].credits_remaining_cents == pytest.approx(100)
    assert {each.result_id for each in usage[1:]} == {each.result_id for each in results(said)}
    for each in usage[1:]:
        assert each.prompt_tokens
        assert each.cost_cents == pytest.approx(
            (each.prompt_tokens * 10 + (each.completion_tokens or 0) * 40) / 1e6
        )


def test_the_same_windows_have_the_same_ids_in_another_run() -> None:
    async def ids() -> list[str]:
        async with asking() as rig:
            for number in range(3):
                await rig.asker.ask(job(number))
            return [each.result_id for each in results(await rig.outcomes())]

    assert asyncio.run(ids()) == asyncio.run(ids())


def test_windows_wait_at_their_source_when_too_many_are_open() -> None:
    async def scenario() -> None:
        async with asking(engine=Slow(50), max_in_flight=2) as rig:
            for number in range(4):
                await asyncio.wait_for(rig.asker.ask(job(number)), 1)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(rig.asker.ask(job(4)), 0.05)

    asyncio.run(scenario())


def test_earlier_answers_are_context_when_they_are_to_be_remembered() -> None:
    async def scenario() -> list[dict[str, Any]]:
        async with asking(replace(INFERENCE, memory=2, system="You count.")) as rig:
            for number in range(4):
                await rig.asker.ask(job(number))
            await rig.outcomes()
            return await rig.chats()

    tokens = [chat["usage"]["prompt_tokens"] for chat in asyncio.run(scenario())]
    # One exchange more each time, up to two.
    assert tokens[0] < tokens[1] < tokens[2]
    assert tokens[3] == tokens[2]


def test_an_answer_may_call_for_a_second_question() -> None:
    then = Escalation(
        when=lambda document: document["stamps"][0] % 2 == 1,
        inference=Inference(prompt="Look closely.", model="local/pixels", output_schema=STAMPS),
        name="odd",
    )

    async def scenario() -> tuple[list[Outcome], list[dict[str, Any]]]:
        async with asking(replace(INFERENCE, then=then)) as rig:
            for number in range(4):
                await rig.asker.ask(job(number))
            return await rig.outcomes(), await rig.chats()

    said, chats = asyncio.run(scenario())
    seconds = [each.then for each in results(said)]
    assert [each is None for each in seconds] == [True, False, True, False]
    assert seconds[3] is not None
    assert (seconds[3].output, seconds[3].error) == ({"stamps": [3]}, None)
    assert [chat["prompt"] for chat in chats].count("Look closely.") == 2
    # Both questions are charged, under the window's name.
    charges = [u.result_id for u in said if isinstance(u, Usage) and u.cost_cents is not None]
    assert [charges.count(each.result_id) for each in results(said)] == [1, 2, 1, 2]


class Careless:
    """Writes its answers in a fence, and those to odd stamps in single quotes as well."""

    name = "pixels"

    def answer(self, frames: Sequence[SeenFrame], question: Question) -> EngineAnswer:
        stamps = measure(frames)["stamps"]
        quote = "'" if stamps[0] % 2 else '"'
        return EngineAnswer(f"```json\n{{{quote}stamps{quote}: {stamps}}}\n```")


def test_answers_are_repaired_as_far_as_each_question_allows() -> None:
    second = Inference(
        prompt="Look closely.",
        model="local/pixels",
        output_schema=STAMPS,
        repair="single_quotes",
    )
    then = Escalation(when=lambda _: True, inference=second, name="always")

    async def scenario() -> list[Outcome]:
        async with asking(replace(INFERENCE, then=then), engine=Careless()) as rig:
            for number in range(2):
                await rig.asker.ask(job(number))
            return await rig.outcomes()

    said = [each for each in asyncio.run(scenario()) if not isinstance(each, Usage)]
    first, letter = said
    assert isinstance(first, Result)
    assert (first.output, first.repaired) == ({"stamps": [0]}, True)
    assert first.then is not None
    assert (first.then.output, first.then.repaired) == ({"stamps": [0]}, True)
    assert isinstance(letter, Failure)
    assert letter.reason is FailureReason.NOT_JSON
    for name in ("schema_json", "then_form", "labels", "capture_basis", "frames_published_total"):
        assert getattr(letter, name) == getattr(first, name), name
    assert letter.total_latency_ms is not None


def test_a_rule_that_fails_makes_a_dead_letter() -> None:
    then = Escalation(
        when=lambda document: document["nothing"],
        inference=Inference(prompt="?", model="local/pixels"),
        name="broken",
    )

    async def scenario() -> list[Outcome]:
        async with asking(replace(INFERENCE, then=then)) as rig:
            await rig.asker.ask(job(0))
            return await rig.outcomes()

    failures = [each for each in asyncio.run(scenario()) if isinstance(each, Failure)]
    assert [each.reason for each in failures] == [FailureReason.USER_FUNCTION]
    assert "broken: KeyError" in failures[0].detail


def test_a_budget_stops_new_questions_and_exceeds_by_what_is_in_flight_only() -> None:
    async def scenario() -> tuple[list[Outcome], float, bool]:
        async with asking(max_in_flight=1, budget=budget) as rig:
            for number in range(12):
                await rig.asker.ask(job(number))
            return await rig.outcomes(), budget.spending.spent_cents, rig.asker.is_over_budget

    budget = RunBudget(1.0, Spending())
    asyncio.run(scenario())
    one_cents = budget.spending.spent_cents / 12
    budget = RunBudget(one_cents * 4.5, Spending())
    said, spent_cents, is_over = asyncio.run(scenario())
    assert is_over
    assert spent_cents <= budget.limit_cents + one_cents
    gaps = [each for each in said if isinstance(each, Gap)]
    assert {gap.reason for gap in gaps} == {GapReason.BUDGET}
    assert 3 <= len(results(said)) <= 5
    assert len(results(said)) + len(gaps) == 12


def test_a_refused_key_ends_the_run_and_names_what_is_not_settled() -> None:
    async def scenario() -> list[int]:
        async with asking(key="ovs-wrong") as rig:
            await rig.asker.ask(job(0))
            await rig.asker.ask(job(1))
            with pytest.raises(AuthenticationError):
                await rig.asker.drained()
            return [frame.pts_us for frame in rig.asker.unsettled()]

    assert asyncio.run(scenario()) == [0, SECOND_US]


def test_a_window_that_the_service_has_forgotten_is_recorded() -> None:
    async def scenario() -> list[Outcome]:
        async with asking() as rig:
            await rig.asker.ask(replace(job(0), expires_at_s=0.0))
            await rig.asker.ask(job(1))
            return await rig.outcomes()

    said = asyncio.run(scenario())
    assert [each.reason for each in said if isinstance(each, Failure)] == [FailureReason.EXPIRED]
    assert len(results(said)) == 1


class Halved:
    """Says what is no Unicode; JSON can spell it."""

    name = "pixels"

    def answer(self, frames: Sequence[SeenFrame], question: Question) -> EngineAnswer:
        return EngineAnswer(text='{"stamps": "\ud800"}')


@pytest.mark.parametrize(
    ("schema", "reason"),
    [(None, FailureReason.CONTRACT), (STAMPS, FailureReason.NOT_JSON)],
    ids=["text", "schema"],
)
def test_a_lone_surrogate_is_a_dead_letter_with_what_was_said(
    schema: dict[str, Any] | None, reason: FailureReason
) -> None:
    asked = replace(INFERENCE, output_schema=schema)
    second = Escalation(when=lambda _: True, inference=Inference(prompt="Again?"), name="always")

    async def scenario(inference: Inference) -> tuple[list[Outcome], int]:
        async with asking(inference, engine=Halved()) as rig:
            await rig.asker.ask(job(0))
            return await rig.outcomes(), len(await rig.chats())

    said, asked_times = asyncio.run(scenario(asked))
    letter = said[-1]
    assert isinstance(letter, Failure)
    assert (letter.reason, letter.detail) == (reason, "a lone surrogate is not text")
    assert letter.raw_text == '{"stamps": "\ud800"}'
    # It is paid for, and not asked again in vain.
    assert asked_times == 1
    assert [each.completion_tokens is not None for each in said[1:-1]] == [True]
    said, asked_times = asyncio.run(scenario(replace(asked, then=second)))
    assert (type(said[-1]), asked_times) == (Failure, 1)


def test_what_does_not_come_before_the_deadline_is_a_dead_letter() -> None:
    async def scenario() -> list[Outcome]:
        async with asking(window_deadline_s=0.3) as rig:
            await rig.client.fault(kind="chat_errors", status=503, count=1000)
            await rig.asker.ask(job(0))
            return await rig.outcomes()

    failures = [each for each in asyncio.run(scenario()) if isinstance(each, Failure)]
    assert [each.reason for each in failures] == [FailureReason.DEADLINE]
