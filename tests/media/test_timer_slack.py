"""A thread's timed waits may end late, if it says so, and only its own."""

from __future__ import annotations

import ctypes
import sys
import threading

import pytest

from overshoot_flow.timer_slack import EXACT_US, set_timer_slack, timer_slack_restored

_PR_GET_TIMERSLACK = 30


def slack_us() -> int:
    return int(ctypes.CDLL(None).prctl(_PR_GET_TIMERSLACK, 0, 0, 0, 0)) // 1000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows timer slack")
def test_a_thread_hands_its_slack_down_until_another_is_set() -> None:
    before_us = slack_us()
    seen: list[int] = []

    def child() -> None:
        seen.append(slack_us())
        assert set_timer_slack(EXACT_US)
        seen.append(slack_us())

    def parent() -> None:
        assert set_timer_slack(7000)
        thread = threading.Thread(target=child)
        thread.start()
        thread.join()
        seen.append(slack_us())

    thread = threading.Thread(target=parent)
    thread.start()
    thread.join()
    assert seen == [7000, EXACT_US, 7000]
    assert slack_us() == before_us


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows timer slack")
def test_a_run_leaves_its_thread_as_it_was() -> None:
    before_us = slack_us()
    with timer_slack_restored():
        assert set_timer_slack(before_us + 5000)
        assert slack_us() == before_us + 5000
    assert slack_us() == before_us
