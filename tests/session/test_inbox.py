"""Any thread puts, the event loop gets; an overflow is refused."""

from __future__ import annotations

import asyncio
import threading

import pytest

from overshoot_flow.errors import OvershootFlowError
from overshoot_flow.results import GapReason
from overshoot_flow.session.inbox import End, Inbox, NotPublished


def item(number: int) -> NotPublished:
    return NotPublished(
        source="s",
        start_us=number,
        end_us=number + 1,
        frames=1,
        reason=GapReason.FILTERED,
        detail="",
    )


def test_items_arrive_in_order_from_another_thread() -> None:
    async def scenario() -> list[int]:
        inbox = Inbox(asyncio.get_running_loop(), capacity=4000)
        writer = threading.Thread(
            target=lambda: [inbox.put(item(n)) for n in range(3000)] and inbox.put(End())
        )
        writer.start()
        numbers: list[int] = []
        while isinstance(got := await inbox.get(), NotPublished):
            numbers.append(got.start_us)
        writer.join()
        return numbers

    assert asyncio.run(scenario()) == list(range(3000))


def test_a_full_inbox_refuses_and_keeps_what_it_has() -> None:
    async def scenario() -> None:
        inbox = Inbox(asyncio.get_running_loop(), capacity=2)
        inbox.put(item(1))
        inbox.put(item(2))
        with pytest.raises(OvershootFlowError, match="does not heed the brake"):
            inbox.put(item(3))
        assert [await inbox.get(), await inbox.get()] == [item(1), item(2)]

    asyncio.run(scenario())
