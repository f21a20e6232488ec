"""What every leased stream of the server has, of whatever generation of the API: its life."""

from __future__ import annotations

import asyncio
import logging
import uuid
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import av

from overshoot_flow.local.accounts import Account
from overshoot_flow.local.clock import SteadyClock
from overshoot_flow.local.engines.base import SeenFrame
from overshoot_flow.local.owned_tasks import OwnedTasks

EndReason = Literal[
    "client_requested",
    "webrtc_disconnected",
    "livekit_disconnected",
    "lease_expired",
    "insufficient_credits",
    "server_stopped",
]
"""Why a stream ended: the contract's close reasons, and the server's own end."""

_logger = logging.getLogger(__name__)


class LeasedStream(ABC):
    """A stream from its creation to its end; those that derive from it say what a picture is for.

    Args:
        account: Whose stream it is.
        clock: The server's clock.
        lease_ttl_s: Without a keepalive it ends after this many seconds.

    Attributes:
        closed: Set when everything is closed.
        close_source: Closes what brings the pictures, or None.
        frames_received: How many pictures came.
        size: Width and height of the newest picture, or None.
    """

    def __init__(self, account: Account, clock: SteadyClock, lease_ttl_s: float) -> None:
        self.id = str(uuid.uuid4())
        self.account = account
        self.lease_ttl_s = lease_ttl_s
        self.created_s = clock.now_s()
        self.lease_expires_s = self.created_s + lease_ttl_s
        self.ended_s: float | None = None
        self.end_reason: EndReason | None = None
        self.closed = asyncio.Event()
        self.close_source: Callable[[], Awaitable[None]] | None = None
        self.keepalives = 0
        self.frames_received = 0
        self.size: tuple[int, int] | None = None
        self._clock = clock
        self._ending = asyncio.Event()

    async def run(self) -> None:
        """Live until `end` is called, then close everything in order."""
        tasks = OwnedTasks()
        tasks.start(self._watch_lease(), f"lease of {self.id}")
        self._start_tasks(tasks)
        try:
            await self._ending.wait()
        finally:
            await tasks.stop()
            if self.close_source is not None:
                await self.close_source()
            self._forget_pictures()
            self.closed.set()

    def end(self, reason: EndReason) -> None:
        """End the stream; the first reason counts."""
        if self.end_reason is not None:
            return
        self.end_reason = reason
        self.ended_s = self._clock.now_s()
        self.account.streams.discard(self.id)
        self._ended(reason, self.ended_s)
        self._ending.set()
        _logger.info("stream %s ended: %s", self.id, reason)

    def picture_arrived(self, picture: av.VideoFrame) -> None:
        """Take a decoded picture."""
        if self.end_reason is not None:
            return
        if picture.format.name != "yuv420p":
            picture = picture.reformat(format="yuv420p")
        self.frames_received += 1
        self.size = (picture.width, picture.height)
        self._take(SeenFrame(picture, self._clock.now_s()))

    def report(self) -> dict[str, Any]:
        """What `GET /_local/streams` shows."""
        width, height = self.size or (None, None)
        return {
            "stream_id": self.id,
            "state": "active" if self.end_reason is None else "ended",
            "end_reason": self.end_reason,
            "frames_received": self.frames_received,
            "frames_evicted_early": self._evicted_early,
            "width": width,
            "height": height,
            "created_at": rfc3339(self.created_s),
            "ended_at": None if self.ended_s is None else rfc3339(self.ended_s),
            "keepalives": self.keepalives,
        }

    def _renew_lease(self) -> None:
        self.lease_expires_s = self._clock.now_s() + self.lease_ttl_s

    async def _watch_lease(self) -> None:
        while True:
            left_s = self.lease_expires_s - self._clock.now_s()
            if left_s <= 0:
                break
            await asyncio.sleep(left_s)
        self.end("lease_expired")

    @property
    @abstractmethod
    def _evicted_early(self) -> int:
        """How many pictures were let go for want of memory."""

    @abstractmethod
    def _start_tasks(self, tasks: OwnedTasks) -> None:
        """Start what runs as long as the stream lives."""

    @abstractmethod
    def _take(self, frame: SeenFrame) -> None:
        """Take a picture of a living stream."""

    @abstractmethod
    def _ended(self, reason: EndReason, ended_s: float) -> None:
        """The stream has just ended."""

    @abstractmethod
    def _forget_pictures(self) -> None:
        """Nobody will look at them any more."""


@dataclass(slots=True, kw_only=True)
class Departure:
    """Ends a stream some time after its publisher has gone, unless one comes back.

    Args:
        stream: The stream.
        reason: What it then ends with.
        left_grace_s: Grace after a goodbye.
        lost_grace_s: Grace after a loss without a word.
    """

    stream: LeasedStream
    reason: EndReason
    left_grace_s: float
    lost_grace_s: float
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    def publisher_arrived(self) -> None:
        """There is a publisher."""
        self.cancel()

    def publisher_gone(self, *, said_goodbye: bool) -> None:
        """There is none any more."""
        self.cancel()
        if self.stream.end_reason is not None:
            return
        grace_s = self.left_grace_s if said_goodbye else self.lost_grace_s
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(grace_s, self.stream.end, self.reason)

    def cancel(self) -> None:
        """Forget the departure."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def rfc3339(moment_s: float) -> str:
    """Write seconds of UTC since 1970 as the contract writes times."""
    return datetime.fromtimestamp(moment_s, UTC).isoformat().replace("+00:00", "Z")
