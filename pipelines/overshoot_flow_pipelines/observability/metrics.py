"""Metrics in the form of Prometheus, read when they are asked for."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from overshoot_flow import __version__
from overshoot_flow.protocol.session_machine import SessionState
from overshoot_flow.session.histogram import Distribution
from overshoot_flow.session.status import STATUSES, SessionFacts
from overshoot_flow_connectors.kafka_counters import requests_facts, sink_facts
from overshoot_flow_connectors.rtsp import CameraStatus
from overshoot_flow_pipelines.observability.kafka_metrics import (
    RequestsByPlace,
    SinksByStep,
    kafka_metrics,
)

PREFIX: Final = "overshoot_flow_"

SessionKey: TypeAlias = tuple[str, str]
"""Step id and stream key."""

_CameraNumber: TypeAlias = Callable[[CameraStatus], float | None]
_SessionNumber: TypeAlias = Callable[[SessionFacts], float | None]
_SessionReasons: TypeAlias = Callable[[SessionFacts], Mapping[str, int]]

_CAMERA_GAUGES: Final[tuple[tuple[str, str, _CameraNumber], ...]] = (
    ("camera_connected", "1 while the camera gives pictures, else 0.", lambda s: s.connected),
    (
        "camera_paused",
        "1 while nobody wants the camera's pictures, as without a free stream, else 0.",
        lambda s: s.paused,
    ),
    (
        "camera_passed_through",
        "1 while the camera's pictures are published as they come, 0 while they are decoded.",
        lambda s: s.passes_through,
    ),
    ("camera_pictures_per_second", "Pictures a second that come.", lambda s: s.fps),
    (
        "camera_clock_offset_seconds",
        "The camera's wall clock minus this machine's; absent without sender reports.",
        lambda s: s.clock.offset_s,
    ),
    (
        "camera_clock_drift_ratio",
        "How much faster than ours its time stamps run (0.0001: 100 ppm); absent until known.",
        lambda s: None if s.clock.drift_ppm is None else s.clock.drift_ppm / 1_000_000,
    ),
    (
        "camera_clock_distrusted",
        "1 when the camera's clock is so far off, or drifts so much, that it was flagged.",
        lambda s: s.clock.offset_exceeded or s.clock.drift_exceeded,
    ),
)
_CAMERA_COUNTERS: Final[tuple[tuple[str, str, _CameraNumber], ...]] = (
    ("camera_connect_attempts", "Attempts to connect.", lambda s: s.attempts),
    ("camera_connections", "RTSP sessions that gave a picture.", lambda s: s.connections),
    ("camera_stalls", "Sessions that ended because no picture came.", lambda s: s.stalls),
    (
        "camera_freezes",
        "Sessions that ended because one picture was repeated.",
        lambda s: s.freezes,
    ),
    ("camera_pictures", "Pictures that the camera gave.", lambda s: s.pictures),
    ("camera_received_bytes", "Bytes of video that came.", lambda s: s.bytes_in),
    ("camera_frames", "Samples that were handed on.", lambda s: s.frames),
    ("camera_damaged", "Packets and pictures that could not be decoded.", lambda s: s.damaged),
    (
        "camera_clock_segments",
        "How often the camera's time stamps began anew, the first time included.",
        lambda s: s.clock.segments,
    ),
)
_SESSION_GAUGES: Final[tuple[tuple[str, str, _SessionNumber], ...]] = (
    ("delivered_width_pixels", "Width of the pictures as sent.", lambda f: f.delivered_width),
    ("delivered_height_pixels", "Height of the pictures as sent.", lambda f: f.delivered_height),
    (
        "lag_seconds",
        "Age of the newest camera frame when it was published.",
        lambda f: f.lag_s,
    ),
    (
        "key_frame_longest_wait_seconds",
        "Longest wait for a key frame that the far side had asked for.",
        lambda f: f.key_frames.longest_wait_s,
    ),
)
_SESSION_COUNTERS: Final[tuple[tuple[str, str, _SessionNumber], ...]] = (
    ("streams_created", "Streams that were leased.", lambda f: f.streams_created),
    (
        "frames_published",
        "Frames handed to the sender; those published again on a new stream count again.",
        lambda f: f.frames_published,
    ),
    (
        "frames_sent",
        "Frames that the sender says it has sent, repeated ones included.",
        lambda f: f.frames_sent,
    ),
    ("results", "Valid answers.", lambda f: f.results),
    ("cost_cents", "What the service said it has charged.", lambda f: f.cost_cents),
    ("charged_seconds", "Stream time that it has charged for.", lambda f: f.charged_s),
    (
        "key_frame_requests",
        "Key frames that the far side of a passthrough stream has asked for.",
        lambda f: f.key_frames.requests,
    ),
    (
        "key_frame_waits",
        "Waits for such a key frame that have ended.",
        lambda f: f.key_frames.waits,
    ),
    ("key_frame_wait_seconds", "Sum of these waits.", lambda f: f.key_frames.waited_s),
)
_SESSION_REASONS: Final[tuple[tuple[str, str, _SessionReasons], ...]] = (
    ("dead_letters", "Answers that are no results, or never came.", lambda f: f.dead_letters),
    ("gaps", "Gap records.", lambda f: f.gaps),
    ("frames_lost", "Frames that the gap records stand for.", lambda f: f.frames_lost),
)
_SESSION_LABELS: Final = ("camera", "step")


class OvershootCollector(Collector):
    """Reads the facts at every scrape; nothing is kept.

    Args:
        cameras: Returns the cameras by stream key.
        sessions: Returns the sessions by step id and stream key.
        sinks: Returns what Kafka sinks have counted, by step id.
        requests: Returns what sources of requests have counted, by step id, topic and partition.
    """

    def __init__(
        self,
        cameras: Callable[[], Mapping[str, CameraStatus]],
        sessions: Callable[[], Mapping[SessionKey, SessionFacts]],
        *,
        sinks: Callable[[], SinksByStep] = sink_facts,
        requests: Callable[[], RequestsByPlace] = requests_facts,
    ) -> None:
        self._cameras = cameras
        self._sessions = sessions
        self._sinks = sinks
        self._requests = requests

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics as of now."""
        yield from _camera_metrics(self._cameras())
        sessions = self._sessions()
        yield from _session_metrics(sessions)
        yield from _process_metrics(sessions)
        yield from kafka_metrics(PREFIX, self._sinks(), self._requests())


