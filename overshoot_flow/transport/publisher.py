"""What a session needs of whatever brings its pictures to the service."""

from __future__ import annotations

import asyncio
from typing import Protocol

from overshoot_flow.media.access_units import Picture
from overshoot_flow.transport.sender_statistics import SenderStatistics


class Publisher(Protocol):
    """One connection that sends one video; all methods belong to one event loop.

    Attributes:
        lost: Set when the connection is gone for good although nobody ended it.
        flowing: Set while pictures handed over get sent.
    """

    lost: asyncio.Event
    flowing: asyncio.Event

    @property
    def pictures_captured(self) -> int:
        """Pictures handed to the sender, repeated ones included."""
        ...

    @property
    def awaits_key_frame(self) -> bool:
        """Whether an access unit that is no key frame would be of no use to the far side."""
        ...

    async def connect(self, first: Picture) -> None:
        """Connect, and show `first` until it is on its way.

        Raises:
            PublishError: No connection came about.
            ConfigurationError: The codec of `first` cannot be published without decoding.
        """
        ...

    async def capture(self, picture: Picture) -> None:
        """Hand over `picture`, of the same kind as the first one.

        Raises:
            PublishError: The sender does not take it.
        """
        ...

    async def statistics(self) -> SenderStatistics:
        """Read what was sent.

        Raises:
            PublishError: The connection is going down.
        """
        ...

    async def leave(self) -> None:
        """End the connection; harmless when it is gone already, or never was."""
        ...
