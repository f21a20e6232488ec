"""One participant: a signalling connection and the peer connections that belong to it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Sequence
from typing import Final, Protocol

import av
from aiohttp import WSMsgType, web
from aiortc.mediastreams import MediaStreamTrack
from google.protobuf.message import DecodeError
from livekit.protocol import models, rtc

from overshoot_flow.errors import TransportError
from overshoot_flow.local.ingest import messages
from overshoot_flow.local.ingest.forwarding import Forwarding
from overshoot_flow.local.ingest.peer import MediaPeer, read_pictures
from overshoot_flow.local.ingest.tokens import Grant, TokenMint
from overshoot_flow.local.owned_tasks import OwnedTasks

_GOODBYE_TIMEOUT_S: Final = 1.0
"""An SDK that leaves closes its media before it says so."""

_logger = logging.getLogger(__name__)


class ParticipantRoom(Protocol):
    """What a participant needs of its room."""

    def others(self, participant: Participant) -> list[models.ParticipantInfo]:
        """Everybody else who publishes."""
        ...

    def publication_started(self, participant: Participant) -> None:
        """The first picture of `participant` is about to come."""
        ...

    def publication_ended(self, participant: Participant) -> None:
        """No more pictures come over the connection that `participant` has now."""
        ...

    def picture_arrived(self, participant: Participant, picture: av.VideoFrame) -> None:
        """A decoded picture of `participant`."""
        ...

    def subscriber_ready(self, participant: Participant) -> None:
        """`participant` has joined and may subscribe."""
        ...


class Participant:
    """Serves one signalling connection from the welcome to the end.

    Args:
        room: The room that was joined.
        grant: What the token allows.
        mint: Where fresh tokens come from.
        addresses: Local addresses for media, or None for every interface but loopback.
        key_frames_only: Decode nothing but key frames.
        socket: The prepared WebSocket.
        request: The request that it came with.
    """

    def __init__(
        self,
        room: ParticipantRoom,
        *,
        grant: Grant,
        mint: TokenMint,
        addresses: Sequence[str] | None,
        key_frames_only: bool,
        socket: web.WebSocketResponse,
        request: web.Request,
    ) -> None:
        self.grant = grant
        self.sid = f"PA_{secrets.token_hex(6)}"
        self.tracks: list[models.TrackInfo] = []
        self.said_goodbye = False
        self.gone = asyncio.Event()
        self._closing = False
        self.forwarding: Forwarding | None = None
        self._room = room
        self._mint = mint
        self._addresses = addresses
        self._socket = socket
        self._request = request
        self._tasks = OwnedTasks()
        self._publisher = MediaPeer(
            addresses,
            on_track=self._track_arrived,
            on_lost=self._media_lost,
            key_frames_only=key_frames_only,
        )

    @property
    def info(self) -> models.ParticipantInfo:
        """How others see this participant."""
        return messages.participant_info(self.sid, self.grant, self.tracks)

    async def serve(self, room_sid: str) -> None:
        """Welcome the participant and follow its messages until the connection ends."""
        try:
            await self.send(messages.join(room_sid, self.info, self._room.others(self)))
            self._tasks.start(self._refresh_token(), f"token refresh of {self.sid}")
            if self.grant.can_subscribe:
                self._room.subscriber_ready(self)
            async for message in self._socket:
                if message.type is not WSMsgType.BINARY:
                    continue
                try:
                    await self._follow(rtc.SignalRequest.FromString(message.data))
                except (DecodeError, TransportError) as error:
                    _logger.warning("participant %s sent nonsense: %s", self.sid, error)
                    await self.dismiss(models.JOIN_FAILURE)
                if self.said_goodbye:
                    break
        finally:
            await self._close()

    async def dismiss(self, reason: models.DisconnectReason) -> None:
        """Send the participant away for good."""
        await self.send(messages.leave_for_good(reason))
        await self._socket.close()

    async def call_back(self) -> None:
        """Make the participant join anew."""
        await self.send(messages.join_anew())
        await self._socket.close()

    def abort(self) -> None:
        """Cut the connection without a word, like a network fault."""
        if self._request.transport is not None:
            self._request.transport.abort()

    def forward(self, publisher_sid: str, track_sid: str) -> None:
        """Offer the publisher's video to this participant."""
        if self.forwarding is None and not self._closing:
            self.forwarding = Forwarding(self._addresses, publisher_sid, track_sid)
            self._tasks.start(self._offer(self.forwarding), f"offer to {self.sid}")

    def tell(self, message: rtc.SignalResponse) -> None:
        """Send `message` soon."""
        self._tasks.start(self.send(message), f"message to {self.sid}")

    def call_back_soon(self) -> None:
        """Make the participant join anew, soon."""
        self._tasks.start(self.call_back(), f"calling back {self.sid}")

    def dismiss_soon(self, reason: models.DisconnectReason) -> None:
        """Send the participant away for good, soon."""
        self._tasks.start(self.dismiss(reason), f"dismissing {self.sid}")

    async def send(self, message: rtc.SignalResponse) -> None:
        """Send `message`; on a connection that is going down it is lost, as on any network."""
        try:
            await self._socket.send_bytes(message.SerializeToString())
        except ConnectionError:
            _logger.debug("participant %s is gone already", self.sid)

    async def _offer(self, forwarding: Forwarding) -> None:
        sdp = await forwarding.offer()
        await self.send(rtc.SignalResponse(offer=rtc.SessionDescription(type="offer", sdp=sdp)))

    async def _refresh_token(self) -> None:
        while True:
            await asyncio.sleep(self._mint.ttl_s / 2)
            await self.send(rtc.SignalResponse(refresh_token=self._mint.mint(self.grant)))

    async def _follow(self, request: rtc.SignalRequest) -> None:
        match request.WhichOneof("message"):
            case "offer":
                sdp = await self._publisher.answer(request.offer.sdp)
                answer = rtc.SessionDescription(type="answer", sdp=sdp, id=request.offer.id)
                await self.send(rtc.SignalResponse(answer=answer))
            case "answer" if self.forwarding is not None:
                await self.forwarding.peer.accept(request.answer.sdp)
            case "trickle":
                await self._take_candidate(request.trickle)
            case "add_track":
                await self._announce(request.add_track)
            case "ping":
                await self.send(rtc.SignalResponse(pong=_now_ms()))
            case "ping_req":
                pong = rtc.Pong(last_ping_timestamp=request.ping_req.timestamp, timestamp=_now_ms())
                await self.send(rtc.SignalResponse(pong_resp=pong))
            case "leave":
                self.said_goodbye = True
            case other:
                _logger.debug("participant %s: %s is not used here", self.sid, other)

    async def _take_candidate(self, trickle: rtc.TrickleRequest) -> None:
        if trickle.target == rtc.SignalTarget.PUBLISHER:
            await self._publisher.add_candidate(trickle.candidateInit)
        elif self.forwarding is not None:
            await self.forwarding.peer.add_candidate(trickle.candidateInit)

    async def _announce(self, request: rtc.AddTrackRequest) -> None:
        if not self.grant.can_publish:
            _logger.warning("participant %s may not publish", self.sid)
            await self.dismiss(models.PARTICIPANT_REMOVED)
            return
        track = messages.track_info(f"TR_{secrets.token_hex(6)}", request)
        if request.type == models.TrackType.VIDEO:
            self.tracks = [track]
        published = rtc.TrackPublishedResponse(cid=request.cid, track=track)
        await self.send(rtc.SignalResponse(track_published=published))

    def _track_arrived(self, track: MediaStreamTrack) -> None:
        if self.grant.can_publish:
            self._tasks.start(self._publish(track), f"pictures of {self.sid}")

    async def _publish(self, track: MediaStreamTrack) -> None:
        self._room.publication_started(self)
        # A track also ends when the publisher says goodbye, a moment before the message comes:
        # whether it has gone is for the signalling connection to say.
        await read_pictures(track, lambda picture: self._room.picture_arrived(self, picture))

    def _media_lost(self) -> None:
        if not self._closing:
            self._tasks.start(self._abort_unless_goodbye(), f"end of {self.sid}")

    async def _abort_unless_goodbye(self) -> None:
        await asyncio.sleep(_GOODBYE_TIMEOUT_S)
        self.abort()

    async def _close(self) -> None:
        self._closing = True
        self._room.publication_ended(self)
        await self._tasks.stop()
        if self.forwarding is not None:
            await self.forwarding.close()
        await self._publisher.close()
        await self._socket.close()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
