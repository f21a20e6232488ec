"""One leased stream of v1 or v1beta: its lease and its frames. It asks nobody anything itself."""

from __future__ import annotations

from typing import Any

from overshoot_flow.local.accounts import Account
from overshoot_flow.local.clock import SteadyClock
from overshoot_flow.local.engines.base import SeenFrame
from overshoot_flow.local.leased_stream import EndReason, LeasedStream
from overshoot_flow.local.owned_tasks import OwnedTasks
from overshoot_flow.local.v1.config import V1Config
from overshoot_flow.local.v1.frames import RetainedFrames


class V1Stream(LeasedStream):
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
        super().__init__(account, clock, config.lease_ttl_s[generation])
        self.generation = generation
        self.region = region
        self.frames = RetainedFrames(
            retention_s=config.retention_s, max_bytes=max_bytes, delay_s=config.ingest_delay_s
        )

    def keepalive(self) -> None:
        """Renew the lease."""
        self.keepalives += 1
        self._renew_lease()

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
            "created_at_ms": _ms(self.created_s),
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
        return super().report() | {"api": self.generation, "region": self.region}

    @property
    def _evicted_early(self) -> int:
        return self.frames.evicted_early

    def _start_tasks(self, tasks: OwnedTasks) -> None:
        pass

    def _take(self, frame: SeenFrame) -> None:
        self.frames.add(frame)

    def _ended(self, reason: EndReason, ended_s: float) -> None:
        pass

    def _forget_pictures(self) -> None:
        self.frames.clear()


def _ms(moment_s: float | None) -> int | None:
    return None if moment_s is None else round(moment_s * 1000)
