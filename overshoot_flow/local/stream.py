"""One leased stream: its lease, its money, its pictures, its answers and who listens to them."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol

import av

from overshoot_flow.local.accounts import Account, Charge, Meter
from overshoot_flow.local.api_errors import out_of_credit
from overshoot_flow.local.clock import SteadyClock
from overshoot_flow.local.engines.base import Engine, SeenFrame
from overshoot_flow.local.faults import ModelFaults
from overshoot_flow.local.inference import Answer, InferenceClock
from overshoot_flow.local.owned_tasks import OwnedTasks
from overshoot_flow.local.ring import FrameRing
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.local.stream_request import StreamRequest

EndReason = Literal[
    "client_requested",
    "webrtc_disconnected",
    "livekit_disconnected",
    "lease_expired",
    "insufficient_credits",
    "server_stopped",
]
"""Why a stream ended: the contract's close reasons, and the server's own end."""

_MAX_REMEMBERED_RESULTS: Final = 2000
# A clip's first picture may arrive a little before the window that still needs it is cut.
_RING_SLACK_S: Final = 0.5

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class SentResult:
    """A result as `GET /_local/streams` shows it; `sent` is True once a socket took it."""

    answer: Answer
    sent: bool = False

    def report(self) -> dict[str, Any]:
        """The JSON form."""
        message = self.answer.message
        return {
            "id": message["id"],
            "sent": self.sent,
            "ok": message["ok"],
            "facts": dict(self.answer.facts),
            "prompt": message["prompt"],
        }


class VideoStream(Protocol):
    """What a source of pictures needs of a stream, of whatever generation of the API."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def end_reason(self) -> EndReason | None:
        """Why it has ended, None while it lives."""
        ...

    def end(self, reason: EndReason) -> None:
        """End it."""
        ...

    def picture_arrived(self, picture: av.VideoFrame) -> None:
        """Take a decoded picture."""
        ...


class Listener(Protocol):
    """An authenticated result socket."""

    def take(self, result: SentResult) -> None:
        """Send `result` soon."""
        ...

    def stream_ended(self, reason: EndReason) -> None:
        """Close soon: the stream has ended."""
        ...

    def drop(self) -> None:
        """Cut the connection without a close frame."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all streams of a server share."""

    config: ServerConfig
    clock: SteadyClock
    executor: Executor
    model_faults: ModelFaults


@dataclass(slots=True)
class PictureCounts:
    """What came in."""

    received: int = 0
    width: int | None = None
    height: int | None = None


