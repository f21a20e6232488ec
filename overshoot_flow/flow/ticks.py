"""What carries finished pieces from a stream's sessions into the flow."""

from __future__ import annotations

from overshoot_flow.flow.items import Tick
from overshoot_flow.results import cost_cents
from overshoot_flow.session.ledger import Account
from overshoot_flow.session.progress import Progress


class Ticks:
    """Makes ticks of finished pieces, and notes in the position that they were emitted.

    There is one in every epoch, with pieces or without: sinks end an epoch with what comes to them.

    Args:
        account: The stream's account.
        progress: The stream's position, which a tick's pieces become part of.
        spent_cents: What was spent on the stream in earlier parts of the run.

    Attributes:
        spent_cents: The same with what the usage records of the pieces say.
    """

    def __init__(self, account: Account, progress: Progress, spent_cents: float) -> None:
        self._account = account
        self._progress = progress
        self._epoch_has_one = False
        self.spent_cents = spent_cents

    def take(self) -> list[Tick]:
        """Return the tick that is due, or none."""
        account = self._account
        pieces = account.take()
        if not pieces and self._epoch_has_one:
            return []
        self._epoch_has_one = True
        self._progress.take(pieces, account.step_ids)
        self.spent_cents += cost_cents(pieces)
        return [
            Tick(
                stream_key=account.stream_key,
                frames_emitted=account.frames_emitted,
                pieces=pieces,
            )
        ]

    def epoch_ended(self) -> None:
        """The position was saved: what is emitted from now on belongs to the next epoch."""
        self._epoch_has_one = False
