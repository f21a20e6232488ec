"""How the sessions are doing, in numbers that may be read at any time.

A status belongs to a step and a stream key and outlives its session: when one is opened anew for
the same key, the counters go on.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from overshoot_flow.config import Service
from overshoot_flow.protocol.key_frames import KeyFrameStatistics
from overshoot_flow.protocol.session_machine import SessionMachine, SessionState
from overshoot_flow.results import Failure, Gap, Outcome, Result, Usage
from overshoot_flow.session.histogram import Distribution, Histogram
from overshoot_flow.session.outcomes import Delivery, PendingFrame

STATUSES_CAPACITY: Final = 1024
"""Statuses that are kept. Beyond it the oldest ones whose session has ended are forgotten
(counted); those of open sessions never are."""

_LEASED: Final = frozenset({SessionState.CONNECTING, SessionState.LIVE, SessionState.DRAINING})


class Stage(StrEnum):
    """A part of the way from the camera to the record."""

    CAPTURE_TO_PUBLISH = "capture_to_publish"
    """From the moment that a camera's frame shows until it is handed to the sender."""
    PUBLISH_TO_ANSWER = "publish_to_answer"
    """From the hand-over of the newest frame that an answer settles until the answer came."""
    INFERENCE = "inference"
    """The service's own `inference_latency_ms`."""
    ANSWER_TO_EMITTED = "answer_to_emitted"
    """From the arrival of an answer until `infer` gave it to the engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """What a status said at one moment. Totals count since the start of the process.

    Attributes:
        state: Where the session stands; None before there was one.
        service: Host and port of the service that it asks.
        streams_created: Streams that were leased.
        faults_in_a_row: Faults since the last answer.
        frames_published: Pictures handed to the sender; those published again on a new stream
            count again.
        frames_sent: Pictures that the sender says it has sent, repeated ones included.
        delivered_width: Width of the newest sent picture in pixels, or None.
        delivered_height: Its height, or None.
        lag_s: How old the newest camera frame was when it was published, or None.
        renewals: Keepalives that the service granted.
        renewals_failed: Those that failed.
        cost_cents: What the keepalives said was charged.
        charged_s: The stream time that they said was charged for.
        results: Valid answers.
        dead_letters: Other answers, and answers that never came, by reason.
        gaps: Gap records by reason.
        frames_lost: Frames that those stand for, by reason.
        key_frames: Waits for key frames that the far side has asked for; `waiting_since_s` is that
            of the present connection.
        latencies: In seconds, by stage.
    """

    state: SessionState | None
    service: str
    streams_created: int
    faults_in_a_row: int
    frames_published: int
    frames_sent: int
    delivered_width: int | None
    delivered_height: int | None
    lag_s: float | None
    renewals: int
    renewals_failed: int
    cost_cents: float
    charged_s: float
    results: int
    dead_letters: Mapping[str, int]
    gaps: Mapping[str, int]
    frames_lost: Mapping[str, int]
    key_frames: KeyFrameStatistics
    latencies: Mapping[Stage, Distribution]

    @property
    def holds_stream(self) -> bool:
        """Whether a stream is leased now."""
        return self.state in _LEASED


class SessionStatus:
    """Counts what happens to one stream key in one `infer` step; any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._machine: SessionMachine | None = None
        self._service = ""
        self._streams_before = 0
        self._frames_published = 0
        self._lag_s: float | None = None
        self._sent_before = 0
        self._key_frames_before = KeyFrameStatistics()
        self._delivery = Delivery()
        self._renewals = self._renewals_failed = self._results = 0
        self._cost_cents = self._charged_s = 0.0
        self._dead_letters: Counter[str] = Counter()
        self._gaps: Counter[str] = Counter()
        self._frames_lost: Counter[str] = Counter()
        self._latencies = {stage: Histogram() for stage in Stage}

    def follow(self, machine: SessionMachine, service: Service) -> None:
        """A session begins: its state is the one to tell from now on."""
        with self._lock:
            if self._machine is not None:
                self._streams_before += self._machine.streams_created
            self._machine = machine
            self._service = urlsplit(service.base_url).netloc

    def asks(self, service: Service) -> None:
        """The session is about to lease a stream at `service`."""
        with self._lock:
            self._service = urlsplit(service.base_url).netloc

    @property
    def ended(self) -> bool:
        """Whether the session has ended."""
        with self._lock:
            return self._machine is not None and self._machine.ended

    def published(self, frame: PendingFrame, now_us: int) -> None:
        """`frame` is handed to the sender at `now_us` of UTC."""
        with self._lock:
            self._frames_published += 1
            # The capture time of a file is that of another day.
            if frame.captured_at_us is not None and frame.capture_basis != "media":
                self._lag_s = (now_us - frame.captured_at_us) / 1_000_000
                self._observe(Stage.CAPTURE_TO_PUBLISH, self._lag_s)

    def delivered(self, delivery: Delivery) -> None:
        """The sender has counted; every connection begins its counts anew."""
        with self._lock:
            if delivery.connection != self._delivery.connection:
                self._sent_before += self._delivery.sent or 0
                self._key_frames_before = _added(self._key_frames_before, self._delivery.key_frames)
            self._delivery = delivery

    def lease_renewed(self) -> None:
        """The service has granted a keepalive."""
        with self._lock:
            self._renewals += 1

    def lease_not_renewed(self) -> None:
        """A keepalive has failed."""
        with self._lock:
            self._renewals_failed += 1

    def answered(self, newest: PendingFrame | None, received_at_s: float) -> None:
        """An answer came at a monotonic time; `newest` is the last frame that it settles."""
        if newest is None or newest.published_at_s is None:
            return
        with self._lock:
            self._observe(Stage.PUBLISH_TO_ANSWER, received_at_s - newest.published_at_s)

    def settled(self, outcomes: Iterable[Outcome]) -> None:
        """A piece with `outcomes` is finished."""
        with self._lock:
            for outcome in outcomes:
                self._count(outcome)

    def emitted(self, outcomes: Iterable[Outcome], now_us: int) -> None:
        """`infer` gives `outcomes` to the engine at `now_us` of UTC."""
        with self._lock:
            for outcome in outcomes:
                if isinstance(outcome, Result | Failure):
                    waited_s = (now_us - outcome.received_at_us) / 1_000_000
                    self._observe(Stage.ANSWER_TO_EMITTED, waited_s)

    def facts(self) -> SessionFacts:
        """Return everything, as of one moment."""
        with self._lock:
            machine, delivery = self._machine, self._delivery
            return SessionFacts(
                state=None if machine is None else machine.state,
                service=self._service,
                streams_created=self._streams_before
                + (0 if machine is None else machine.streams_created),
                faults_in_a_row=0 if machine is None else machine.faults_in_a_row,
                frames_published=self._frames_published,
                frames_sent=self._sent_before + (delivery.sent or 0),
                delivered_width=delivery.width,
                delivered_height=delivery.height,
                lag_s=self._lag_s,
                renewals=self._renewals,
                renewals_failed=self._renewals_failed,
                cost_cents=self._cost_cents,
                charged_s=self._charged_s,
                results=self._results,
                dead_letters=dict(self._dead_letters),
                gaps=dict(self._gaps),
                frames_lost=dict(self._frames_lost),
                key_frames=_added(self._key_frames_before, delivery.key_frames),
                latencies={
                    stage: histogram.distribution for stage, histogram in self._latencies.items()
                },
            )

    def _observe(self, stage: Stage, latency_s: float) -> None:
        # Two clocks of UTC are compared for some: the difference can come out below 0.
        self._latencies[stage].observe(max(0.0, latency_s))

    def _count(self, outcome: Outcome) -> None:
        match outcome:
            case Result():
                self._results += 1
                if outcome.inference_latency_ms is not None:
                    self._observe(Stage.INFERENCE, outcome.inference_latency_ms / 1000)
            case Failure():
                self._dead_letters[outcome.reason] += 1
            case Gap():
                self._gaps[outcome.reason] += 1
                self._frames_lost[outcome.reason] += outcome.frames_lost
            case Usage():
                self._cost_cents += outcome.cost_cents or 0.0
                self._charged_s += outcome.seconds_charged or 0.0


