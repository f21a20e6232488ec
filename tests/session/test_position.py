"""A position is a set of media times with a prefix; it is compared with a plain set."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.session.position import Position

LENGTH = 40


class PositionMachine(RuleBasedStateMachine):
    """Finishes stretches in any order, advances, and is saved and restored in between."""

    def __init__(self) -> None:
        super().__init__()
        self.position = Position()
        self.finished: set[int] = set()

    @rule(start=st.integers(0, LENGTH), length=st.integers(0, 6))
    def finish(self, start: int, length: int) -> None:
        self.position.finish(start, start + length)
        self.finished |= set(range(start, start + length))

    @rule(prefix=st.integers(0, LENGTH // 2))
    def advance(self, prefix: int) -> None:
        self.position.advance(prefix)
        self.finished |= set(range(prefix))

    @rule()
    def save_and_restore(self) -> None:
        self.position = Position.from_state(self.position.to_state())

    @invariant()
    def it_knows_exactly_what_is_finished(self) -> None:
        known = {pts for pts in range(LENGTH + 10) if self.position.is_finished(pts)}
        assert known == self.finished

    @invariant()
    def stretches_are_apart_and_beyond_the_prefix(self) -> None:
        border = self.position.prefix_us
        for start, end in self.position.stretches:
            assert border < start < end
            border = end


TestPosition = PositionMachine.TestCase


def test_the_prefix_overtakes_and_trims() -> None:
    position = Position()
    for start in range(10, 1000, 10):
        position.finish(start, start + 9)
    assert len(position.stretches) == 99
    position.advance(500)
    # The stretch that begins right at the prefix is part of it now.
    assert position.prefix_us == 509
    assert len(position.stretches) == 49
    assert position.stretches[0] == (510, 519)
    position.advance(2000)
    assert position.stretches == []


def test_a_state_of_another_version_is_refused_with_advice() -> None:
    state = {**Position().to_state(), "version": 99}
    with pytest.raises(ConfigurationError, match="version 99, this library reads 1"):
        Position.from_state(state)
