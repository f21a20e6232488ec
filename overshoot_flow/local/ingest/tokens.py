"""Access tokens of rooms: LiveKit's JWTs, signed with a secret that lives as long as the server."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta

import jwt
from livekit import api

from overshoot_flow.errors import TransportError


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a token allows.

    Attributes:
        room: Name of the room.
        identity: Who joins; unique within the room.
        can_publish: Whether video is accepted.
        can_subscribe: Whether the publisher's video is sent.
    """

    room: str
    identity: str
    can_publish: bool
    can_subscribe: bool


class TokenMint:
    """Mints and verifies room tokens.

    Args:
        ttl_s: How long a token is valid; JWT counts whole seconds.
    """

    def __init__(self, ttl_s: float) -> None:
        self.ttl_s = ttl_s
        self._key = "local"
        self._secret = secrets.token_urlsafe(32)

    def mint(self, grant: Grant) -> str:
        """Return a fresh token for `grant`."""
        return (
            api.AccessToken(self._key, self._secret)
            .with_identity(grant.identity)
            .with_ttl(timedelta(seconds=self.ttl_s))
            .with_grants(
                api.VideoGrants(
                    room_join=True,
                    room=grant.room,
                    can_publish=grant.can_publish,
                    can_subscribe=grant.can_subscribe,
                )
            )
            .to_jwt()
        )

    def verify(self, token: str) -> Grant:
        """Return what `token` allows.

        Raises:
            TransportError: The token is not ours, is no longer valid, or opens no room.
        """
        verifier = api.TokenVerifier(self._key, self._secret, leeway=timedelta(0))
        try:
            claims = verifier.verify(token)
        except jwt.PyJWTError as error:
            raise TransportError(f"the room token is refused: {type(error).__name__}") from None
        video = claims.video
        if video is None or not video.room_join or not video.room:
            raise TransportError("the room token is refused: it opens no room")
        return Grant(
            room=video.room,
            identity=claims.identity,
            can_publish=bool(video.can_publish),
            can_subscribe=bool(video.can_subscribe),
        )
