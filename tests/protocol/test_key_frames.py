"""A receiver of encoded video begins with a key frame; how long it waits is on record."""

from __future__ import annotations

import pytest

from overshoot_flow.protocol.key_frames import KeyFrameGate


def test_nothing_but_a_key_frame_opens_the_gate() -> None:
    gate = KeyFrameGate()
    assert gate.is_closed
    with pytest.raises(RuntimeError, match="wait for a key frame"):
        gate.published(0.0, is_keyframe=False)
    gate.published(0.0, is_keyframe=True)
    assert not gate.is_closed
    gate.published(1.0, is_keyframe=False)
    gate.close()
    assert gate.is_closed


def test_a_request_waits_for_the_next_key_frame() -> None:
    gate = KeyFrameGate()
    gate.published(0.0, is_keyframe=True)
    gate.requested(10.0)
    gate.published(10.5, is_keyframe=False)
    gate.requested(11.0)
    assert gate.statistics.waiting_since_s == 10.0
    gate.published(12.0, is_keyframe=True)
    gate.requested(20.0)
    gate.published(20.5, is_keyframe=True)
    gate.published(30.0, is_keyframe=True)
    statistics = gate.statistics
    assert (statistics.requests, statistics.waits) == (3, 2)
    assert (statistics.waited_s, statistics.longest_wait_s) == (2.5, 2.0)
    assert statistics.waiting_since_s is None
