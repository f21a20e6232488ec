"""Every knob of v1 and v1beta on the local server, checked at construction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from overshoot_flow.errors import ConfigurationError

REGIONS: Final = ("us-west1", "us-central1")
"""The contract's regions; the first one is where a request goes that names none."""

_POSITIVE: Final = ("retention_s", "ended_answer_s", "rate_window_s")
_NOT_NEGATIVE: Final = (
    "ingest_delay_s",
    "input_microcents_per_token",
    "output_microcents_per_token",
    "cached_input_microcents_per_token",
)
_AT_LEAST_ONE: Final = ("requests_per_window", "max_frames_per_request", "max_request_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class V1Config:
    """How v1 and v1beta behave; the defaults are the contract's, where it has them.

    Args:
        lease_ttl_s: Lease by generation. The pages about v1beta disagree; here it is short, so
            that nobody relies on the longer one.
        retention_s: How long frames can be asked about.
        ingest_delay_s: How long after its arrival a frame can be asked about; the real service
            takes about a second.
        ended_answer_s: How long `GET /streams/{id}` knows a stream that has ended.
        requests_per_window: Chat completions of one key in one window of the rate limit.
        rate_window_s: Length of such a window.
        max_frames_per_request: Frames that a model takes at one time.
        max_request_bytes: Bound of a request's body, and so of media that travel in it.
        image_only_models: Models that refuse segments and video.
        input_microcents_per_token: Price of a token of the question.
        output_microcents_per_token: Price of a token of the answer.
        cached_input_microcents_per_token: Price of a token of the question that was cached.

    Raises:
        ConfigurationError: A value makes no sense; the text says which.
    """

    lease_ttl_s: Mapping[str, float] = field(default_factory=lambda: {"v1": 300.0, "v1beta": 45.0})
    retention_s: float = 600.0
    ingest_delay_s: float = 0.0
    ended_answer_s: float = 60.0
    requests_per_window: int = 100
    rate_window_s: float = 1.0
    max_frames_per_request: int = 240
    max_request_bytes: int = 64 * 1024 * 1024
    image_only_models: frozenset[str] = frozenset()
    input_microcents_per_token: int = 10
    output_microcents_per_token: int = 40
    cached_input_microcents_per_token: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if set(self.lease_ttl_s) != {"v1", "v1beta"} or min(self.lease_ttl_s.values()) <= 0:
            raise ConfigurationError("lease_ttl_s needs a time above 0 for v1 and for v1beta")
        self._check(_POSITIVE, 0.0, "above")
        self._check(_NOT_NEGATIVE, 0.0, "at least")
        self._check(_AT_LEAST_ONE, 1.0, "at least")

    def _check(self, names: tuple[str, ...], bound: float, relation: str) -> None:
        for name in names:
            value = getattr(self, name)
            if not (value > bound or (relation == "at least" and value == bound)):
                raise ConfigurationError(f"{name} is {value!r}; it must be {relation} {bound:g}")