def _added(before: KeyFrameStatistics, now: KeyFrameStatistics | None) -> KeyFrameStatistics:
    if now is None:
        return before
    return KeyFrameStatistics(
        requests=before.requests + now.requests,
        waits=before.waits + now.waits,
        waited_s=before.waited_s + now.waited_s,
        longest_wait_s=max(before.longest_wait_s, now.longest_wait_s),
        waiting_since_s=now.waiting_since_s,
    )


class StatusRegistry:
    """All statuses of the process, by step and stream key.

    Args:
        capacity: How many are kept, see `STATUSES_CAPACITY`.
    """

    def __init__(self, capacity: int = STATUSES_CAPACITY) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._statuses: dict[tuple[str, str], SessionStatus] = {}
        self._forgotten = 0

    @property
    def forgotten(self) -> int:
        """How many statuses were forgotten to make room."""
        with self._lock:
            return self._forgotten

    def of(self, step_id: str, stream_key: str) -> SessionStatus:
        """Return the status of `stream_key` in `step_id`, a new one if there is none."""
        key = (step_id, stream_key)
        with self._lock:
            status = self._statuses.get(key)
            if status is None:
                if len(self._statuses) >= self._capacity:
                    self._forget_one()
                status = self._statuses[key] = SessionStatus()
            return status

    def all(self) -> Mapping[tuple[str, str], SessionStatus]:
        """Return all statuses by step id and stream key."""
        with self._lock:
            return dict(self._statuses)

    def _forget_one(self) -> None:
        oldest = next((key for key, status in self._statuses.items() if status.ended), None)
        if oldest is not None:
            del self._statuses[oldest]
            self._forgotten += 1


STATUSES: Final = StatusRegistry()
"""The process's statuses: sessions come and go, what they have counted stays."""
