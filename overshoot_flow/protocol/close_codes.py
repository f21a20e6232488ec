"""What the end of a result socket means."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

AUTHENTICATION_FAILED: Final = 1008
STREAM_ENDED: Final = 1001

END_REASONS: Final = frozenset(
    {
        "client_requested",
        "webrtc_disconnected",
        "livekit_disconnected",
        "lease_expired",
        "insufficient_credits",
    }
)
"""The contract's close reasons with code 1001; a new one is passed on as it is."""


class SocketEnd(StrEnum):
    """What to do when the socket has closed."""

    AUTHENTICATION = "authentication"
    """Terminal: the key is not accepted."""
    STREAM_ENDED = "stream_ended"
    """The service ended the stream; the close reason says why."""
    NETWORK = "network"
    """The stream may live on: connect again while its lease lives."""


def meaning_of_close(code: int | None) -> SocketEnd:
    """Return what a close code means; None is a connection that broke without one."""
    if code == AUTHENTICATION_FAILED:
        return SocketEnd.AUTHENTICATION
    return SocketEnd.STREAM_ENDED if code == STREAM_ENDED else SocketEnd.NETWORK
