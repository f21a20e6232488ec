"""The signalling messages that the ingest sends. Pure builders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from livekit.protocol import models, rtc

from overshoot_flow.local.ingest.tokens import Grant

SERVER_VERSION: Final = "1.9.0"
PROTOCOL_VERSION: Final = 15
PING_INTERVAL_S: Final = 5
PING_TIMEOUT_S: Final = 15


def participant_info(
    sid: str, grant: Grant, tracks: Iterable[models.TrackInfo], *, present: bool = True
) -> models.ParticipantInfo:
    """Describe a participant."""
    return models.ParticipantInfo(
        sid=sid,
        identity=grant.identity,
        state=models.ParticipantInfo.ACTIVE if present else models.ParticipantInfo.DISCONNECTED,
        tracks=tracks,
        is_publisher=grant.can_publish,
        permission=models.ParticipantPermission(
            can_publish=grant.can_publish, can_subscribe=grant.can_subscribe
        ),
    )


def join(
    room_sid: str,
    me: models.ParticipantInfo,
    others: Iterable[models.ParticipantInfo],
) -> rtc.SignalResponse:
    """Welcome a participant. The publisher peer connection is always the primary one."""
    return rtc.SignalResponse(
        join=rtc.JoinResponse(
            room=models.Room(sid=room_sid, name=room_sid),
            participant=me,
            other_participants=others,
            server_version=SERVER_VERSION,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_TIMEOUT_S,
            subscriber_primary=False,
            server_info=models.ServerInfo(version=SERVER_VERSION, protocol=PROTOCOL_VERSION),
        )
    )


def track_info(sid: str, request: rtc.AddTrackRequest) -> models.TrackInfo:
    """Describe a track that a publisher announces."""
    return models.TrackInfo(
        sid=sid,
        type=request.type,
        name=request.name,
        width=request.width,
        height=request.height,
        source=request.source,
    )


def leave_for_good(reason: models.DisconnectReason) -> rtc.SignalResponse:
    """Tell a participant to go and not to come back."""
    return rtc.SignalResponse(
        leave=rtc.LeaveRequest(reason=reason, action=rtc.LeaveRequest.DISCONNECT)
    )


def join_anew() -> rtc.SignalResponse:
    """Tell a participant to make a new connection: there is nothing here to resume."""
    return rtc.SignalResponse(
        leave=rtc.LeaveRequest(
            can_reconnect=True,
            reason=models.STATE_MISMATCH,
            action=rtc.LeaveRequest.RECONNECT,
        )
    )


def update(*participants: models.ParticipantInfo) -> rtc.SignalResponse:
    """Tell of other participants and their tracks."""
    return rtc.SignalResponse(update=rtc.ParticipantUpdate(participants=participants))
