"""Rooms: one publisher, any number of subscribers."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Protocol

import av
from aiohttp import web
from livekit.protocol import models

from overshoot_flow.errors import TransportError
from overshoot_flow.local.ingest import messages
from overshoot_flow.local.ingest.participant import Participant
from overshoot_flow.local.ingest.tokens import Grant, TokenMint

_MAX_CLOSED_NAMES: Final = 4096

_logger = logging.getLogger(__name__)


class RoomListener(Protocol):
    """Who wants a room's video."""

    def publisher_arrived(self) -> None:
        """A publisher's video begins, for the first time or again."""
        ...

    def publisher_gone(self, *, said_goodbye: bool) -> None:
        """The publisher left, or was lost."""
        ...

    def picture_arrived(self, picture: av.VideoFrame) -> None:
        """A decoded picture."""
        ...


class Room:
    """The participants of one room by identity; the first that publishes is the publisher.

    A participant that joins under an identity that is already there takes its place.

    Args:
        name: Name of the room.
        listener: Who wants the video, or None for a room that only subscribers watch.
    """

    def __init__(self, name: str, listener: RoomListener | None) -> None:
        self.name = name
        self._listener = listener
        self._participants: dict[str, Participant] = {}
        self._publisher: Participant | None = None
        self.pictures_ignored = 0

    @property
    def disposable(self) -> bool:
        """Whether nobody is here and nobody waits for anybody."""
        return self._listener is None and not self._participants

    async def join(self, participant: Participant) -> None:
        """Serve `participant` until it has gone."""
        identity = participant.grant.identity
        before = self._participants.get(identity)
        self._participants[identity] = participant
        try:
            if before is not None:
                await before.dismiss(models.DUPLICATE_IDENTITY)
                await before.gone.wait()
            await participant.serve(self.name)
        finally:
            participant.gone.set()
            if self._participants.get(identity) is participant:
                del self._participants[identity]

    def cut_connections(self) -> None:
        """Lose every participant as a network fault would; they may come back."""
        for participant in self._participants.values():
            participant.abort()

    def dismiss_everybody(self, reason: models.DisconnectReason) -> None:
        """Send everybody away; they may join anew."""
        for participant in self._participants.values():
            participant.dismiss_soon(reason)

    async def close(self, reason: models.DisconnectReason) -> None:
        """Send everybody away and wait until they have gone."""
        self._listener = None
        participants = list(self._participants.values())
        await asyncio.gather(*(participant.dismiss(reason) for participant in participants))
        await asyncio.gather(*(participant.gone.wait() for participant in participants))

    def others(self, participant: Participant) -> list[models.ParticipantInfo]:
        """Everybody else, for the welcome."""
        return [other.info for other in self._participants.values() if other is not participant]

    def publication_started(self, participant: Participant) -> None:
        """Make `participant` the publisher unless there is one."""
        if self._publisher is participant:
            return
        if self._publisher is not None:
            _logger.warning("room %s has a publisher already; further video is ignored", self.name)
            return
        self._publisher = participant
        if self._listener is not None:
            self._listener.publisher_arrived()
        for other in self._participants.values():
            if other is participant or not other.grant.can_subscribe:
                continue
            if other.forwarding is not None:
                # Its connection carries the earlier track: a new one is simpler than a renewed.
                other.call_back_soon()
            else:
                other.tell(messages.update(participant.info))
                self.subscriber_ready(other)

    def publication_ended(self, participant: Participant) -> None:
        """Tell that the publisher is gone."""
        if self._publisher is not participant:
            return
        self._publisher = None
        if self._listener is not None:
            self._listener.publisher_gone(said_goodbye=participant.said_goodbye)
        gone = messages.participant_info(participant.sid, participant.grant, (), present=False)
        for other in self._participants.values():
            if other is not participant:
                other.tell(messages.update(gone))

    def picture_arrived(self, participant: Participant, picture: av.VideoFrame) -> None:
        """Hand the publisher's picture to the listener and to all subscribers."""
        if participant is not self._publisher:
            self.pictures_ignored += 1
            return
        if self._listener is not None:
            self._listener.picture_arrived(picture)
        for other in self._participants.values():
            if other.forwarding is not None:
                other.forwarding.track.show(picture)

    def subscriber_ready(self, participant: Participant) -> None:
        """Offer the publisher's video to `participant`, if there is any."""
        publisher = self._publisher
        if publisher is not None and publisher is not participant and publisher.tracks:
            participant.forward(publisher.sid, publisher.tracks[0].sid)


class Rooms:
    """All rooms of a server, and the door to them.

    Rooms with a listener are opened and closed by it; any other room exists while somebody with a
    valid token is in it.

    Args:
        mint: Verifies tokens.
        addresses: Local addresses for media, or None for every interface but loopback.
        key_frames_only: Decode nothing but key frames.
    """

    def __init__(
        self, mint: TokenMint, addresses: Sequence[str] | None, *, key_frames_only: bool = False
    ) -> None:
        self.mint = mint
        self._addresses = addresses
        self._key_frames_only = key_frames_only
        self._rooms: dict[str, Room] = {}
        # Bounded: the oldest names go first, long after their tokens have run out.
        self._closed: OrderedDict[str, None] = OrderedDict()

    def open(self, name: str, listener: RoomListener) -> Room:
        """Open a room for `listener`."""
        room = self._rooms[name] = Room(name, listener)
        return room

    async def close(
        self, room: Room, reason: models.DisconnectReason = models.ROOM_DELETED
    ) -> None:
        """Close `room` for ever and wait until everybody has left it."""
        self._rooms.pop(room.name, None)
        self._closed[room.name] = None
        while len(self._closed) > _MAX_CLOSED_NAMES:
            self._closed.popitem(last=False)
        await room.close(reason)

    async def close_all(self) -> None:
        """Close every room: the server stops."""
        rooms = list(self._rooms.values())
        await asyncio.gather(*(self.close(room, models.SERVER_SHUTDOWN) for room in rooms))

    async def signalling(self, request: web.Request) -> web.StreamResponse:
        """Serve `GET /rtc`: 401 for a bad token, 404 for a room that is closed."""
        grant = self._grant(request)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if request.query.get("reconnect") == "1":
            await socket.send_bytes(messages.join_anew().SerializeToString())
            await socket.close()
            return socket
        if grant.room in self._closed:
            # It was closed while the WebSocket was being opened.
            leave = messages.leave_for_good(models.ROOM_DELETED)
            await socket.send_bytes(leave.SerializeToString())
            await socket.close()
            return socket
        room = self._rooms.setdefault(grant.room, Room(grant.room, None))
        participant = Participant(
            room,
            grant=grant,
            mint=self.mint,
            addresses=self._addresses,
            key_frames_only=self._key_frames_only,
            socket=socket,
            request=request,
        )
        await room.join(participant)
        if room.disposable and self._rooms.get(room.name) is room:
            del self._rooms[room.name]
        return socket

    async def validate(self, request: web.Request) -> web.Response:
        """Serve `GET /rtc/validate`: where an SDK asks why it was not let in."""
        self._grant(request)
        return web.Response(text="success")

    def _grant(self, request: web.Request) -> Grant:
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        token = bearer if scheme == "Bearer" else request.query.get("access_token", "")
        try:
            grant = self.mint.verify(token)
        except TransportError as error:
            raise web.HTTPUnauthorized(text=str(error)) from None
        if grant.room in self._closed:
            raise web.HTTPNotFound(text="the room is closed")
        return grant
