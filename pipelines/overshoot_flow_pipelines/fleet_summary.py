"""The closing words of a fleet run, in which the numbers add up."""

from __future__ import annotations

from collections.abc import Iterable

from overshoot_flow_connectors.fleet_model import FleetSink
from overshoot_flow_pipelines.archive import ArchiveReport
from overshoot_flow_pipelines.summary import summary_lines
from overshoot_flow_pipelines.tally import Tally


def fleet_summary(report: ArchiveReport, tally: Tally, sinks: Iterable[FleetSink]) -> list[str]:
    """Say what became of every frame, in total and by camera, and where the records are."""
    first, *others = sinks
    lines = summary_lines(report, tally.total, first.place)
    lines += [f"                 {each.place}" for each in others]
    for name in sorted(tally.streams()):
        counts = tally.of(name)
        reasons = ", ".join(f"{each}: {number}" for each, number in counts.gap_reasons.items())
        lines.append(
            f"{name:16} {counts.results:>8} results, {counts.dead_letters} dead letters, "
            f"{counts.gaps} gaps{f' ({reasons})' if reasons else ''}, {counts.cost_cents:.2f} cents"
        )
    return lines
