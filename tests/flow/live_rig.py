"""A live partition with a reader and a clock that the test moves."""

from __future__ import annotations

from overshoot_flow.flow.items import Item
from overshoot_flow.flow.live_partition import LivePartition
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.live_queue import LiveGap, LiveQueue
from overshoot_flow.results import GapReason, Piece
from overshoot_flow.session.clock import SteadyUtc
from overshoot_flow.session.ledger import LEDGER, Account

BEGUN_US = 1_800_000_000_000_000


class ChosenClock:
    """Both clocks, moved by hand."""

    def __init__(self, now_us: int = BEGUN_US) -> None:
        self.now_us = now_us

    def monotonic_s(self) -> float:
        return self.now_us / 1_000_000

    def wall_us(self) -> int:
        return self.now_us


class QueueReader:
    """A camera's queue, filled by hand."""

    def __init__(self, start_us: int) -> None:
        self.queue = LiveQueue(start_us, max_frames=4, max_bytes=10**6)
        self.closed = 0

    def poll(self, max_frames: int, max_gaps: int, now_us: int) -> list[Frame | LiveGap]:
        return self.queue.poll(max_frames, max_gaps, now_us)

    def pause(self, now_us: int, reason: GapReason, detail: str) -> None:
        self.queue.pause(now_us, reason, detail)

    def go_on(self) -> None:
        self.queue.go_on()

    def stop(self, now_us: int, reason: GapReason, detail: str) -> None:
        self.queue.end(now_us, reason, detail)

    @property
    def exhausted(self) -> bool:
        return self.queue.exhausted

    def close(self) -> None:
        self.closed += 1


class Rig:
    """A partition with its reader and clock."""

    def __init__(self, state: dict[str, object] | None = None, at_us: int = BEGUN_US) -> None:
        self.clock = ChosenClock(at_us)
        self.reader: QueueReader | None = None
        self.anchor_us = -1
        self.partition = LivePartition(
            "cam", "rtsp://cam", self._open, clock=SteadyUtc(self.clock), state=state
        )

    def _open(self, start_us: int, anchor_us: int) -> QueueReader:
        self.reader, self.anchor_us = QueueReader(start_us), anchor_us
        return self.reader

    @property
    def queue(self) -> LiveQueue:
        assert self.reader is not None
        return self.reader.queue

    @property
    def account(self) -> Account:
        account = LEDGER.account("cam")
        assert account is not None
        return account

    def next(self) -> list[Item]:
        return self.partition.next_batch()

    def settle(self, start_us: int, end_us: int, frames: int = 0) -> None:
        self.account.release("ask", frames)
        self.account.put(
            Piece(step_id="ask", stream_key="cam", start_us=start_us, end_us=end_us, outcomes=())
        )


def frame(number: int) -> Frame:
    return Frame(
        stream_key="cam",
        source="rtsp://cam",
        pts_us=number * 1000,
        duration_us=1000,
        width=2,
        height=2,
        data=bytes(6),
    )


def kinds(items: list[Item]) -> list[type]:
    return [type(item) for item in items]
