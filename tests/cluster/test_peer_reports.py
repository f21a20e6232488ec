"""What the processes count is the same after its way to the supervisor, and adds up."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from overshoot_flow.errors import TransportError
from overshoot_flow_pipelines.archive import ArchiveReport
from overshoot_flow_pipelines.peer_reports import added_up, mismatches, to_document
from overshoot_flow_pipelines.summary import EXIT_FAILED, EXIT_MISMATCH, exit_code, summary_lines
from overshoot_flow_pipelines.tally import Counts

ONE = Counts(
    results=3,
    dead_letters=1,
    gaps=1,
    frames_answered=30,
    frames_between=2,
    frames_in_dead_letters=5,
    frames_in_gaps=3,
    cost_cents=1.5,
    seconds_charged=4.0,
    credits_remaining_cents=90.0,
    media_end_us=7,
    dead_letter_reasons=Counter(schema=1),
    gap_reasons=Counter(filtered=1),
    smallest_delivered_height=360,
)
OTHER = Counts(
    results=1,
    dead_letters=2,
    frames_answered=10,
    frames_in_dead_letters=2,
    cost_cents=0.5,
    credits_remaining_cents=88.5,
    media_end_us=9,
    dead_letter_reasons=Counter(schema=1, deadline=1),
)


def report(frames_read: int, **failures: str) -> ArchiveReport:
    errors = {key: TransportError(text) for key, text in failures.items()}
    return ArchiveReport(frames_read=frames_read, stopped=bool(failures), failures=dict(errors))


def handed_over(*shares: tuple[ArchiveReport, Counts]) -> tuple[ArchiveReport, Counts]:
    return added_up(json.loads(json.dumps(to_document(*share))) for share in shares)


def test_one_process_reports_what_it_has_counted() -> None:
    _, counts = handed_over((report(40), ONE))
    assert counts == ONE


def test_the_shares_of_two_processes_add_up() -> None:
    total, counts = handed_over((report(40), ONE), (report(12, b="no network"), OTHER))
    assert counts.frames_settled == 52 == total.frames_read
    assert (counts.results, counts.dead_letters, counts.gaps) == (4, 3, 1)
    assert counts.dead_letter_reasons == Counter(schema=2, deadline=1)
    assert counts.gap_reasons == Counter(filtered=1)
    assert counts.cost_cents == 2.0
    assert counts.credits_remaining_cents == 88.5
    assert counts.media_end_us == 9
    assert counts.smallest_delivered_height == 360
    assert total.stopped
    assert exit_code(total, counts) == EXIT_FAILED
    assert "FAILED b: no network" in summary_lines(total, counts, Path("out"))


def test_a_frame_that_one_process_lost_is_a_mismatch_of_all() -> None:
    total, counts = handed_over((report(41), ONE), (report(12), OTHER))
    assert exit_code(total, counts) == EXIT_MISMATCH


def test_a_surplus_of_one_process_does_not_hide_the_deficit_of_another() -> None:
    documents = [to_document(report(41), ONE), {}, to_document(report(11), OTHER)]
    total, counts = added_up(documents)
    assert total.frames_read == counts.frames_settled
    assert mismatches(documents) == [
        "MISMATCH in process 0: 40 frames are accounted for, 41 were read",
        "MISMATCH in process 2: 12 frames are accounted for, 11 were read",
    ]
    assert mismatches([to_document(report(40), ONE)]) == []
