"""One stream's way in: what the service is told about it, and who publishes there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from overshoot_flow.config import Secret, Service
from overshoot_flow.errors import PublishError, TransportError
from overshoot_flow.protocol.v02 import (
    LiveKitSource,
    NativeSource,
    Source,
    StreamCreated,
    WebRtcSource,
)
from overshoot_flow.transport.livekit_publisher import LiveKitPublisher
from overshoot_flow.transport.publisher import Publisher
from overshoot_flow.transport_config import Inline, NativeRoom, SdpOffer, UserRooms

if TYPE_CHECKING:
    from overshoot_flow.transport.webrtc_publisher import WebRtcPublisher


class Ingress(Protocol):
    """The way in of one stream; made before the stream is created, closed after its end."""

    @property
    def source(self) -> Source:
        """What `POST /streams` says about it."""
        ...

    def publisher(self, created: StreamCreated, token: Secret | None) -> Publisher:
        """Make a publisher that is not connected yet.

        Args:
            created: The stream.
            token: The newest publish token that a keepalive brought, or None.

        Raises:
            PublishError: This way can be taken once only.
            ConfigurationError: The user's function gives no room.
        """
        ...

    async def aclose(self) -> None:
        """Release what no publisher has taken over."""
        ...


async def open_ingress(service: Service, stream_key: str) -> Ingress:
    """Make the way in that `service` asks for.

    Raises:
        ConfigurationError: The user's function gives no room.
        PublishError: No offer can be made.
    """
    match service.transport:
        case NativeRoom():
            return _NativeIngress(service)
        case UserRooms() as rooms:
            return _UserRoomIngress(service, rooms, stream_key)
        case SdpOffer() as offer:
            return await _OfferedIngress.opened(service, offer)
        case Inline():
            msg = "without a stream there is no way into one"
            raise RuntimeError(msg)


class _NativeIngress:
    """A room that the service makes."""

    def __init__(self, service: Service) -> None:
        self._connect_timeout_s = service.connect_timeout_s
        self.source = NativeSource()

    def publisher(self, created: StreamCreated, token: Secret | None) -> Publisher:
        if created.livekit is None:
            raise TransportError("answer outside the contract: no room to publish into")
        return LiveKitPublisher(
            created.livekit.url,
            token or created.livekit.token,
            connect_timeout_s=self._connect_timeout_s,
        )

    async def aclose(self) -> None:
        """Nothing is open."""


class _UserRoomIngress:
    """A room that the user runs; its tokens come from the user's function alone."""

    def __init__(self, service: Service, rooms: UserRooms, stream_key: str) -> None:
        self._connect_timeout_s = service.connect_timeout_s
        self._rooms = rooms
        self._stream_key = stream_key
        room = rooms.room(stream_key)
        self.source = LiveKitSource(room.url, room.service_token)

    def publisher(self, created: StreamCreated, token: Secret | None) -> Publisher:  # noqa: ARG002 - the user's room is not the service's
        room = self._rooms.room(self._stream_key)
        return LiveKitPublisher(
            room.url, room.publish_token, connect_timeout_s=self._connect_timeout_s
        )

    async def aclose(self) -> None:
        """Nothing is open."""


class _OfferedIngress:
    """A peer connection that was offered; it is answered once and cannot come back."""

    def __init__(self, publisher: WebRtcPublisher, sdp: str) -> None:
        self._publisher = publisher
        self._is_taken = False
        self.source = WebRtcSource(sdp)

    @classmethod
    async def opened(cls, service: Service, offer: SdpOffer) -> _OfferedIngress:
        # aiortc is an extra, which the other ways in do without.
        from overshoot_flow.transport.webrtc_publisher import WebRtcPublisher  # noqa: PLC0415

        publisher = WebRtcPublisher(offer.stun_urls, connect_timeout_s=service.connect_timeout_s)
        return cls(publisher, await publisher.offer())

    def publisher(self, created: StreamCreated, token: Secret | None) -> Publisher:  # noqa: ARG002 - a peer connection has none
        if self._is_taken:
            raise PublishError("a peer connection cannot come back; a new stream is needed")
        if created.webrtc_sdp is None:
            raise TransportError("answer outside the contract: the offer is not answered")
        self._is_taken = True
        self._publisher.answer(created.webrtc_sdp)
        return self._publisher

    async def aclose(self) -> None:
        """Close the connection; harmless after the stream's own end."""
        await self._publisher.leave()