class Stream:
    """A stream from its creation to its end.

    Results go to the sockets that are connected at that moment; without any they are lost, as
    with the real service.

    Args:
        account: Whose stream it is.
        request: What was asked for.
        engine: Who answers.
        surroundings: What all streams share.
    """

    def __init__(
        self, account: Account, request: StreamRequest, engine: Engine, surroundings: Surroundings
    ) -> None:
        config, self._clock = surroundings.config, surroundings.clock
        self.id = str(uuid.uuid4())
        self.account = account
        self.request = request
        self.created_s = self.updated_s = self._clock.now_s()
        self.ended_s: float | None = None
        self.end_reason: EndReason | None = None
        self.closed = asyncio.Event()
        self.close_source: Callable[[], Awaitable[None]] | None = None
        self.keepalives = 0
        self.socket_drops_due = 0
        self._lease_ttl_s = config.lease_ttl_s
        self._lease_expires_s = self.created_s + self._lease_ttl_s
        self._meter = Meter(account, config.price_cents_per_s, self.created_s)
        self._pictures = PictureCounts()
        self._listeners: set[Listener] = set()
        self._results: deque[SentResult] = deque(maxlen=_MAX_REMEMBERED_RESULTS)
        self._results_total = 0
        self._ending = asyncio.Event()
        self._ring = FrameRing(
            retention_s=request.clip_length_s + _RING_SLACK_S if request.clip_length_s else 0.0,
            target_fps=request.target_fps or None,
            max_bytes=config.max_ring_bytes,
        )
        self._inference = InferenceClock(
            stream_id=self.id,
            request=request,
            engine=engine,
            ring=self._ring,
            clock=self._clock,
            executor=surroundings.executor,
            faults=surroundings.model_faults,
            deliver=self._deliver,
            prompt=request.prompt,
        )

    async def run(self) -> None:
        """Live until `end` is called, then close everything in order."""
        tasks = OwnedTasks()
        tasks.start(self._watch_lease(), f"lease of {self.id}")
        tasks.start(self._inference.run(), f"inference of {self.id}")
        try:
            await self._ending.wait()
        finally:
            await tasks.stop()
            if self.close_source is not None:
                await self.close_source()
            self._ring.clear()
            self.closed.set()

    def end(self, reason: EndReason) -> None:
        """End the stream; the first reason counts."""
        if self.end_reason is not None:
            return
        self.end_reason = reason
        self.ended_s = self._clock.now_s()
        self.account.streams.discard(self.id)
        self._meter.charge(self.ended_s)
        for listener in self._listeners:
            listener.stream_ended(reason)
        self._ending.set()
        _logger.info("stream %s ended: %s", self.id, reason)

    def keepalive(self) -> Charge:
        """Charge for the time since the last charge and renew the lease.

        Raises:
            ApiError: 402, the credit has run out; the stream ends.
        """
        now_s = self._clock.now_s()
        self.keepalives += 1
        charge = self._meter.charge(now_s)
        if not charge.enough:
            self.end("insufficient_credits")
            raise out_of_credit()
        self._lease_expires_s = now_s + self._lease_ttl_s
        return charge

    def change_prompt(self, prompt: str) -> Mapping[str, Any]:
        """Ask `prompt` from the next result on; return the contract's description."""
        self._inference.prompt = prompt
        self.updated_s = self._clock.now_s()
        return {
            "id": self.id,
            "stream_id": self.id,
            "prompt": prompt,
            "backend": self.request.backend,
            "model": self.request.model,
            "output_schema_json": self.request.output_schema,
            "created_at": rfc3339(self.created_s),
            "updated_at": rfc3339(self.updated_s),
        }

    def picture_arrived(self, picture: av.VideoFrame) -> None:
        """Take a decoded picture."""
        if self.end_reason is not None:
            return
        if picture.format.name != "yuv420p":
            picture = picture.reformat(format="yuv420p")
        arrived_s = self._clock.now_s()
        self._pictures.received += 1
        self._pictures.width, self._pictures.height = picture.width, picture.height
        self._ring.add(SeenFrame(picture, arrived_s))
        self._inference.start(arrived_s)

    def attach(self, listener: Listener) -> None:
        """Send results to `listener` from now on."""
        if self.end_reason is not None:
            listener.stream_ended(self.end_reason)
        elif self.socket_drops_due > 0:
            self.socket_drops_due -= 1
            listener.drop()
        else:
            self._listeners.add(listener)

    def detach(self, listener: Listener) -> None:
        """Send nothing to `listener` any more."""
        self._listeners.discard(listener)

    def drop_sockets(self, count: int) -> None:
        """Cut the result sockets `count` times: those of now, and those that come next."""
        dropped_now = bool(self._listeners)
        for listener in self._listeners:
            listener.drop()
        self.socket_drops_due = max(0, count - dropped_now)

    def report(self) -> dict[str, Any]:
        """What `GET /_local/streams` shows."""
        return {
            "stream_id": self.id,
            "state": "active" if self.end_reason is None else "ended",
            "end_reason": self.end_reason,
            "source": type(self.request.source).__name__,
            "model": self.request.model,
            "frames_received": self._pictures.received,
            "frames_evicted_early": self._ring.evicted_early,
            "width": self._pictures.width,
            "height": self._pictures.height,
            "created_at": rfc3339(self.created_s),
            "ended_at": None if self.ended_s is None else rfc3339(self.ended_s),
            "keepalives": self.keepalives,
            "ticks_skipped": self._inference.ticks_skipped,
            "results_total": self._results_total,
            "results": [result.report() for result in self._results],
        }

    def _deliver(self, answer: Answer) -> None:
        result = SentResult(answer)
        self._results.append(result)
        self._results_total += 1
        for listener in self._listeners:
            listener.take(result)

    async def _watch_lease(self) -> None:
        while True:
            left_s = self._lease_expires_s - self._clock.now_s()
            if left_s <= 0:
                break
            await asyncio.sleep(left_s)
        self.end("lease_expired")


@dataclass(slots=True, kw_only=True)
class Departure:
    """Ends a stream some time after its publisher has gone, unless one comes back.

    Args:
        stream: The stream.
        reason: What it then ends with.
        left_grace_s: Grace after a goodbye.
        lost_grace_s: Grace after a loss without a word.
    """

    stream: VideoStream
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
