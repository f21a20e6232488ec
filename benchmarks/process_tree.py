"""What a process and all of its descendants use, from `/proc`."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/PID/stat after the name in parentheses.
_PARENT: Final = 1
_CPU_FIELDS: Final = slice(11, 15)
"""User and system time, of the process and of its children that have ended."""
_THREADS: Final = 17
_RESIDENT_PAGES: Final = 21


@dataclass(frozen=True, kw_only=True)
class TreeUse:
    """Use of a process and its descendants at one moment.

    Attributes:
        cpu_s: CPU seconds so far, user and system.
        rss_bytes: Resident memory; pages that several of them share count for each.
        threads: Threads.
        processes: How many processes they are.
    """

    cpu_s: float
    rss_bytes: int
    threads: int
    processes: int


def use_of(pid: int) -> TreeUse:
    """Return what `pid` and its descendants use."""
    facts: dict[int, list[str]] = {}
    children: defaultdict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        fields = text.rpartition(")")[2].split()
        facts[int(entry.name)] = fields
        children[int(fields[_PARENT])].append(int(entry.name))
    tree, new = [], [pid]
    while new:
        tree += new
        new = [child for parent in new for child in children[parent]]
    members = [facts[member] for member in tree if member in facts]
    return TreeUse(
        cpu_s=sum(sum(map(int, fields[_CPU_FIELDS])) for fields in members) / _TICKS_PER_S,
        rss_bytes=sum(int(fields[_RESIDENT_PAGES]) for fields in members) * _PAGE_BYTES,
        threads=sum(int(fields[_THREADS]) for fields in members),
        processes=len(members),
    )


def open_files(pid: int) -> int:
    """Return how many file descriptors `pid` has open, without its descendants."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
