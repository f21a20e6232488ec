"""Whether a fleet file that is watched must be read again: decisions without a clock or a disk.

Whoever watches asks the disk for `FileFacts` every few seconds and does what the watch says:

    facts = file_facts(watch.fleet.files)
    if watch.must_read(facts, now_ns):
        watch = watch.after_reading(facts, load)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from overshoot_flow.errors import FleetFileError
from overshoot_flow_connectors.fleet_changes import FleetChanges, compare
from overshoot_flow_connectors.fleet_model import Fleet

SETTLING_NS: Final = 2_000_000_000
"""A file that was written this recently may be written again without a new time stamp."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """One file, as the disk has it; None where it cannot be read.

    Attributes:
        path: The file.
        mtime_ns: Time of its last change, in ns of UTC.
        size: Size in bytes.
        digest: SHA-256 of its content, in hex.
    """

    path: Path
    mtime_ns: int | None = None
    size: int | None = None
    digest: str | None = None


def file_facts(files: Sequence[Path]) -> tuple[FileFacts, ...]:
    """Ask the disk about the files of a fleet; they are small, so their content is read too."""
    return tuple(_facts(file) for file in files)


def _facts(file: Path) -> FileFacts:
    try:
        status = file.stat()
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        # That it is gone is a fact; reading the fleet will say why.
        return FileFacts(path=file)
    return FileFacts(path=file, mtime_ns=status.st_mtime_ns, size=status.st_size, digest=digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetWatch:
    """A fleet that runs, and what is known of its files. A value: every step gives a new one.

    Attributes:
        fleet: The newest fleet that was right; it runs on while the files are wrong.
        facts: What the files were when they were read last.
        problem: What is wrong with the files now, or None.
        changes: What the last reading changed.
        is_news: Whether the last reading found a problem or ended one, which must be reported.
    """

    fleet: Fleet
    facts: tuple[FileFacts, ...]
    problem: FleetFileError | None = None
    changes: FleetChanges = field(default_factory=FleetChanges)
    is_news: bool = False

    def must_read(self, facts: tuple[FileFacts, ...], now_ns: int) -> bool:
        """Say whether the fleet must be read again.

        Args:
            facts: What the files are now; the digest may be left out where time and size are
                those of the last reading, and that is not too recent to be sure.
            now_ns: UTC in ns.
        """
        if self.problem is not None:
            # What is missing may be a file that no fleet has named before.
            return True
        known = {each.path: each for each in self.facts}
        return any(self._differs(known.get(each.path), each, now_ns) for each in facts)

    @staticmethod
    def _differs(before: FileFacts | None, now: FileFacts, now_ns: int) -> bool:
        if before is None:
            return True
        if now.digest is not None:
            # A file that was touched, or written with the same words, is no other fleet.
            return now.digest != before.digest
        same = (before.mtime_ns, before.size) == (now.mtime_ns, now.size)
        return not same or (now.mtime_ns is not None and now_ns - now.mtime_ns < SETTLING_NS)

    def after_reading(self, facts: tuple[FileFacts, ...], load: Callable[[], Fleet]) -> FleetWatch:
        """Read the fleet; one that is wrong changes nothing but `problem`.

        Args:
            facts: What the files were before they were read, so that an edit in between is seen.
            load: Reads the fleet.
        """
        try:
            fleet = load()
        except FleetFileError as error:
            known = None if self.problem is None else self.problem.problems
            return replace(
                self,
                facts=facts,
                problem=error,
                changes=FleetChanges(),
                is_news=error.problems != known,
            )
        return FleetWatch(
            fleet=fleet,
            facts=facts,
            changes=compare(self.fleet, fleet),
            is_news=self.problem is not None,
        )
