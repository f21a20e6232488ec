"""One leased stream of v1 or v1beta: its lease and its frames. It asks nobody anything itself."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import av

from overshoot_flow.local.accounts import Account
from overshoot_flow.local.clock import SteadyClock
from overshoot_flow.local.engines.base import SeenFrame
from overshoot_flow.local.owned_tasks import OwnedTasks
from overshoot_flow.local.stream import EndReason, rfc3339
from overshoot_flow.local.v1.config import V1Config
from overshoot_flow.local.v1.frames import RetainedFrames

_logger = logging.getLogger(__name__)


class V1Stream:
    """A stream from its creation to its end.

    Args:
        account: Whose stream it is.
        generation: `v1` or `v1beta`.
        region: Where it is served.
        config: How v1 behaves.
        max_bytes: Bound of the retained frames in bytes.
        clock: The server's clock.
    """

    def __init__(
        self,
        account: Account,
        *,
        generation: str,
        region: str,
        config: V1Config,
        max_bytes: int,
        clock: SteadyClock,
    ) -> None:
        self.id = str(uuid.uuid4())
        self.account = account
        self.generation = generation
        self.region = region
        self.frames = RetainedFrames(
            retention_s=config.retention_s, max_bytes=max_bytes, delay_s=config.ingest_delay_s
        )
        self.end_reason: EndReason | None = None
        self.ended_s: float | None = None
        self.closed = asyncio.Event()
        self.close_source: Callable[[], Awaitable[None]] | None = None
        self.keepalives = 0
        self.frames_received = 0
        self.size: tuple[int, int] | None = None
        self._clock = clock
        self._created_s = clock.now_s()
        self.lease_ttl_s = config.lease_ttl_s[generation]
        self.lease_expires_s = self._created_s + self.lease_ttl_s
        self._ending = asyncio.Event()

    async def run(self) -> None:
        """Live until `end` is called, then close everything in order."""
        tasks = OwnedTasks()
        tasks.start(self._watch_lease(), f"lease of {self.id}")
        try:
            await self._ending.wait()
        finally:
            await tasks.stop()
            if self.close_source is not None:
                await self.close_source()
            self.frames.clear()
            self.closed.set()

    def end(self, reason: EndReason) -> None:
        """End the stream; the first reason counts."""
        if self.end_reason is not None:
            return
        self.end_reason = reason
        self.ended_s = self._clock.now_s()
        self.account.streams.discard(self.id)
        self._ending.set()
        _logger.info("stream %s ended: %s", self.id, reason)

    def keepalive(self) -> None:
        """Renew the lease."""
        self.keepalives += 1
        self.lease_expires_s = self._clock.now_s() + self.lease_ttl_s

    def picture_arrived(self, picture: av.VideoFrame) -> None:
        """Take a decoded picture."""
        if self.end_reason is not None:
            return
        if picture.format.name != "yuv420p":
            picture = picture.reformat(format="yuv420p")
        self.frames_received += 1
        self.size = (picture.width, picture.height)
        self.frames.add(SeenFrame(picture, self._clock.now_s()))

    def status(self) -> dict[str, Any]:
        """The answer to `GET /streams/{id}`."""
        now_s = self._clock.now_s()
        frames = self.frames.available(now_s)
        first, last = (frames[0], frames[-1]) if frames else (None, None)
        ended = self.end_reason is not None
        return {
            "id": self.id,
            "state": "ended" if ended else "active",
            "stream_time_ms": self.frames.time_ms(now_s),
            "first_frame_at_ms": _ms(self.frames.first_arrived_s),
            "last_frame_at_ms": None if last is None else _ms(last.frame.arrived_at_s),
            "last_frame_index": None if last is None else last.index,
            "first_available_frame_at_ms": None if first is None else _ms(first.frame.arrived_at_s),
            "first_available_frame_index": None if first is None else first.index,
            "created_at_ms": _ms(self._created_s),
            "recent_fps": self.frames.recent_fps(),
            "retained_frame_count": len(frames),
            "evicted_frame_count": 0 if first is None else first.index,
            "expires_at_ms": _ms(self.lease_expires_s),
            "ttl_seconds": self.lease_ttl_s,
            "ended_at_ms": _ms(self.ended_s),
            "end_reason": self.public_end_reason,
            "audio": None,
        }

    @property
    def public_end_reason(self) -> str | None:
        """The contract's two reasons; whatever nobody asked for is an expiry."""
        if self.end_reason is None:
            return None
        return "deleted" if self.end_reason == "client_requested" else "expired"

    def report(self) -> dict[str, Any]:
        """What `GET /_local/streams` shows."""
        width, height = self.size or (None, None)
        return {
            "stream_id": self.id,
            "api": self.generation,
            "region": self.region,
            "state": "active" if self.end_reason is None else "ended",
            "end_reason": self.end_reason,
            "frames_received": self.frames_received,
            "frames_evicted_early": self.frames.evicted_early,
            "width": width,
            "height": height,
            "created_at": rfc3339(self._created_s),
            "ended_at": None if self.ended_s is None else rfc3339(self.ended_s),
            "keepalives": self.keepalives,
        }

    async def _watch_lease(self) -> None:
        while True:
            left_s = self.lease_expires_s - self._clock.now_s()
            if left_s <= 0:
                break
            await asyncio.sleep(left_s)
        self.end("lease_expired")


def _ms(moment_s: float | None) -> int | None:
    return None if moment_s is None else round(moment_s * 1000)
