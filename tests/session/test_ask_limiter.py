"""Turns for questions: bounded, fair between streams, and given back when nobody wants them."""

from __future__ import annotations

import asyncio

import pytest

from overshoot_flow.protocol.rate_limit import RateFacts
from overshoot_flow.session.ask_limiter import AskLimiter
from overshoot_flow.session.clock import SystemClock


async def turns_of(limiter: AskLimiter, wanted: list[str]) -> list[str]:
    """Ask for turns at the same time; return the order in which they came."""
    order: list[str] = []

    async def take(stream_key: str) -> None:
        await limiter.turn(stream_key)
        order.append(stream_key)
        await asyncio.sleep(0)
        limiter.answered(RateFacts())

    await asyncio.gather(*(take(each) for each in wanted))
    return order


def test_streams_take_turns() -> None:
    async def scenario() -> list[str]:
        return await turns_of(AskLimiter(1, SystemClock()), ["a", "a", "a", "b", "c", "b"])

    assert asyncio.run(scenario()) == ["a", "a", "b", "c", "a", "b"]


def test_no_more_are_under_way_than_may_be() -> None:
    async def scenario() -> None:
        limiter = AskLimiter(2, SystemClock())
        await limiter.turn("a")
        await limiter.turn("a")
        assert limiter.in_flight == 2
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(limiter.turn("b"), 0.05)
        limiter.answered(RateFacts())
        await asyncio.wait_for(limiter.turn("b"), 1)

    asyncio.run(scenario())


def test_a_turn_that_nobody_waits_for_any_more_goes_to_the_next() -> None:
    async def scenario() -> None:
        limiter = AskLimiter(1, SystemClock())
        await limiter.turn("a")
        gone = asyncio.create_task(limiter.turn("b"))
        stays = asyncio.create_task(limiter.turn("c"))
        await asyncio.sleep(0)
        # It is given its turn and cancelled before it has seen it.
        limiter.not_sent()
        gone.cancel()
        await asyncio.wait_for(stays, 1)
        assert limiter.in_flight == 1
        await asyncio.wait({gone})
        assert gone.cancelled()

    asyncio.run(scenario())


def test_after_a_refusal_nothing_is_sent_for_as_long_as_the_service_asks() -> None:
    async def scenario() -> float:
        limiter = AskLimiter(4, SystemClock())
        await limiter.turn("a")
        begun_s = asyncio.get_running_loop().time()
        limiter.limited(RateFacts(), 0.2)
        await limiter.turn("a", again=True)
        return asyncio.get_running_loop().time() - begun_s

    assert asyncio.run(scenario()) >= 0.19


def test_a_question_that_is_asked_again_goes_before_the_others_of_its_stream() -> None:
    async def scenario() -> list[str]:
        limiter, order = AskLimiter(1, SystemClock()), list[str]()

        async def take(name: str, *, again: bool) -> None:
            await limiter.turn("a", again=again)
            order.append(name)
            limiter.answered(RateFacts())

        await limiter.turn("a")
        waiting = [asyncio.create_task(take("new", again=False))]
        await asyncio.sleep(0)
        waiting.append(asyncio.create_task(take("again", again=True)))
        await asyncio.sleep(0)
        limiter.not_sent()
        await asyncio.gather(*waiting)
        return order

    assert asyncio.run(scenario()) == ["again", "new"]


def test_a_long_pause_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        limiter = AskLimiter(5, SystemClock())
        for _ in range(5):
            await limiter.turn("a")
        limiter.limited(RateFacts(), 1.0)
        assert caplog.messages == []
        for _ in range(4):
            limiter.limited(RateFacts(), 3600.0)

    asyncio.run(scenario())
    assert caplog.messages == ["the service wants no question for 3600 s; none is sent"]
