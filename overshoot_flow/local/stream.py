"""One leased stream: its lease, its money, its pictures, its answers and who listens to them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final, Protocol

from overshoot_flow.local.accounts import Account, Charge, Meter
from overshoot_flow.local.api_errors import out_of_credit
from overshoot_flow.local.clock import SteadyClock
from overshoot_flow.local.engines.base import Engine, SeenFrame
from overshoot_flow.local.faults import ModelFaults
from overshoot_flow.local.inference import Answer, InferenceClock
from overshoot_flow.local.leased_stream import EndReason, LeasedStream, rfc3339
from overshoot_flow.local.owned_tasks import OwnedTasks
from overshoot_flow.local.ring import FrameRing
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.local.stream_request import StreamRequest

_MAX_REMEMBERED_RESULTS: Final = 2000
# A clip's first picture may arrive a little before the window that still needs it is cut.
_RING_SLACK_S: Final = 0.5


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


class Stream(LeasedStream):
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
        config = surroundings.config
        super().__init__(account, surroundings.clock, config.lease_ttl_s)
        self.request = request
        self.updated_s = self.created_s
        self.socket_drops_due = 0
        self._meter = Meter(account, config.price_cents_per_s, self.created_s)
        self._listeners: set[Listener] = set()
        self._results: deque[SentResult] = deque(maxlen=_MAX_REMEMBERED_RESULTS)
        self._results_total = 0
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

    def keepalive(self) -> Charge:
        """Charge for the time since the last charge and renew the lease.

        Raises:
            ApiError: 402, the credit has run out; the stream ends.
        """
        self.keepalives += 1
        charge = self._meter.charge(self._clock.now_s())
        if not charge.enough:
            self.end("insufficient_credits")
            raise out_of_credit()
        self._renew_lease()
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
        return super().report() | {
            "source": type(self.request.source).__name__,
            "model": self.request.model,
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

    @property
    def _evicted_early(self) -> int:
        return self._ring.evicted_early

    def _start_tasks(self, tasks: OwnedTasks) -> None:
        tasks.start(self._inference.run(), f"inference of {self.id}")

    def _take(self, frame: SeenFrame) -> None:
        self._ring.add(frame)
        self._inference.start(frame.arrived_at_s)

    def _ended(self, reason: EndReason, ended_s: float) -> None:
        self._meter.charge(ended_s)
        for listener in self._listeners:
            listener.stream_ended(reason)

    def _forget_pictures(self) -> None:
        self._ring.clear()
