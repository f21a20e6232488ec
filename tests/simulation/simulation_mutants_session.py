"""Defects of a session: what it publishes, settles, records and gives back."""

from __future__ import annotations

from typing import Final

from simulation_planting import Mutant

from overshoot_flow.protocol.lease import Lease
from overshoot_flow.protocol.media_map import PublishedMedia
from overshoot_flow.protocol.session_machine import SessionMachine
from overshoot_flow.session.feed import Feed
from overshoot_flow.session.session import Session
from overshoot_flow.session.stream_run import StreamRun

SESSION_MUTANTS: Final = (
    Mutant(
        "a filtered frame is not released",
        Feed,
        "_not_published",
        "self.account.release(self.outcomes.step_id, item.frames)",
        "pass",
    ),
    Mutant(
        "a frame is released again when it is published again",
        Feed,
        "take_next",
        "if not pending.released:",
        "if True:",
    ),
    Mutant(
        "filtered frames are not recorded",
        Feed,
        "_flush_filtered",
        "self.account.put(self.outcomes.not_published(self._filtered))",
        "pass",
    ),
    Mutant(
        "frames whose pixels are gone vanish with the stream",
        Feed,
        "again",
        "if lost:",
        "if False:",
    ),
    Mutant(
        "frames are published again in the wrong order",
        Feed,
        "again",
        "reversed(frames)",
        "frames",
    ),
    Mutant(
        "frames under way vanish with the stream",
        Session,
        "_recover",
        "self._feed.again(unanswered, str(error))",
        "pass",
    ),
    Mutant(
        "a failed session forgets the frames under way",
        Session,
        "_recover",
        "self.stream_key, error)\n        await self._feed.discard_rest(unanswered,",
        "self.stream_key, error)\n        await self._feed.discard_rest((),",
    ),
    Mutant(
        "an ended session does not say so",
        Session,
        "run",
        "self._account.session_ended(self._outcomes.step_id)",
        "pass",
    ),
    Mutant(
        "frames without an answer are dropped at the end",
        StreamRun,
        "_drain",
        "self._give_up_waiting(published_until_s=None)",
        "pass",
    ),
    Mutant(
        "frames without an answer get no dead letter",
        StreamRun,
        "_give_up_waiting",
        "if late:",
        "if False:",
    ),
    Mutant(
        "the stream is not deleted",
        StreamRun,
        "_tear_down",
        "await self.place.http.close_stream(self.created.stream_id)",
        "pass",
    ),
    Mutant(
        "settling includes the first frame after the interval",
        PublishedMedia,
        "settle",
        "self._unsettled[0].picture.pts_us < interval.end_us",
        "self._unsettled[0].picture.pts_us <= interval.end_us",
    ),
    Mutant(
        "giving up leaves one frame behind",
        PublishedMedia,
        "take_unsettled",
        "while self._unsettled and (",
        "while len(self._unsettled) > 1 and (",
    ),
    Mutant(
        "a new stream's answers are about the old stream's frames",
        PublishedMedia,
        "restart",
        "self._log.clear()",
        "pass",
    ),
    Mutant(
        "a lost stream is replaced without a pause",
        SessionMachine,
        "fault",
        "self.move(SessionState.WAITING)",
        "self.state = SessionState.CREATING",
    ),
    Mutant(
        "a failed session is closed afterwards",
        SessionMachine,
        "abort",
        "if not self.ended:",
        "if True:",
    ),
    Mutant(
        "the lease is renewed too late",
        Lease,
        "renewed",
        "now_s + ttl_s / _RENEWALS_PER_LEASE",
        "now_s + ttl_s * _RENEWALS_PER_LEASE",
    ),
)
