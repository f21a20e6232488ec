"""No thread keeps real-time scheduling, with which it could block the machine."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from overshoot_flow.transport.native_threads import give_up_real_time


@pytest.mark.skipif(sys.platform != "linux", reason="threads can be told on Linux only")
def test_a_thread_with_real_time_scheduling_gets_the_usual_one() -> None:
    started, over = threading.Event(), threading.Event()
    thread_id = 0
    refused = False

    def be_greedy() -> None:
        nonlocal thread_id, refused
        thread_id = threading.get_native_id()
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        except PermissionError:
            # Then WebRTC is refused it as well, and there is nothing to give up.
            refused = True
        started.set()
        over.wait()

    thread = threading.Thread(target=be_greedy)
    thread.start()
    started.wait()
    try:
        assert give_up_real_time() >= (0 if refused else 1)
        assert os.sched_getscheduler(thread_id) == os.SCHED_OTHER
        assert give_up_real_time() == 0
    finally:
        over.set()
        thread.join()
