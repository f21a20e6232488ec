"""An archive's stream without a stream: the pictures of each window travel in its question."""

from __future__ import annotations

import logging
from typing import Final

from overshoot_flow.errors import ConfigurationError, OvershootFlowError
from overshoot_flow.results import GapReason
from overshoot_flow.session.inline_windows import InlineWindows
from overshoot_flow.session.outcomes import PendingFrame
from overshoot_flow.session.renewal import is_stream_spent
from overshoot_flow.session.window_asker import WindowAsker
from overshoot_flow.session.window_cells import WindowCell
from overshoot_flow.session.window_outcomes import WindowOutcomes
from overshoot_flow.session.workplace import Leaving, Workplace
from overshoot_flow.transport_config import Inline

_NO_WINDOW: Final = "no window looks at this time"
_DAMAGED: Final = "no picture of the window can be shown"

_logger = logging.getLogger(__name__)


class InlineRun:
    """Asks about every window of a medium, as fast as the service answers.

    Frames are released to their source as they are taken.

    Args:
        place: The session's parts, with the transport `Inline`.

    Attributes:
        leaving: Why it ended before the media did, or None.
        expected_cents: What the next lease would cost: nothing is leased.

    Raises:
        ConfigurationError: The stream is a live one.
    """

    def __init__(self, place: Workplace) -> None:
        settings = place.service.transport
        if not isinstance(settings, Inline):
            msg = "only windows whose pictures travel in the question are asked about here"
            raise TypeError(msg)
        if place.feed.account.live:
            raise ConfigurationError(
                "the pictures of a live stream cannot travel within the questions: leave the "
                "transport Inline to archives, and take another one here"
            )
        self.leaving: Leaving | None = None
        self.expected_cents = 0.0
        self._settings = settings
        self._place = place

    async def run(self, first: PendingFrame) -> None:  # noqa: ARG002 - it comes from the feed again
        """Take frames until the end of media, and wait until every window is recorded.

        Raises:
            OvershootFlowError: No question of this run can be answered; the unsettled frames are
                left in the media log.
        """
        place, account = self._place, self._place.feed.account
        outcomes = WindowOutcomes.of(place, place.assignment)
        asker = WindowAsker.at(place, place.assignment, outcomes)
        windows = InlineWindows(
            self._settings,
            place.outcomes.inference,
            asker,
            no_picture=self._damaged,
            begins_us=account.begins_us,
        )
        try:
            async with asker:
                try:
                    await self._take_frames(windows, asker)
                    await self._end(windows)
                    await asker.drained()
                except OvershootFlowError:
                    for frame in (*asker.unsettled(), *windows.take_unsettled()):
                        place.media.published(frame, frame.published_at_s or 0.0)
                    raise
        finally:
            windows.close()
            if windows.damaged:
                _logger.warning(
                    "%s: %d pictures could not be shown", account.stream_key, windows.damaged
                )

    async def _take_frames(self, windows: InlineWindows, asker: WindowAsker) -> None:
        feed = self._place.feed
        while (pending := await feed.next_frame()) is not None:
            # From here on the windows answer for it; the feed must not give it out again.
            feed.take_next()
            self._place.status.published(pending, self._place.clock.wall_us())
            await windows.take(pending)
            if asker.is_over_budget:
                # Nothing would be asked about what comes: it need not even be read.
                rest = windows.take_unsettled()
                await feed.discard_rest(
                    rest,
                    GapReason.BUDGET,
                    Leaving.BUDGET.value,
                    for_good=is_stream_spent(
                        self._place.assignment, feed.account, asker.expected_cents
                    ),
                )

    async def _end(self, windows: InlineWindows) -> None:
        """No frame comes: ask about what is over with that, and account for the rest."""
        place = self._place
        account = place.feed.account
        if account.ending:
            # The medium goes on after its windows: the next part of the run reads them again.
            account.leave(place.outcomes.step_id, len(windows.take_unsettled()))
            return
        reason, detail = GapReason.NO_ANSWER, _NO_WINDOW
        if place.feed.ended:
            await windows.finish()
        else:
            self.leaving = Leaving.ASSIGNMENT
            reason, detail = GapReason.CHANGED, self.leaving.value
        if rest := windows.take_unsettled():
            account.put(place.outcomes.lost(rest, reason, detail))

    def _damaged(self, cell: WindowCell) -> None:
        lost = self._place.outcomes.lost(cell.settles, GapReason.DECODE, _DAMAGED)
        self._place.feed.account.put(lost)
