"""Dead letters for people and programs: how many there are of each reason, and the newest."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from overshoot_flow.results import Failure
from overshoot_flow_connectors.parquet_dead_letters import key_of
from overshoot_flow_connectors.replay_report import ReplayReport

_MAX_TEXT_CHARS = 72


@dataclass(slots=True)
class ReasonGroup:
    """What the dead letters of one reason have in common."""

    reason: str
    letters: int = 0
    replayed: int = 0
    streams: set[str] = field(default_factory=set)
    schema_keys: set[str] = field(default_factory=set)
    first_us: int = 0
    last_us: int = 0
    example: str = ""

    def add(self, failure: Failure, *, is_replayed: bool) -> None:
        """Count one more."""
        if not self.letters or failure.received_at_us < self.first_us:
            self.first_us = failure.received_at_us
        if not self.letters or failure.received_at_us >= self.last_us:
            self.last_us = failure.received_at_us
            self.example = _complaint(failure)
        self.letters += 1
        self.replayed += is_replayed
        self.streams.add(failure.stream_key)
        if failure.schema_json is not None:
            self.schema_keys.add(key_of(failure))

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "reason": self.reason,
            "letters": self.letters,
            "replayed": self.replayed,
            "streams": len(self.streams),
            "schema_keys": sorted(self.schema_keys),
            "first_received_at": _moment(self.first_us),
            "last_received_at": _moment(self.last_us),
            "example": self.example,
        }


@dataclass(slots=True)
class DeadLetterReport:
    """The groups, the greatest first, and the newest dead letters, the newest first."""

    groups: list[ReasonGroup]
    newest: list[Failure]
    replayed: Container[str]

    @classmethod
    def of(
        cls, failures: Iterable[Failure], replayed: Container[str], limit: int
    ) -> DeadLetterReport:
        """Count `failures`, and keep at most `limit` of them."""
        groups: dict[str, ReasonGroup] = {}
        newest: list[tuple[int, int, Failure]] = []
        for order, failure in enumerate(failures):
            group = groups.setdefault(failure.reason, ReasonGroup(failure.reason.value))
            group.add(failure, is_replayed=failure.result_id in replayed)
            heapq.heappush(newest, (failure.received_at_us, order, failure))
            if len(newest) > limit:
                heapq.heappop(newest)
        return cls(
            sorted(groups.values(), key=lambda group: (-group.letters, group.reason)),
            [failure for *_, failure in sorted(newest, reverse=True)],
            replayed,
        )

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "groups": [group.to_document() for group in self.groups],
            "newest": [self._letter(failure) for failure in self.newest],
        }

    def lines(self) -> list[str]:
        """Return it as text for people."""
        if not self.groups:
            return ["no dead letters"]
        lines = [f"{'reason':<16}{'letters':>8}{'replayed':>10}{'streams':>9}  newest example"]
        lines += [
            f"{each.reason:<16}{each.letters:>8}{each.replayed:>10}{len(each.streams):>9}  "
            f"{_short(each.example)}"
            for each in self.groups
        ]
        keys = sorted(set[str]().union(*(each.schema_keys for each in self.groups)))
        if len(keys) > 1:
            lines.append(f"schema keys: {', '.join(keys)}")
        for failure in self.newest:
            mark = "  (replayed)" if failure.result_id in self.replayed else ""
            at = _moment(failure.received_at_us)
            lines += [
                "",
                f"{failure.result_id}  {at}  {failure.stream_key}{mark}",
                f"  {failure.reason.value}: {_short(_complaint(failure))}",
            ]
            if failure.raw_text is not None:
                lines.append(f"  {_short(ascii(failure.raw_text))}")
        return lines

    def _letter(self, failure: Failure) -> dict[str, Any]:
        return {
            "result_id": failure.result_id,
            "stream_key": failure.stream_key,
            "received_at": _moment(failure.received_at_us),
            "media_start_us": failure.media_start_us,
            "media_end_us": failure.media_end_us,
            "reason": failure.reason.value,
            "detail": failure.detail,
            "instance_path": failure.instance_path,
            "schema_path": failure.schema_path,
            "schema_key": None if failure.schema_json is None else key_of(failure),
            "replayed": failure.result_id in self.replayed,
            "raw_text": failure.raw_text,
        }


def replay_document(report: ReplayReport) -> dict[str, Any]:
    """Return what a replay has done as JSON data."""
    return {
        "moved": report.moved,
        "done_before": report.done_before,
        "failing": dict(report.failing),
        "not_replayable": dict(report.not_replayable),
        "asked": report.asked,
        "cost_cents": report.cost_cents,
        "not_asked": [
            {
                "result_id": each.result_id,
                "stream_key": each.stream_key,
                "why": each.why.value,
                "detail": each.detail,
            }
            for each in report.not_asked
        ],
    }


def replay_lines(report: ReplayReport, limit: int) -> list[str]:
    """Return what a replay has done as text for people; `limit` bounds those that are named."""
    lines = [
        f"moved to results{report.moved:>10}",
        f"done before{report.done_before:>15}",
        f"still failing{report.failing.total():>13}{_by_reason(report.failing)}",
        f"cannot be replayed{report.not_replayable.total():>8}{_by_reason(report.not_replayable)}",
    ]
    if report.asked:
        lines.append(f"asked again{report.asked:>15}   {report.cost_cents:.4f} cents")
    if report.not_asked:
        why = Counter(each.why.value for each in report.not_asked)
        lines.append(f"not asked{why.total():>17}{_by_reason(why)}")
        lines += [
            f"  {each.result_id}  {each.stream_key}  {each.why.value}: {each.detail}"
            for each in report.not_asked[:limit]
        ]
    return lines


def _by_reason(counted: dict[str, int]) -> str:
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(counted.items()))
    return f"   {reasons}" if reasons else ""


def _complaint(failure: Failure) -> str:
    return f"{failure.instance_path}: {failure.detail}" if failure.instance_path else failure.detail


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_TEXT_CHARS else f"{line[: _MAX_TEXT_CHARS - 1]}…"


def _moment(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).isoformat(timespec="milliseconds")
