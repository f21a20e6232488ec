"""Windows and what they settle: each asked once and each frame settled once, over all lives."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overshoot_flow.protocol.windows import EveryFrame, Interval, Window, WindowPlan, Windows
from overshoot_flow.results import Piece
from overshoot_flow.session.outcomes import PendingFrame
from overshoot_flow.session.progress import Progress
from overshoot_flow.session.window_cells import WindowCell, WindowCells

STEP = "ask"
Asked = tuple[Window, tuple[int, ...]]


def frame(pts_us: int, duration_us: int) -> PendingFrame:
    return PendingFrame(pts_us, duration_us, None, "media", None)


def frames_at(*tenths: int) -> list[PendingFrame]:
    return [frame(at * 100_000, 100_000) for at in tenths]


def cells_of(plan: WindowPlan, frames: Sequence[PendingFrame]) -> list[WindowCell]:
    cells = WindowCells(plan)
    over = [cell for one in frames for cell in cells.push(one)]
    return [*over, *cells.finish(frames[-1].end_us)]


def tenths(frames: Sequence[PendingFrame]) -> list[int]:
    return [one.pts_us // 100_000 for one in frames]


def told(cell: WindowCell) -> tuple[int, int, list[int], list[int], int, int]:
    return (
        cell.window.start_us // 100_000,
        cell.window.end_us // 100_000,
        tenths(cell.seen),
        tenths(cell.settles),
        cell.frames_covered,
        cell.until_us // 100_000,
    )


@pytest.mark.parametrize(
    ("plan", "at", "expected"),
    [
        (
            Windows(0.2),
            range(5),
            [(0, 2, [0, 1], [0, 1], 2, 2), (2, 4, [2, 3], [2, 3], 2, 4), (4, 5, [4], [4], 1, 5)],
        ),
        # Overlap: the last window is the first that reaches the end, and settles the rest.
        (
            Windows(0.3, 0.1),
            range(5),
            [
                (0, 3, [0, 1, 2], [0], 1, 1),
                (1, 4, [1, 2, 3], [1], 1, 2),
                (2, 5, [2, 3, 4], [2, 3, 4], 3, 5),
            ],
        ),
        # Between windows: settled with the one before.
        (
            Windows(0.1, 0.3),
            range(5),
            [(0, 1, [0], [0, 1, 2], 1, 3), (3, 4, [3], [3, 4], 1, 5)],
        ),
        # Before the first window that has a frame: settled with it.
        (Windows(0.1, 0.3), [1, 2, 3], [(3, 4, [3], [1, 2, 3], 1, 4)]),
        # Without a frame in its stride: its successor shows the same.
        (
            Windows(0.3, 0.1),
            [0, 2, 3, 4],
            [(0, 3, [0, 2], [0], 1, 2), (2, 5, [2, 3, 4], [2, 3, 4], 3, 5)],
        ),
        # The last window settles what follows it although nothing is in its own stride.
        (Windows(0.3, 0.1), [0, 3, 4], [(0, 3, [0], [0], 1, 3), (2, 5, [3, 4], [3, 4], 2, 5)]),
        (Windows(10, max_fps=5), range(4), [(0, 4, [0, 2], [0, 1, 2, 3], 4, 4)]),
        (
            Interval(Fraction(1, 5)),
            range(3),
            [(0, 2, [0], [0, 1], 2, 2), (2, 3, [2], [2], 1, 3)],
        ),
        (
            EveryFrame(),
            [0, 1, 3],
            [(t, t + 1, [t], [t], 1, u) for t, u in [(0, 1), (1, 3), (3, 4)]],
        ),
    ],
)
def test_what_a_window_shows_and_settles(
    plan: WindowPlan,
    at: Sequence[int],
    expected: list[tuple[int, int, list[int], list[int], int, int]],
) -> None:
    assert [told(cell) for cell in cells_of(plan, frames_at(*at))] == expected


def test_frames_that_no_window_ever_looks_at_stay_unsettled() -> None:
    cells = WindowCells(Windows(0.1, 1))
    assert [cells.push(one) for one in frames_at(3, 4)] == [[], []]
    assert cells.finish(500_000) == []
    assert tenths(cells.take_unsettled()) == [3, 4]


def test_what_is_not_over_can_be_given_up() -> None:
    cells = WindowCells(Windows(0.2))
    over = [cell for one in frames_at(0, 1, 2) for cell in cells.push(one)]
    assert [tenths(cell.settles) for cell in over] == [[0, 1]]
    assert tenths(cells.take_unsettled()) == [2]
    assert cells.needed_from_us is None


def test_it_is_known_at_once_which_frames_are_looked_at_and_needed() -> None:
    cells = WindowCells(Windows(0.4, 0.2, max_fps=5))
    seen, needed = [], []
    for one in frames_at(*range(6)):
        cells.push(one)
        seen.append(cells.newest_is_seen)
        needed.append((cells.needed_from_us or 0) // 100_000)
    assert seen == [True, False, True, False, True, False]
    assert needed == [0, 0, 0, 0, 2, 2]


plans = st.one_of(
    st.builds(
        Windows,
        st.integers(1, 40).map(lambda n: Fraction(n, 10)),
        st.none() | st.integers(1, 40).map(lambda n: Fraction(n, 10)),
        st.none() | st.integers(1, 12),
    ),
    st.builds(Interval, st.integers(1, 20).map(lambda n: Fraction(n, 10))),
    st.just(EveryFrame()),
)
media = st.lists(st.tuples(st.integers(1, 1_500_000), st.booleans()), min_size=1, max_size=40)


def made(steps: list[tuple[int, bool]]) -> list[PendingFrame]:
    """Frames whose duration reaches to the next one, or leaves a hole."""
    frames, at_us = [], 0
    for step_us, leaves_hole in steps:
        frames.append(frame(at_us, max(1, step_us // 3) if leaves_hole else step_us))
        at_us += step_us
    return frames


def asked(cell: WindowCell) -> Asked:
    return cell.window, tuple(one.pts_us for one in cell.pictures)


def ideal(plan: WindowPlan, frames: list[PendingFrame]) -> list[Asked]:
    """Every window by definition; without those in whose stride no frame begins."""
    end_us = frames[-1].end_us
    in_window: dict[Window, list[int]] = {}
    own = set()
    for one in frames:
        windows = plan.windows_of(one.pts_us, one.duration_us)
        for window in windows:
            in_window.setdefault(window, []).append(one.pts_us)
        own.update(windows[-1:])
    last = [each for each in in_window if each.start_us <= plan.last_start_us(end_us)]
    own.add(max(last))
    return sorted(
        (Window(each.start_us, min(each.end_us, end_us)), tuple(in_window[each]))
        for each in own.intersection(last)
    )


@given(plan=plans, steps=media, crashes=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9))))
@settings(max_examples=300, deadline=None)
def test_whenever_a_run_dies_each_window_and_each_frame_comes_once(
    plan: WindowPlan, steps: list[tuple[int, bool]], crashes: list[tuple[int, int]]
) -> None:
    frames = made(steps)
    state: dict[str, object] = {}
    windows: list[Asked] = []
    settled: list[int] = []
    for dies_after, answers_missing in [*crashes, (None, 0)]:
        progress = Progress.from_state(state)
        cells = WindowCells(plan)
        read = [one for one in frames if one.pts_us >= progress.start_us]
        over: list[WindowCell] = []
        for one in read[:dies_after]:
            if not progress.is_finished(one.pts_us):
                progress.emitted(one.pts_us)
                over += cells.push(one)
        if dies_after is None:
            over += cells.finish(frames[-1].end_us)
        durable = over[: len(over) - answers_missing] if answers_missing else over
        for cell in durable:
            start_us = min(cell.window.start_us, cell.settles[0].pts_us)
            progress.take(
                [
                    Piece(
                        step_id=STEP,
                        stream_key="k",
                        start_us=start_us,
                        end_us=cell.until_us,
                        outcomes=(),
                    )
                ],
                [STEP],
            )
            windows.append(asked(cell))
            settled += [one.pts_us for one in cell.settles]
        progress.take([], [STEP])
        state = progress.to_state()
    assert windows == ideal(plan, frames)
    assert settled == [one.pts_us for one in frames]
