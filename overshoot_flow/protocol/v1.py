"""API v1 and v1beta: generations and leased streams, as values.

Both generations speak the same language; what differs is data in `Generation`. Answers are read
permissively: unknown fields are ignored, and only what the contract promises and the client needs
is demanded.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import quote, urlsplit

from overshoot_flow.config import Secret
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.protocol.fields import Fields
from overshoot_flow.protocol.requests import Repeat, Request
from overshoot_flow.protocol.v02 import Room

REGION_HEADER: Final = "X-Overshoot-Region"
RETENTION_S: Final = 600.0
"""How long the service keeps frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What tells one generation from the other.

    Attributes:
        name: Last part of its base URLs.
        base_url: Where the vendor serves it.
        assumed_lease_s: The lease, should the answer about a stream that is already billed not
            name it. The pages about v1beta disagree, so the shorter one is assumed.
    """

    name: str
    base_url: str
    assumed_lease_s: float


V1: Final = Generation(name="v1", base_url="https://api.overshoot.ai/v1", assumed_lease_s=300.0)
V1BETA: Final = Generation(
    name="v1beta", base_url="https://api.overshoot.ai/v1beta", assumed_lease_s=45.0
)
_GENERATIONS: Final = {generation.name: generation for generation in (V1, V1BETA)}


def generation_of(base_url: str) -> Generation:
    """Return the generation that `base_url` ends with.

    Raises:
        ConfigurationError: It ends with neither.
    """
    last = urlsplit(base_url).path.rstrip("/").rpartition("/")[2]
    if last not in _GENERATIONS:
        raise ConfigurationError(
            f"base URL {base_url!r} ends with {last!r}; it must end with one of "
            f"{', '.join(_GENERATIONS)}"
        )
    return _GENERATIONS[last]


class StreamState(StrEnum):
    """Whether a stream can be used; `ended` is terminal."""

    ACTIVE = "active"
    ENDED = "ended"


def create_stream() -> Request:
    """Lease a stream."""
    return Request("POST", "/streams", Repeat.IF_NEVER_SENT)


def get_stream(stream_id: str) -> Request:
    """Ask where a stream stands."""
    return Request("GET", _stream_path(stream_id), Repeat.ALWAYS, stream_ids=(stream_id,))


def keepalive(stream_id: str) -> Request:
    """Renew the lease."""
    return Request(
        "POST", f"{_stream_path(stream_id)}/keepalive", Repeat.NEVER, stream_ids=(stream_id,)
    )


def delete_stream(stream_id: str) -> Request:
    """End the stream; repeating it is harmless."""
    return Request("DELETE", _stream_path(stream_id), Repeat.ALWAYS, stream_ids=(stream_id,))


def _stream_path(stream_id: str) -> str:
    # The id comes from the network: it must not lead to another endpoint.
    return f"/streams/{quote(stream_id, safe='')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamCreated:
    """A leased stream, active at once.

    Attributes:
        stream_id: Its id.
        room: Where to publish; the token is short-lived.
        lease_ttl_s: How long it lives without a keepalive.
    """

    stream_id: str
    room: Room
    lease_ttl_s: float

    @classmethod
    def parse(cls, document: object, generation: Generation) -> StreamCreated:
        """Read the answer to `create_stream`.

        Raises:
            TransportError: The answer is outside the contract.
        """
        fields = Fields.of(document, "POST /streams")
        ttl_s = fields.optional_number("ttl_seconds")
        room = _room(fields)
        if room is None:
            raise fields.outside("publish", "missing: there is no room to publish into")
        return cls(
            stream_id=fields.text("id"),
            room=room,
            lease_ttl_s=generation.assumed_lease_s
            if ttl_s is None
            else fields.number("ttl_seconds"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepaliveAnswer:
    """A renewed lease.

    Attributes:
        lease_ttl_s: How long it lives from now on.
        stream_time_ms: The stream's clock, None before the first frame.
        room: Where a publisher that reconnects joins, with a fresh token; None if not told.
    """

    lease_ttl_s: float
    stream_time_ms: float | None
    room: Room | None

    @classmethod
    def parse(cls, document: object) -> KeepaliveAnswer:
        """Read the answer to `keepalive`.

        Raises:
            TransportError: The answer is outside the contract.
        """
        fields = Fields.of(document, "keepalive")
        return cls(
            lease_ttl_s=fields.number("ttl_seconds"),
            stream_time_ms=fields.optional_number("stream_time_ms"),
            room=_room(fields),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStatus:
    """Where a stream stands.

    Frame facts are None until a publisher has delivered a frame. Times named `*_at_ms` are
    milliseconds of UTC since 1970, as the service's clock has them.

    Attributes:
        stream_id: Its id.
        state: Whether it lives.
        end_reason: Why not, such as `expired` or `deleted`.
        stream_time_ms: The stream's clock now.
        first_frame_at_ms: When its clock began.
        last_frame_at_ms: When the newest frame came: the cheapest sign that ingest has begun.
        last_frame_index: Lifetime index of the newest frame.
        first_available_frame_index: The oldest one that can still be asked about.
        first_available_frame_at_ms: When that one came.
        recent_fps: Frames per second lately.
        retained_frame_count: Frames that can be asked about.
        evicted_frame_count: Frames that no longer can.
        lease_ttl_s: How long it lives without a keepalive; None once it has ended.
    """

    stream_id: str
    state: StreamState
    end_reason: str | None
    stream_time_ms: float | None
    first_frame_at_ms: float | None
    last_frame_at_ms: float | None
    last_frame_index: int | None
    first_available_frame_index: int | None
    first_available_frame_at_ms: float | None
    recent_fps: float | None
    retained_frame_count: int | None
    evicted_frame_count: int | None
    lease_ttl_s: float | None

    @classmethod
    def parse(cls, document: object) -> StreamStatus:
        """Read the answer to `get_stream`.

        Raises:
            TransportError: The answer is outside the contract.
        """
        fields = Fields.of(document, "GET /streams/{id}")
        state = fields.text("state")
        if state not in set(StreamState):
            raise fields.outside("state", f"neither {' nor '.join(StreamState)}")
        return cls(
            stream_id=fields.text("id"),
            state=StreamState(state),
            end_reason=fields.optional_text("end_reason"),
            stream_time_ms=fields.optional_number("stream_time_ms"),
            first_frame_at_ms=fields.optional_number("first_frame_at_ms"),
            last_frame_at_ms=fields.optional_number("last_frame_at_ms"),
            last_frame_index=_count(fields, "last_frame_index"),
            first_available_frame_index=_count(fields, "first_available_frame_index"),
            first_available_frame_at_ms=fields.optional_number("first_available_frame_at_ms"),
            recent_fps=fields.optional_number("recent_fps"),
            retained_frame_count=_count(fields, "retained_frame_count"),
            evicted_frame_count=_count(fields, "evicted_frame_count"),
            lease_ttl_s=fields.optional_number("ttl_seconds"),
        )


def _room(fields: Fields) -> Room | None:
    publish = fields.child("publish")
    if publish is None:
        return None
    return Room(publish.text("url"), Secret(publish.text("token")))


def _count(fields: Fields, name: str) -> int | None:
    number = fields.optional_number(name)
    if number is None:
        return None
    if number < 0 or not number.is_integer():
        raise fields.outside(name, "not a whole number from 0")
    return int(number)
