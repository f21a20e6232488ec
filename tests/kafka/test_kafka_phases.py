"""The pure decisions of the transactional sink, through kills at any moment."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from overshoot_flow.errors import ConfigurationError, SinkError
from overshoot_flow_connectors.kafka_phases import KafkaState, TransactionPhases, Write
from overshoot_flow_connectors.kafka_records import KafkaRecord

RUN = "run"


def row(number: int) -> KafkaRecord:
    return KafkaRecord("t", b"k", str(number).encode(), (("h", b"v"),))


def rows(*numbers: int) -> tuple[KafkaRecord, ...]:
    return tuple(row(number) for number in numbers)


class KilledRuns(RuleBasedStateMachine):
    """An engine that keeps the state of the last durable epoch, and a Kafka with transactions.

    What an epoch brings is said anew after a kill, and otherwise: so a row may come only if the
    durable state has it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.committed: int | None = None
        self.topic: list[bytes] = []
        self.durable: tuple[KafkaState | None, tuple[bytes, ...]] = (None, ())
        """The last durable state, and the values of all rows of finished epochs until then."""
        self.taken: tuple[KafkaState | None, tuple[bytes, ...]] = (None, ())
        self.next_number = 0
        self.start()

    def start(self) -> None:
        state, _ = self.taken = self.durable
        if state is None:
            self.phases = TransactionPhases(KafkaState(RUN), resumable=True)
            self.topic, self.committed = [], 0
            return
        self.phases = TransactionPhases(state, resumable=True)
        self.do(self.phases.resume(self.committed, "control"))

    def do(self, write: Write | None) -> None:
        if write is not None:
            self.topic.extend(each.value for each in write.rows)
            self.committed = write.sequence

    @rule(count=st.integers(0, 3), killed=st.sampled_from(["no", "before", "after write", "after"]))
    def epoch(self, count: int, killed: str) -> None:
        new = rows(*range(self.next_number, self.next_number + count))
        self.next_number += count
        if killed == "before":
            self.start()
            return
        # The engine takes the next snapshot only when the one before is durable.
        self.durable = self.taken
        write = self.phases.snapshot(new)
        self.do(write)
        if killed == "after write":
            self.start()
            return
        said = (*self.taken[1], *(each.value for each in new))
        plain = pickle.loads(pickle.dumps(self.phases.state.to_plain()))  # noqa: S301 - its own
        self.taken = (KafkaState.from_plain(plain), said)
        if killed == "after":
            self.start()

    @rule()
    def good_end(self) -> None:
        self.durable = self.taken
        self.do(self.phases.end())
        assert tuple(self.topic) == self.durable[1]
        self.start()

    @invariant()
    def rows_are_those_of_durable_epochs_in_order(self) -> None:
        assert tuple(self.topic) == self.durable[1][: len(self.topic)]

    @invariant()
    def at_most_one_epoch_is_not_yet_written(self) -> None:
        state = self.durable[0]
        waiting = len(state.rows) if state is not None else 0
        assert len(self.durable[1]) - len(self.topic) <= waiting


TestKilledRuns = KilledRuns.TestCase
TestKilledRuns.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)


def test_rows_are_written_when_their_epoch_is_durable() -> None:
    phases = TransactionPhases(KafkaState(RUN), resumable=True)
    assert phases.snapshot(rows(1)) is None
    assert phases.state == KafkaState(RUN, 1, rows(1))
    assert phases.snapshot(()) == Write(1, rows(1))
    assert phases.state == KafkaState(RUN, 1)
    assert phases.snapshot(rows(2)) is None
    assert phases.end() == Write(2, rows(2))


def test_without_a_state_folder_rows_are_written_at_once() -> None:
    phases = TransactionPhases(KafkaState(RUN), resumable=False)
    assert phases.snapshot(rows(1)) == Write(1, rows(1))
    assert phases.snapshot(rows(2)) == Write(2, rows(2))
    assert phases.end() is None


def test_what_is_committed_is_not_written_again() -> None:
    phases = TransactionPhases(KafkaState(RUN, 7, rows(1)), resumable=True)
    assert phases.resume(7, "c") is None
    assert phases.state == KafkaState(RUN, 7)


def test_what_is_not_committed_is_written_on_resume() -> None:
    phases = TransactionPhases(KafkaState(RUN, 7, rows(1)), resumable=True)
    assert phases.resume(6, "c") == Write(7, rows(1))


@pytest.mark.parametrize(
    ("state", "committed", "error", "text"),
    [
        (KafkaState(RUN, 7, rows(1)), None, ConfigurationError, "c knows nothing of this run"),
        (KafkaState(RUN, 7, rows(1)), 8, ConfigurationError, r"older than .*\(7 against 8 in c\)"),
        (KafkaState(RUN, 7, rows(1)), 5, SinkError, "c is at 5, the recovery state at 7"),
        (KafkaState(RUN, 7), 6, SinkError, "Kafka has lost rows"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(
    state: KafkaState, committed: int | None, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        TransactionPhases(state, resumable=True).resume(committed, "c")


def test_a_state_of_another_version_or_delivery_is_refused() -> None:
    plain = KafkaState(RUN).to_plain()
    with pytest.raises(ConfigurationError, match="of version 99, this library reads 1"):
        KafkaState.from_plain({**plain, "version": 99})
    with pytest.raises(ConfigurationError, match='begun with delivery="at_least_once"'):
        KafkaState.from_plain({"version": 1, "delivery": "at_least_once"})
