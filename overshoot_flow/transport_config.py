"""How a stream's video gets to the service."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.secret import Secret

_ROOM_SCHEMES: Final = frozenset({"ws", "wss"})
_STUN_SCHEMES: Final = ("stun:", "stuns:")


@dataclass(frozen=True, slots=True)
class NativeRoom:
    """The service makes a LiveKit room for every stream. The usual way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRoom:
    """A LiveKit room that you run: we publish into it, the service joins it to look.

    Args:
        url: WebSocket URL of your LiveKit server, `wss://…`, without credentials.
        publish_token: Our token; it must allow joining and publishing video.
        service_token: The service's token, with another identity; it must allow joining and
            subscribing. It is sent to the service.

    Raises:
        ConfigurationError: The URL cannot be one of a LiveKit server, a token is empty, or both
            tokens are the same.
    """

    url: str
    publish_token: Secret
    service_token: Secret

    def __post_init__(self) -> None:
        """Refuse what could never be joined."""
        try:
            parts = urlsplit(self.url)
            usable = bool(parts.hostname) and parts.port != 0
        except ValueError:
            raise ConfigurationError("the room's URL is no URL; give wss://host[:port]") from None
        if "@" in self.url or parts.query or parts.fragment:
            # The text does not repeat it: that is where a token or a password would be.
            raise ConfigurationError("the room's URL must carry no credentials and no query")
        if parts.scheme not in _ROOM_SCHEMES or not usable:
            raise ConfigurationError(f"room URL {self.url!r} must be wss://host or ws://host")
        if not self.publish_token.reveal() or not self.service_token.reveal():
            raise ConfigurationError(
                "a room token is empty; mint one for us and one for the service"
            )
        if self.publish_token == self.service_token:
            raise ConfigurationError(
                "the room's two tokens are the same; a LiveKit room admits each identity once, so "
                "mint one for us and one for the service"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRooms:
    """Rooms that you run, one for each stream key: the service looks at one video per room.

    Args:
        room_for: Gives the room of a stream key. It is called whenever a room is joined, so it can
            mint fresh tokens each time; it must be quick, and answer the same room for the same
            key.
    """

    room_for: Callable[[str], UserRoom]

    def room(self, stream_key: str) -> UserRoom:
        """Return the room of `stream_key`.

        Raises:
            ConfigurationError: `room_for` failed, or gave something else; the text names no token.
        """
        try:
            room = self.room_for(stream_key)
        except Exception as error:  # noqa: BLE001 - whatever the user's function raises
            # Its text may hold a token, so only the type is told.
            raise ConfigurationError(
                f"room_for({stream_key!r}) failed with {type(error).__name__}"
            ) from None
        if not isinstance(room, UserRoom):
            raise ConfigurationError(
                f"room_for({stream_key!r}) gave {type(room).__name__}; it must give a UserRoom"
            )
        return room


@dataclass(frozen=True, slots=True, kw_only=True)
class SdpOffer:
    """A WebRTC peer connection of our own, offered when the stream is created: no LiveKit.

    It needs the extra `webrtc`. All candidates are gathered before the offer, so relays that the
    service names in its answer come too late: the service must be reachable without them.

    Args:
        stun_urls: STUN servers, `stun:host:port`, to learn addresses behind a NAT.

    Raises:
        ConfigurationError: aiortc is not installed, or a URL is none of a STUN server.
    """

    stun_urls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what could never connect."""
        if importlib.util.find_spec("aiortc") is None:
            raise ConfigurationError(
                "an SDP offer needs aiortc: pip install 'overshoot-flow[webrtc]'"
            )
        for url in self.stun_urls:
            if not url.startswith(_STUN_SCHEMES):
                raise ConfigurationError(f"{url!r} must be stun:host:port")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inline:
    """No stream: the pictures of each window travel in its question (v1 and v1beta).

    For archives: as fast as the service answers, not in real time.

    Args:
        jpeg_quality: Quality of the pictures, 1 to 100.
        max_height: Largest height of a picture in pixels, or None for that of the frames.

    Raises:
        ConfigurationError: A value is out of range.
    """

    jpeg_quality: int = 85
    max_height: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 1 <= self.jpeg_quality <= 100:  # noqa: PLR2004 - the scale's end
            raise ConfigurationError(f"jpeg_quality is {self.jpeg_quality}; it must be 1 to 100")
        if self.max_height is not None and self.max_height < 2:  # noqa: PLR2004 - one chroma sample
            raise ConfigurationError(f"max_height is {self.max_height}; it must be at least 2")


Transport: TypeAlias = NativeRoom | UserRooms | SdpOffer | Inline
