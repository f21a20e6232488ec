"""From an archive's pictures to windows whose pictures travel in the questions about them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

from overshoot_flow.inference import Inference
from overshoot_flow.media.access_units import AccessUnit, Picture
from overshoot_flow.protocol.v1_chat import ChatAnswer
from overshoot_flow.protocol.windows import Window, from_origin
from overshoot_flow.session.inline_pictures import InlinePictures, WindowMedia
from overshoot_flow.session.outcomes import Delivery, PendingFrame
from overshoot_flow.session.window_asker import WindowAsker
from overshoot_flow.session.window_cells import WindowCell, WindowCells
from overshoot_flow.session.window_job import WindowJob
from overshoot_flow.transport_config import Inline

MAX_ASKED_BYTES: Final = 128 * 1024 * 1024
"""Of the media of windows that are being asked about; the next window waits (it is never dropped).
A single window may be larger."""

T = TypeVar("T")


class InlineWindows:
    """Puts the pictures of one medium into windows, and gives these to what asks.

    What is kept of a picture is encoded, of the windows that are not over and of those that are
    being asked about.

    Args:
        settings: Quality and size of the pictures.
        inference: What is asked.
        asker: Asks about the windows.
        no_picture: Learns of a window of which nothing can be shown.
        begins_us: Media time at which the first window begins.
        wants: Whether a window is to be asked about; called for each, in order. The others are
            passed over.
        said: First questions' answers that are known already, by window.
    """

    def __init__(
        self,
        settings: Inline,
        inference: Inference,
        asker: WindowAsker,
        *,
        no_picture: Callable[[WindowCell], None],
        begins_us: int = 0,
        wants: Callable[[WindowCell], bool] = lambda _: True,
        said: Mapping[Window, ChatAnswer] | None = None,
    ) -> None:
        self._questions = inference.questions
        self._asker = asker
        self._no_picture = no_picture
        self._wants = wants
        self._said = said or {}
        self._cells = WindowCells(from_origin(inference.window_plan, begins_us))
        self._pictures = InlinePictures(settings)
        # One thread: the decoder before it takes as long, and streams run side by side.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="window-pictures")
        # Windows that are over and not yet taken by the asker; as many as end with one frame.
        self._over: deque[WindowCell] = deque()
        # Bytes of the windows that were asked about, the oldest that is not recorded first.
        self._asked_bytes: deque[int] = deque()
        self._recorded_before = asker.windows_recorded
        self._asked = 0
        self._end_us = 0
        self._taken = 0

    @property
    def damaged(self) -> int:
        """Pictures that could not be shown."""
        return self._pictures.damaged

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the newest picture, as it is shown."""
        return self._pictures.size

    async def take(self, pending: PendingFrame) -> None:
        """Take the next frame; wait until there is room for the windows that are over with it.

        Raises:
            OvershootFlowError: No question of this run can be answered.
        """
        picture, pending.frame = pending.frame, None
        self._taken += 1
        self._end_us = pending.end_us
        await self._ask(self._cells.push(pending))
        await self._keep(picture)

    async def finish(self) -> None:
        """No frame comes: ask about the windows that are over with that.

        Raises:
            OvershootFlowError: No question of this run can be answered.
        """
        await self._ask(self._cells.finish(self._end_us))

    def take_unsettled(self) -> tuple[PendingFrame, ...]:
        """Give up what is not asked about; return its frames, in order."""
        over = [frame for cell in self._over for frame in cell.settles]
        self._over.clear()
        return (*over, *self._cells.take_unsettled())

    def close(self) -> None:
        """End the thread, when it has done what it is doing."""
        self._thread.shutdown()

    async def _keep(self, picture: Picture | None) -> None:
        pictures, is_seen = self._pictures, self._cells.newest_is_seen
        needed_from_us = self._cells.needed_from_us
        if isinstance(picture, AccessUnit):
            pictures.add(picture, is_seen=is_seen)
            if pictures.wants_decoding and needed_from_us is not None:
                await self._in_thread(partial(pictures.decode, needed_from_us, picture.pts_us))
        elif picture is not None and is_seen:
            await self._in_thread(partial(pictures.add, picture, is_seen=True))

    async def _ask(self, cells: Sequence[WindowCell]) -> None:
        self._over.extend(cells)
        while self._over:
            cell = self._over[0]
            if self._wants(cell):
                media = await self._media_of(cell)
                if media is None:
                    self._no_picture(cell)
                else:
                    await self._make_room(media.size_bytes)
                    await self._asker.ask(self._job(cell, media))
                    self._asked += 1
                    self._asked_bytes.append(media.size_bytes)
            self._over.popleft()
        needed_from_us = self._cells.needed_from_us
        if cells and needed_from_us is not None:
            self._pictures.forget_before(needed_from_us)

    async def _media_of(self, cell: WindowCell) -> WindowMedia | None:
        return await self._in_thread(
            partial(
                self._pictures.media_of,
                [frame.pts_us for frame in cell.pictures],
                [frame.pts_us for frame in cell.seen],
                self._questions,
            )
        )

    async def _make_room(self, size_bytes: int) -> None:
        """Large windows wait, though there may be room for their questions."""
        asker = self._asker
        while True:
            recorded = asker.windows_recorded - self._recorded_before
            while len(self._asked_bytes) > max(0, self._asked - recorded):
                self._asked_bytes.popleft()
            if not self._asked_bytes or sum(self._asked_bytes) + size_bytes <= MAX_ASKED_BYTES:
                return
            await asker.recorded(asker.windows_recorded + 1)

    def _job(self, cell: WindowCell, media: WindowMedia) -> WindowJob:
        return WindowJob(
            window=cell.window,
            seen=cell.seen,
            settles=cell.settles,
            frames_covered=cell.frames_covered,
            until_us=cell.until_us,
            show=media.parts,
            said=self._said.get(cell.window),
            delivery=Delivery(width=media.width, height=media.height, captured=self._taken),
        )

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Encoding must not hold up the answers of other streams."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
