"""The lease of a stream of v1 or v1beta, which costs nothing by itself."""

from __future__ import annotations

import asyncio
import logging

from overshoot_flow.errors import OvershootFlowError
from overshoot_flow.protocol.lease import Lease
from overshoot_flow.protocol.v02 import Room
from overshoot_flow.protocol.v1 import StreamCreated
from overshoot_flow.session.clock import Clock
from overshoot_flow.session.status import SessionStatus
from overshoot_flow.transport.http_v1 import OvershootV1

_logger = logging.getLogger(__name__)


class V1Renewal:
    """Keeps a stream alive.

    Args:
        http: The service's client.
        created: The stream; its lease runs from now on.
        status: Counts the keepalives.
        clock: Time.

    Attributes:
        room: Where to publish, with the newest token.
    """

    def __init__(
        self, http: OvershootV1, created: StreamCreated, status: SessionStatus, clock: Clock
    ) -> None:
        self._http = http
        self._stream_id = created.stream_id
        self._status = status
        self._clock = clock
        self._lease = Lease(created.lease_ttl_s, clock.monotonic_s())
        self.room: Room = created.room

    async def renew(self) -> None:
        """Renew the lease by its schedule, until cancelled.

        Raises:
            OvershootFlowError: The stream cannot be kept alive.
        """
        while True:
            pause_s = self._lease.next_attempt_s - self._clock.monotonic_s()
            await asyncio.sleep(max(0.0, pause_s))
            await self._keep_alive()

    async def _keep_alive(self) -> None:
        """One keepalive; an error that the lease survives is retried by its schedule."""
        try:
            answer = await self._http.keepalive(self._stream_id)
        except OvershootFlowError as error:
            self._status.lease_not_renewed()
            if self._lease.failed(self._clock.monotonic_s(), error):
                _logger.warning("keepalive of stream %s failed: %s", self._stream_id, error)
                return
            raise
        self._lease.renewed(self._clock.monotonic_s(), answer.lease_ttl_s)
        self._status.lease_renewed()
        if answer.room is not None:
            self.room = answer.room
