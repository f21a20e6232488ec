"""The Overshoot service and the network, as far as a session can tell."""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any, Final

from simulation_checks import Checks, Violation
from simulation_loop import VirtualClock
from simulation_schedule import Schedule

from overshoot_flow.config import Inference, Secret
from overshoot_flow.errors import (
    AuthenticationError,
    InsufficientCreditsError,
    OvershootFlowError,
    PublishError,
    ServiceUnavailableError,
    StreamEndedError,
    StreamLimitError,
    StreamNotFoundError,
    TransportError,
)
from overshoot_flow.media.frames import Frame
from overshoot_flow.protocol.v02 import KeepaliveAnswer, ResultMessage, Room, StreamCreated
from overshoot_flow.transport.results_socket import Malformed, Received
from overshoot_flow.transport.sender_statistics import SenderStatistics

LEASE_S: Final = 1.2
_MALFORMED_SHARE: Final = 0.03
_ROUND_TRIP_S: Final = 0.02
_TOKEN: Final = Secret("token")
_STATISTICS: Final = SenderStatistics(
    pictures_sent=1,
    width=2,
    height=2,
    target_bitrate=1.0,
    limited_by="none",
    resolution_changes=0,
)
_RENEWED: Final = KeepaliveAnswer(
    ttl_s=LEASE_S,
    credits_remaining_cents=1.0,
    cost_cents=1.0,
    seconds_charged=1.0,
    livekit_token=None,
)


@dataclass(slots=True)
class ServiceStream:
    """A stream as the service sees it. Windows begin with the first picture."""

    stream_id: str
    expires_s: float
    ends_s: float
    """When the service ends it whatever the client does."""
    end_reason: str
    prompt: str
    started: asyncio.Event = field(default_factory=asyncio.Event)
    next_window_s: float = 0.0
    arrivals: list[tuple[float, int, float]] = field(default_factory=list)
    is_closed: bool = False
    renewal_failed: bool = False

    def is_alive(self, now_s: float) -> bool:
        """Whether it still occupies a slot."""
        return not self.is_closed and now_s < self.expires_s and now_s < self.ends_s


@dataclass(slots=True)
class SimulatedService:
    """Slots, leases, windows and faults. It outlives the client's crashes.

    Attributes:
        is_healthy: No fault happens any more, so that a schedule comes to an end.
        is_unplugged: The client's process is dead: nothing that it does has an effect.
    """

    schedule: Schedule
    clock: VirtualClock
    random: Random
    checks: Checks
    is_healthy: bool = False
    is_unplugged: bool = False
    streams: dict[str, ServiceStream] = field(default_factory=dict)
    _ids: Any = field(default_factory=count)

    def happens(self, share: float) -> bool:
        """Draw whether something bad happens now."""
        return not self.is_healthy and self.random.random() < share

    def maybe_fail(self, *, may_be_fatal: bool = False) -> None:
        """Fail now and then, as a service or the way to it does."""
        if self.is_unplugged:
            raise TransportError("the process is dead")
        if not self.happens(self.schedule.fault_share):
            return
        error: OvershootFlowError
        if may_be_fatal and self.random.random() < self.schedule.fatal_share:
            error = self.random.choice(
                (AuthenticationError("refused"), InsufficientCreditsError("no credit"))
            )
        else:
            error = self.random.choice(
                (
                    TransportError("no connection"),
                    ServiceUnavailableError("down", status=503, retry_after_s=0.2),
                )
            )
        self.checks.log("fault", error)
        raise error

    def lease(self, prompt: str) -> StreamCreated:
        """Grant a stream if there is a slot."""
        now_s = self.clock.monotonic_s()
        alive = sum(stream.is_alive(now_s) for stream in self.streams.values())
        if alive >= self.schedule.slots:
            raise StreamLimitError("too many streams", status=429, retry_after_s=0.3)
        stream_id = f"stream-{next(self._ids)}"
        ends_s = float("inf")
        if self.happens(self.schedule.lost_streams):
            ends_s = now_s + self.random.uniform(0.1, 1.5)
        reason = self.random.choice(("lease_expired", "room_ended"))
        self.streams[stream_id] = ServiceStream(stream_id, now_s + LEASE_S, ends_s, reason, prompt)
        self.checks.log("lease", stream_id)
        return StreamCreated(
            stream_id=stream_id, livekit=Room(stream_id, _TOKEN), lease_ttl_s=LEASE_S
        )

    def alive_streams(self) -> list[str]:
        """Which streams still cost money."""
        now_s = self.clock.monotonic_s()
        return [each.stream_id for each in self.streams.values() if each.is_alive(now_s)]


