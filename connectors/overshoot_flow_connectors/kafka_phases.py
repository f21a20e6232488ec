"""What a transactional Kafka writer does at the beginning, at every snapshot and at the end: pure.

Rows of epoch N become a part of the recovery state at the snapshot that closes N, under the next
sequence. They are written, in one transaction with that sequence, at the snapshot that closes N+1,
when N is durable: so what is written is what the durable state says, and never what a killed run
has asked the service for and will ask for again with other answers. On resume the sequence that
Kafka has committed tells whether the rows of the state are written already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from overshoot_flow.errors import ConfigurationError, SinkError
from overshoot_flow_connectors.kafka_records import KafkaRecord

STATE_VERSION: Final = 1
_OR_ANEW: Final = "or begin anew with an empty state folder and other topics"


@dataclass(frozen=True, slots=True)
class KafkaState:
    """The state that the engine saves at the end of an epoch.

    Attributes:
        run_id: The run that writes; the transactional id is made of it.
        sequence: Of `rows`; before the first rows 0.
        rows: What is written when this state is durable.
    """

    run_id: str
    sequence: int = 0
    rows: tuple[KafkaRecord, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """Return plain values for the recovery store."""
        return {
            "version": STATE_VERSION,
            "delivery": "transactional",
            "run_id": self.run_id,
            "sequence": self.sequence,
            "rows": [row.to_plain() for row in self.rows],
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Read `to_plain`'s values.

        Raises:
            ConfigurationError: They are of another version, or of a sink with another delivery.
        """
        if plain.get("version") != STATE_VERSION:
            raise ConfigurationError(
                f"the sink's recovery state is of version {plain.get('version')}, this library "
                f"reads {STATE_VERSION}: finish the run with the library that began it, {_OR_ANEW}"
            )
        if plain["delivery"] != "transactional":
            raise ConfigurationError(
                f'the run was begun with delivery="{plain["delivery"]}": go on with it, {_OR_ANEW}'
            )
        rows = tuple(KafkaRecord.from_plain(row) for row in plain["rows"])
        return cls(plain["run_id"], plain["sequence"], rows)


@dataclass(frozen=True, slots=True)
class Write:
    """Rows that are to be written in one transaction with their sequence.

    Attributes:
        sequence: Their sequence.
        rows: The rows, in their order.
    """

    sequence: int
    rows: tuple[KafkaRecord, ...]


class TransactionPhases:
    """Decides what a writer does, between the beginning and the end of one part of the run.

    Args:
        state: What was saved last.
        resumable: Whether the run has a recovery state; without one rows are written at once,
            because nobody will go on with them.
    """

    def __init__(self, state: KafkaState, *, resumable: bool) -> None:
        self.state = state
        self._resumable = resumable

    def resume(self, committed: int | None, control_topic: str) -> Write | None:
        """Compare a durable state with what Kafka has committed; return what is to be written.

        Args:
            committed: The last sequence of this writer in Kafka, None if there is none.
            control_topic: Where that stands, for error texts.

        Raises:
            ConfigurationError: State and topics are not of one run, or the state is the older one.
            SinkError: Rows that were committed are not in Kafka any more.
        """
        state = self.state
        if committed is None:
            raise ConfigurationError(
                f"the topic {control_topic} knows nothing of this run: name the cluster and the "
                f"control topic that the run was begun with, {_OR_ANEW}"
            )
        if committed > state.sequence:
            raise ConfigurationError(
                f"the recovery state is older than what is in Kafka ({state.sequence} against "
                f"{committed} in {control_topic}): going on would repeat rows. Bring back the "
                f"newest state, {_OR_ANEW}"
            )
        if committed == state.sequence:
            self.state = KafkaState(state.run_id, state.sequence)
            return None
        if not state.rows or committed < state.sequence - 1:
            raise SinkError(
                f"the topic {control_topic} is at {committed}, the recovery state at "
                f"{state.sequence}: Kafka has lost rows that it had acknowledged. Bring its data "
                f"back, {_OR_ANEW}"
            )
        return self._due()

    def snapshot(self, rows: tuple[KafkaRecord, ...]) -> Write | None:
        """End an epoch; `state` is to be saved once what is returned is written.

        Args:
            rows: The rows of this epoch.
        """
        if not self._resumable:
            self._hold(rows)
            return self._due()
        # The snapshot before this one is durable by now.
        due = self._due()
        self._hold(rows)
        return due

    def end(self) -> Write | None:
        """Return what is left; the run has come to its good end, so its last state is durable."""
        return self._due()

    def _hold(self, rows: tuple[KafkaRecord, ...]) -> None:
        if rows:
            self.state = KafkaState(self.state.run_id, self.state.sequence + 1, rows)

    def _due(self) -> Write | None:
        state = self.state
        if not state.rows:
            return None
        self.state = KafkaState(state.run_id, state.sequence)
        return Write(state.sequence, state.rows)
