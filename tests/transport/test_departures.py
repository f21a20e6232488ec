"""Rooms that are left in the background have an owner, which waits for them within a bound."""

from __future__ import annotations

import asyncio
import logging

import pytest

from overshoot_flow.transport.departures import Departures


def test_what_is_under_way_is_waited_for() -> None:
    async def scenario() -> list[str]:
        left: list[str] = []
        settled = asyncio.Event()

        async def leave() -> None:
            await settled.wait()
            left.append("room")

        departures = Departures()
        departures.add(leave())
        asyncio.get_running_loop().call_later(0.05, settled.set)
        await departures.end(5)
        assert departures.pending == 0
        return left

    assert asyncio.run(scenario()) == ["room"]


def test_what_never_settles_does_not_hold_up_the_end() -> None:
    async def scenario() -> int:
        departures = Departures()
        departures.add(asyncio.Event().wait())  # type: ignore[arg-type] - its result means nothing
        await departures.end(0.05)
        return departures.pending

    assert asyncio.run(scenario()) == 0


def test_a_failure_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def leave() -> None:
        raise TimeoutError

    async def scenario() -> None:
        departures = Departures()
        departures.add(leave())
        await departures.end(1)

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    assert "a room could not be left: TimeoutError" in caplog.text