def _camera_metrics(cameras: Mapping[str, CameraStatus]) -> Iterator[Metric]:
    labels = ("camera",)
    for name, text, number in _CAMERA_GAUGES:
        yield _filled(
            GaugeMetricFamily(PREFIX + name, text, labels=labels),
            (((key,), number(status)) for key, status in cameras.items()),
        )
    for name, text, number in _CAMERA_COUNTERS:
        yield _filled(
            CounterMetricFamily(PREFIX + name, text, labels=labels),
            (((key,), number(status)) for key, status in cameras.items()),
        )
    yield _filled(
        CounterMetricFamily(
            f"{PREFIX}camera_frames_dropped",
            "Samples of the camera that were not handed on.",
            labels=("camera", "reason"),
        ),
        (
            ((key, reason), count)
            for key, status in cameras.items()
            for reason, count in status.given_up.items()
        ),
    )


def _session_metrics(sessions: Mapping[SessionKey, SessionFacts]) -> Iterator[Metric]:
    labelled = [((key, step_id), facts) for (step_id, key), facts in sessions.items()]
    for name, text, number in _SESSION_GAUGES:
        yield _filled(
            GaugeMetricFamily(PREFIX + name, text, labels=_SESSION_LABELS),
            # What was true of the last stream says nothing once it is gone.
            ((labels, number(facts)) for labels, facts in labelled if facts.holds_stream),
        )
    for name, text, number in _SESSION_COUNTERS:
        yield _filled(
            CounterMetricFamily(PREFIX + name, text, labels=_SESSION_LABELS),
            ((labels, number(facts)) for labels, facts in labelled),
        )
    for name, text, reasons in _SESSION_REASONS:
        yield _filled(
            CounterMetricFamily(PREFIX + name, text, labels=(*_SESSION_LABELS, "reason")),
            (
                ((*labels, reason), count)
                for labels, facts in labelled
                for reason, count in reasons(facts).items()
            ),
        )
    yield _filled(
        CounterMetricFamily(
            f"{PREFIX}lease_renewals",
            "Keepalives of streams.",
            labels=(*_SESSION_LABELS, "outcome"),
        ),
        (
            ((*labels, outcome), count)
            for labels, facts in labelled
            for outcome, count in (("ok", facts.renewals), ("failed", facts.renewals_failed))
        ),
    )
    yield _filled(
        GaugeMetricFamily(
            f"{PREFIX}session_state",
            "1 for the state that the session is in, 0 for the others.",
            labels=(*_SESSION_LABELS, "state"),
        ),
        (
            ((*labels, state.value), facts.state is state)
            for labels, facts in labelled
            for state in SessionState
        ),
    )
    yield _latencies(labelled)


def _latencies(labelled: list[tuple[tuple[str, str], SessionFacts]]) -> Metric:
    family = HistogramMetricFamily(
        f"{PREFIX}latency_seconds",
        "Time that parts of the way from the camera to the record took.",
        labels=(*_SESSION_LABELS, "stage"),
    )
    for labels, facts in labelled:
        for stage, latencies in facts.latencies.items():
            family.add_metric((*labels, stage.value), _buckets(latencies), latencies.total)
    return family


def _buckets(latencies: Distribution) -> list[tuple[str, float]]:
    bounds = (*map(str, latencies.bounds), "+Inf")
    return list(zip(bounds, latencies.cumulative, strict=True))


def _process_metrics(sessions: Mapping[SessionKey, SessionFacts]) -> Iterator[Metric]:
    in_use = Counter({facts.service: 0 for facts in sessions.values()})
    in_use.update(facts.service for facts in sessions.values() if facts.holds_stream)
    yield _filled(
        GaugeMetricFamily(
            f"{PREFIX}streams_in_use",
            "Streams that this process has leased now, by the service's host.",
            labels=("service",),
        ),
        (((service,), count) for service, count in in_use.items()),
    )
    yield CounterMetricFamily(
        f"{PREFIX}statuses_forgotten",
        "Streams whose counters were dropped because their session had ended long ago.",
        value=STATUSES.forgotten,
    )
    yield _filled(
        GaugeMetricFamily(
            f"{PREFIX}build_info",
            "The versions at work; always 1.",
            labels=("version", "python"),
        ),
        [((__version__, platform.python_version()), 1)],
    )


_Family: TypeAlias = GaugeMetricFamily | CounterMetricFamily


def _filled(family: _Family, samples: Iterable[tuple[Sequence[str], float | None]]) -> _Family:
    """Add what is known; a number that is unknown has no sample."""
    for labels, value in samples:
        if value is not None:
            family.add_metric(labels, float(value))
    return family
