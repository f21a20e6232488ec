"""Asks once more about some windows of one archive; the pictures travel in the questions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from overshoot_flow.errors import MediaError
from overshoot_flow.inference import Inference
from overshoot_flow.media.access_units import Picture
from overshoot_flow.media.assembly import MediaProblem
from overshoot_flow.protocol.v1_chat import ChatAnswer
from overshoot_flow.protocol.windows import Window
from overshoot_flow.session.inline_windows import InlineWindows
from overshoot_flow.session.outcomes import PendingFrame
from overshoot_flow.session.window_asker import WindowAsker
from overshoot_flow.session.window_cells import WindowCell
from overshoot_flow.transport_config import Inline

_APART_US: Final = 5_000_000
"""Windows that begin so much later than the one before has ended are sought in the file."""

_PICTURES_AT_ONCE: Final = 32
_READING_POLL_S: Final = 0.005


class NotAsked(StrEnum):
    """Why a window is not asked about again."""

    CAMERA = "camera"
    """What a camera showed is gone."""
    NO_WINDOW = "no_window"
    """The record is not about a window that the client made: v0.2 chose the pictures."""
    QUESTION = "question"
    """Another question was asked than is given now."""
    SOURCE = "source"
    """The file cannot be read."""
    CHANGED = "changed"
    """The file is not the one that was asked about."""
    WINDOWS = "windows"
    """The windows that are given now are others."""
    PICTURES = "pictures"
    """The window has other pictures now than it had then."""
    BUDGET = "budget"
    """The budget is spent."""


class PictureReader(Protocol):
    """Decodes in a thread; `overshoot_flow.media.reader.FrameReader` is one."""

    def poll(self, max_frames: int) -> Sequence[Picture | MediaProblem]:
        """Return what is ready, at most `max_frames` items, without ever blocking."""
        ...

    @property
    def exhausted(self) -> bool:
        """Whether everything was read and polled."""
        ...

    def close(self) -> None:
        """Stop the thread and wait for it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowAgain:
    """A window that is to be asked about again, and what its record says of its pictures.

    Attributes:
        window: The stretch, with its true length.
        frames_covered: How many of the frames that were settled with it lay in it.
        frames_between: How many of them lay after it.
        size: Width and height of what was shown, or None if that may be another now.
        said: The first question's answer, if only the second one is to be asked.
    """

    window: Window
    frames_covered: int
    frames_between: int
    size: tuple[int, int] | None = None
    said: ChatAnswer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowsAgain:
    """Reads the parts of a file that windows lie in, and has these asked about.

    Args:
        settings: How the pictures travel; as they did before.
        inference: What is asked.
        asker: Asks; entered already.
        open_reader: Opens the file at a media time in µs, sampled as before; may block.
        not_asked: Learns of a window that is not asked about, why, and in words.
    """

    settings: Inline
    inference: Inference
    asker: WindowAsker
    open_reader: Callable[[int], PictureReader]
    not_asked: Callable[[WindowAgain, NotAsked, str], None]

    async def ask(self, wanted: Iterable[WindowAgain]) -> None:
        """Ask about `wanted`, and wait for the answers; stop when the budget is spent.

        Raises:
            OvershootFlowError: No question can be answered.
        """
        for stretch in _stretches(wanted):
            if self.asker.is_over_budget:
                break
            await _Stretch(self, stretch).ask()
        await self.asker.drained()


class _Stretch:
    """Neighbouring windows, for which the file is read once."""

    def __init__(self, place: WindowsAgain, wanted: Sequence[WindowAgain]) -> None:
        self._place = place
        self._start_us = wanted[0].window.start_us
        self._left = {each.window: each for each in wanted}
        self._by_window = dict(self._left)
        self._windows = InlineWindows(
            place.settings,
            place.inference,
            place.asker,
            no_picture=self._no_picture,
            wants=self._wants,
            said={each.window: each.said for each in wanted if each.said is not None},
        )

    async def ask(self) -> None:
        """Ask; what is not found in the file is refused."""
        try:
            await self._ask()
        except MediaError as error:
            self._refuse_left(NotAsked.SOURCE, str(error))
        finally:
            self._windows.close()
        if not self._place.asker.is_over_budget:
            self._refuse_left(NotAsked.WINDOWS, "no such window is to be read from the video now")

    async def _ask(self) -> None:
        asker = self._place.asker
        reader = await asyncio.to_thread(self._place.open_reader, self._start_us)
        try:
            while self._left and not asker.is_over_budget:
                items = reader.poll(_PICTURES_AT_ONCE)
                for item in items:
                    if not isinstance(item, MediaProblem):
                        await self._windows.take(PendingFrame.of(item))
                if not items and reader.exhausted:
                    await self._windows.finish()
                    break
                if not items:
                    await asyncio.sleep(_READING_POLL_S)
        finally:
            await asyncio.to_thread(reader.close)

    def _wants(self, cell: WindowCell) -> bool:
        again = self._left.pop(cell.window, None)
        if again is None:
            return False
        then = (again.frames_covered, again.frames_between)
        now = (cell.frames_covered, len(cell.settles) - cell.frames_covered)
        if now != then:
            self._refuse(
                again,
                NotAsked.PICTURES,
                f"{_frames(now)} now, {_frames(then)} then: give the sampling as it was; what "
                "steps of your own left out or changed cannot be shown again",
            )
            return False
        if again.size not in (None, self._windows.size):
            shown = "x".join(map(str, self._windows.size))
            self._refuse(
                again,
                NotAsked.PICTURES,
                f"pictures of {shown} now, of {'x'.join(map(str, again.size or ()))} then: give "
                "the height as it was",
            )
            return False
        return True

    def _no_picture(self, cell: WindowCell) -> None:
        self._refuse(self._by_window[cell.window], NotAsked.PICTURES, "no picture can be shown")

    def _refuse_left(self, why: NotAsked, detail: str) -> None:
        for again in self._left.values():
            self._refuse(again, why, detail)
        self._left.clear()

    def _refuse(self, again: WindowAgain, why: NotAsked, detail: str) -> None:
        self._place.not_asked(again, why, detail)


def _frames(counts: tuple[int, int]) -> str:
    return f"{counts[0]} frames in the window and {counts[1]} after it"


def _stretches(wanted: Iterable[WindowAgain]) -> list[list[WindowAgain]]:
    stretches: list[list[WindowAgain]] = []
    end_us = 0
    for each in sorted(wanted, key=lambda again: again.window):
        if not stretches or each.window.start_us > end_us + _APART_US:
            stretches.append([])
        stretches[-1].append(each)
        end_us = max(end_us, each.window.end_us)
    return stretches
