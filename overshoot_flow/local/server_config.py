"""Every knob of the local server, checked at construction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from overshoot_flow.config import DEFAULT_MODEL
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.local.engines.base import Engine
from overshoot_flow.local.v1.config import V1Config

ModelStatus = Literal["ready", "degraded", "saturated", "unavailable"]
"""What the contract says about a model; the last two refuse new streams."""

MODEL_STATUSES: Final[tuple[ModelStatus, ...]] = get_args(ModelStatus)

_POSITIVE: Final = (
    "lease_ttl_s",
    "publish_token_ttl_s",
    "authentication_timeout_s",
    "source_timeout_s",
)
_NOT_NEGATIVE: Final = (
    "price_cents_per_s",
    "publisher_left_grace_s",
    "publisher_lost_grace_s",
)
_AT_LEAST_ONE: Final = (
    "max_streams_per_key",
    "max_queued_results",
    "engine_threads",
    "max_ring_bytes",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """How the local server behaves; the defaults are the real service's limits.

    Args:
        host: Address that HTTP, signalling and media are bound to. With a wildcard address,
            media use every interface.
        port: TCP port; 0 takes a free one.
        keys: API keys that are accepted, each with its credit in cents.
        engine: Name of the default engine, or an engine of your own.
        model_aliases: Further model ids that stand for the default engine.
        model_statuses: Status by model id; a model that is not named is ready.
        lease_ttl_s: A stream without a keepalive ends after this many seconds.
        publish_token_ttl_s: How long a publish token lets a publisher join.
        max_streams_per_key: Concurrent streams on one key.
        price_cents_per_s: Charged for every second of a stream's life.
        authentication_timeout_s: Bound of the wait for a result socket's first message.
        publisher_left_grace_s: How long after a publisher said goodbye the stream ends.
        publisher_lost_grace_s: The same after a publisher was lost without a word, so that its
            SDK can come back.
        source_timeout_s: Bound of joining a room that the user runs.
        decode_key_frames_only: Decode nothing but the key frames that come into the service's own
            rooms, so that many streams cost little; engines see those, and reports count those.
        max_ring_bytes: Bound of the pictures kept per stream, in bytes.
        max_queued_results: Results that wait for one slow result socket; the oldest is dropped.
        engine_threads: Answers that may be worked on at one time, over all streams.
        allow_faults: Serve fault injection and inspection under `/_local`.
        v1: What concerns v1 and v1beta alone.

    Raises:
        ConfigurationError: A value makes no sense; the text says which.
    """

    host: str = "127.0.0.1"
    port: int = 0
    keys: Mapping[str, float] = field(repr=False, default_factory=lambda: {"ovs-local": 1000.0})
    engine: str | Engine = "pixels"
    model_aliases: tuple[str, ...] = (DEFAULT_MODEL,)
    model_statuses: Mapping[str, ModelStatus] = field(default_factory=dict)
    lease_ttl_s: float = 45.0
    publish_token_ttl_s: float = 120.0
    max_streams_per_key: int = 5
    price_cents_per_s: float = 1 / 30
    authentication_timeout_s: float = 5.0
    publisher_left_grace_s: float = 2.0
    publisher_lost_grace_s: float = 10.0
    source_timeout_s: float = 10.0
    decode_key_frames_only: bool = False
    max_ring_bytes: int = 512 * 1024 * 1024
    max_queued_results: int = 256
    engine_threads: int = 4
    allow_faults: bool = False
    v1: V1Config = field(default_factory=V1Config)

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not self.keys:
            raise ConfigurationError("keys is empty: give at least one key with its credit")
        if not all(self.keys) or not all(map(math.isfinite, self.keys.values())):
            raise ConfigurationError("keys needs non-empty keys with finite credits in cents")
        self._check(_POSITIVE, 0.0, "above")
        self._check(_NOT_NEGATIVE, 0.0, "at least")
        self._check(_AT_LEAST_ONE, 1.0, "at least")
        for model, status in self.model_statuses.items():
            if status not in MODEL_STATUSES:
                raise ConfigurationError(
                    f"model_statuses[{model!r}] is {status!r}; write one of "
                    f"{', '.join(MODEL_STATUSES)}"
                )

    def _check(self, names: tuple[str, ...], bound: float, relation: str) -> None:
        for name in names:
            value = getattr(self, name)
            if not (value > bound or (relation == "at least" and value == bound)):
                raise ConfigurationError(f"{name} is {value!r}; it must be {relation} {bound:g}")
