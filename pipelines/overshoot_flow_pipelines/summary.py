"""The closing words of an archive run, in which the numbers add up."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

from overshoot_flow.flow.membership import PEER_LOST_EXIT_CODE
from overshoot_flow.flow.running import INTERRUPTED_EXIT_CODE
from overshoot_flow.results import GapReason
from overshoot_flow_pipelines.archive import ArchiveReport
from overshoot_flow_pipelines.tally import Counts

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_MISMATCH: Final = 3
EXIT_PEER_LOST: Final = PEER_LOST_EXIT_CODE
EXIT_INTERRUPTED: Final = INTERRUPTED_EXIT_CODE


def summary_lines(report: ArchiveReport, counts: Counts, out: Path | str) -> list[str]:
    """Say what became of every frame, what it cost and where the records are."""
    lines = [
        f"frames read      {report.frames_read:>8}",
        f"  answered       {counts.frames_answered:>8}   in {counts.results} results",
        f"  between        {counts.frames_between:>8}   windows, seen by nobody",
        f"  dead letters   {counts.frames_in_dead_letters:>8}   "
        f"in {counts.dead_letters} dead letters" + _reasons(counts.dead_letter_reasons),
        f"  gaps           {counts.frames_in_gaps:>8}   in {counts.gaps} gaps"
        + _reasons(counts.gap_reasons),
    ]
    if not adds_up(report, counts):
        lines.append(
            f"MISMATCH: {counts.frames_settled} frames are accounted for, "
            f"{report.frames_read} were read"
        )
    money = f"cost             {counts.cost_cents:>11.2f} cents for {counts.seconds_charged:.1f} s"
    if counts.credits_remaining_cents is not None:
        money += f", {counts.credits_remaining_cents:.2f} cents left"
    lines.append(money)
    if counts.smallest_delivered_height is not None:
        lines.append(f"delivered height {counts.smallest_delivered_height:>8}   at the least")
    lines += [f"FAILED {stream_key}: {error}" for stream_key, error in report.failures.items()]
    if report.failures:
        lines.append("what is not answered is left; the same command goes on with it")
    if report.over_budget or GapReason.BUDGET in counts.gap_reasons:
        lines.append("the budget is spent; the same command goes on with a greater one")
    if report.stopped:
        lines.append("stopped early by a signal; what was published is answered")
    lines.append(f"records          {out}")
    return lines


def adds_up(report: ArchiveReport, counts: Counts) -> bool:
    """Whether every frame that was read is in exactly one place."""
    return report.frames_read == counts.frames_settled


def exit_code(report: ArchiveReport, counts: Counts) -> int:
    """Return what the process says to its caller."""
    if not adds_up(report, counts):
        return EXIT_MISMATCH
    return EXIT_FAILED if report.failures else EXIT_OK


def _reasons(reasons: Counter[str]) -> str:
    if not reasons:
        return ""
    return " (" + ", ".join(f"{reason}: {number}" for reason, number in reasons.items()) + ")"
