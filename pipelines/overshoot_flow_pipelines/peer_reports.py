"""What the processes of an archive run count, each its own share, as one report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from overshoot_flow.errors import OvershootFlowError
from overshoot_flow_pipelines.archive import ArchiveReport
from overshoot_flow_pipelines.tally import Counts


def to_document(report: ArchiveReport, counts: Counts) -> dict[str, Any]:
    """Return plain values for the supervisor."""
    return {
        "frames_read": report.frames_read,
        "stopped": report.stopped,
        "over_budget": report.over_budget,
        "failures": {key: str(error) for key, error in report.failures.items()},
        "counts": {field.name: getattr(counts, field.name) for field in fields(counts)},
    }


def added_up(documents: Iterable[Mapping[str, Any]]) -> tuple[ArchiveReport, Counts]:
    """Return what all processes together have read, and what became of it.

    A process that was stopped before it had begun has left an empty document: it has read nothing.

    Raises:
        KeyError, TypeError: These are not `to_document`'s values.
    """
    total = Counts()
    frames_read, stopped, over_budget = 0, False, False
    failures: dict[str, OvershootFlowError] = {}
    for document in filter(None, documents):
        frames_read += document["frames_read"]
        stopped |= document["stopped"]
        over_budget |= document["over_budget"]
        failures |= {key: OvershootFlowError(text) for key, text in document["failures"].items()}
        total.include(_counts_in(document))
    report = ArchiveReport(
        frames_read=frames_read, stopped=stopped, failures=failures, over_budget=over_budget
    )
    return report, total


def mismatches(documents: Iterable[Mapping[str, Any]]) -> list[str]:
    """Say which process does not add up by itself: in the sum, two of them can hide each other."""
    lines: list[str] = []
    for number, document in enumerate(documents):
        if not document:
            continue
        settled, read = _counts_in(document).frames_settled, document["frames_read"]
        if settled != read:
            lines.append(
                f"MISMATCH in process {number}: {settled} frames are accounted for, {read} were "
                "read"
            )
    return lines


def _counts_in(document: Mapping[str, Any]) -> Counts:
    counts = dict(document["counts"])
    for reasons in ("dead_letter_reasons", "gap_reasons"):
        counts[reasons] = Counter(counts[reasons])
    return Counts(**counts)
