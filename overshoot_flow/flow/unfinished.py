"""What earlier parts of a run have left unfinished of a live stream."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from overshoot_flow.session.position import Position


def unfinished(
    positions: Sequence[Position], until_us: int, cut_us: int | None
) -> list[tuple[int, int]]:
    """Return the stretches before `until_us` that some position has not finished, in order.

    They are cut wherever a position changes, so that each stretch is finished as a whole, or not
    at all, for every position; and at `cut_us`.
    """
    if not positions:
        positions = [Position()]
    cuts = {until_us, *(bound for position in positions for bound in _bounds_of(position))}
    if cut_us is not None:
        cuts.add(cut_us)
    begin_us = min(position.prefix_us for position in positions)
    inside = sorted(cut for cut in cuts if begin_us <= cut <= until_us)
    stretches = pairwise([begin_us, *inside])
    return [
        (start_us, end_us)
        for start_us, end_us in stretches
        if start_us < end_us and not all(each.is_finished(start_us) for each in positions)
    ]


def _bounds_of(position: Position) -> Iterable[int]:
    yield position.prefix_us
    for start_us, end_us in position.stretches:
        yield start_us
        yield end_us


def end_of(position: Position) -> int:
    """Return where the newest finished media of `position` ends."""
    return max(_bounds_of(position))