class SimulatedHttp:
    """Stands where `OvershootHttp` stands."""

    def __init__(self, service: SimulatedService) -> None:
        self._service = service

    async def aclose(self) -> None:
        """Nothing is open."""

    async def create_stream(self, inference: Inference, _source: object) -> StreamCreated:
        await asyncio.sleep(_ROUND_TRIP_S)
        self._service.maybe_fail(may_be_fatal=True)
        return self._service.lease(inference.prompt)

    async def keepalive(self, stream_id: str) -> KeepaliveAnswer:
        service = self._service
        stream = service.streams[stream_id]
        try:
            service.maybe_fail()
        except OvershootFlowError:
            stream.renewal_failed = True
            raise
        now_s = service.clock.monotonic_s()
        if not stream.is_alive(now_s):
            raise StreamNotFoundError("no such stream", status=404)
        stream.expires_s = now_s + LEASE_S
        return _RENEWED

    async def close_stream(self, stream_id: str) -> None:
        service = self._service
        if service.is_unplugged:
            return
        if service.happens(service.schedule.fault_share):
            service.checks.excused_streams.add(stream_id)
            raise TransportError("no connection")
        service.streams[stream_id].is_closed = True


class SimulatedClients:
    """Stands where `Clients` stands."""

    def __init__(self, service: SimulatedService) -> None:
        self._http = SimulatedHttp(service)

    def v02(self, _service: object) -> SimulatedHttp:
        return self._http


class SimulatedSocket:
    """Stands where `ResultsSocket` stands; answers come in any order, or not at all."""

    def __init__(self, service: SimulatedService, stream_id: str) -> None:
        self._service = service
        self._stream = service.streams[stream_id]

    def answers(self) -> SimulatedSocket:
        return self

    def __aiter__(self) -> SimulatedSocket:
        return self

    async def __anext__(self) -> Received | Malformed:
        stream, service = self._stream, self._service
        await stream.started.wait()
        arrival_s, number, latency_s = self._next_arrival()
        end_s = min(stream.ends_s, stream.expires_s)
        await asyncio.sleep(min(arrival_s, end_s) - service.clock.monotonic_s())
        if service.clock.monotonic_s() >= stream.expires_s and not stream.renewal_failed:
            raise Violation("a lease runs out unnoticed", stream.stream_id)
        if not stream.is_alive(service.clock.monotonic_s()):
            raise StreamEndedError(stream.end_reason)
        if arrival_s > end_s:
            # The lease was renewed while nothing came.
            heapq.heappush(stream.arrivals, (arrival_s, number, latency_s))
            return await self.__anext__()
        service.checks.log("answer", stream.stream_id, number)
        if service.happens(_MALFORMED_SHARE):
            return Malformed("{", "no JSON")
        return Received(
            self._message(number, latency_s), service.clock.monotonic_s(), service.clock.wall_us()
        )

    def _next_arrival(self) -> tuple[float, int, float]:
        """Take the earliest answer; a later window may be answered before an earlier one."""
        stream, service = self._stream, self._service
        schedule = service.schedule
        now_s = service.clock.monotonic_s()
        while not stream.arrivals or stream.next_window_s <= stream.arrivals[0][0]:
            window_end_s = stream.next_window_s
            stream.next_window_s += schedule.mode.period_s
            latency_s = service.random.uniform(*schedule.latency_s)
            if not service.happens(schedule.answer_loss) and window_end_s + latency_s >= now_s:
                number = round(window_end_s * 1_000)
                heapq.heappush(stream.arrivals, (window_end_s + latency_s, number, latency_s))
        return heapq.heappop(stream.arrivals)

    def _message(self, number: int, latency_s: float) -> ResultMessage:
        random = self._service.random
        return ResultMessage(
            id=f"answer-{number}",
            stream_id=self._stream.stream_id,
            mode=None,
            model_backend=None,
            model_name=None,
            prompt=None,
            result="text",
            inference_latency_ms=None,
            total_latency_ms=latency_s * 1_000 if random.random() < 0.9 else None,
            ok=random.random() < 0.9,
            error=None,
            finish_reason="stop",
        )

    async def aclose(self) -> None:
        """Nothing is open."""


class SimulatedPublisher:
    """Stands where `LiveKitPublisher` stands. The room's URL is the stream's id."""

    def __init__(self, service: SimulatedService, stream_id: str) -> None:
        self._service = service
        self._stream = service.streams[stream_id]
        self._outage: asyncio.TimerHandle | None = None
        self.flowing = asyncio.Event()
        self.lost = asyncio.Event()
        self.pictures_captured = 0

    async def connect(self, first: Frame) -> None:
        service = self._service
        service.checks.shown(self._stream.stream_id, first)
        await asyncio.sleep(_ROUND_TRIP_S)
        if service.happens(service.schedule.fault_share):
            raise PublishError("the room cannot be joined")
        if not self._stream.started.is_set():
            self._stream.started.set()
            self._stream.next_window_s = service.clock.monotonic_s()
        self.flowing.set()
        if service.happens(service.schedule.fault_share):
            delay_s = service.random.uniform(0.0, 0.5)
            self._outage = asyncio.get_running_loop().call_later(delay_s, self._lose_room)

    def _lose_room(self) -> None:
        self.flowing.clear()
        self.lost.set()

    async def capture(self, frame: Frame) -> None:
        self.pictures_captured += 1
        self._service.checks.captured(self._stream.prompt, frame)
        self._service.checks.shown(self._stream.stream_id, frame)

    async def statistics(self) -> SenderStatistics:
        return _STATISTICS

    async def leave(self) -> None:
        self.flowing.clear()
        if self._outage is not None:
            self._outage.cancel()
