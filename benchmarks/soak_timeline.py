"""Whether the rows of a run account for every moment and every frame of its cameras."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

Span = tuple[int, int]
_DATASETS = ("results", "dead_letters", "gaps")
_FRAME_COLUMNS = ("frames_covered", "frames_between", "frames_lost")


def rows_of(folder: Path) -> dict[str, list[Mapping[str, Any]]]:
    """Return all rows that account for media, by camera."""
    rows: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for name in _DATASETS:
        if (folder / name).exists():
            for row in ds.dataset(folder / name).to_table().to_pylist():
                rows[row["stream_key"]].append(row)
    return dict(rows)


def span_of(row: Mapping[str, Any]) -> Span | None:
    """Return the media time in µs that a row accounts for."""
    if row.get("settled_start_us") is not None:
        return row["settled_start_us"], row["settled_end_us"]
    return (row["media_start_us"], row["media_end_us"]) if "frames_lost" in row else None


def holes(spans: Iterable[Span], end_us: int, frame_us: int) -> list[Span]:
    """Return the stretches of `[0, end_us)`, longer than a frame, that no span accounts for."""
    covered_us = 0
    found = []
    for start_us, stop_us in sorted([*spans, (end_us, end_us)]):
        if start_us - covered_us > frame_us:
            found.append((covered_us, start_us))
        covered_us = max(covered_us, stop_us)
    return found


def frames_in(rows: Iterable[Mapping[str, Any]]) -> int:
    """Return how many frames the rows settle."""
    return sum(row.get(column) or 0 for row in rows for column in _FRAME_COLUMNS)
