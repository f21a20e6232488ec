"""The connections to services, which the sessions of one event loop share."""

from __future__ import annotations

from overshoot_flow.config import Service
from overshoot_flow.session.clock import Clock
from overshoot_flow.session.v1_access import V1Access
from overshoot_flow.transport.http import OvershootHttp


class Clients:
    """One client for each service; close them with `aclose`.

    Args:
        clock: Time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._v02: dict[Service, OvershootHttp] = {}
        self._v1: dict[Service, V1Access] = {}

    def v02(self, service: Service) -> OvershootHttp:
        """Return the client of a service of v0.2.

        Raises:
            ConfigurationError: The base URL or a proxy of the environment cannot be used.
        """
        if service not in self._v02:
            self._v02[service] = OvershootHttp(service)
        return self._v02[service]

    def v1(self, service: Service) -> V1Access:
        """Return the access to a service of v1 or v1beta.

        Raises:
            ConfigurationError: The base URL or a proxy of the environment cannot be used.
        """
        if service not in self._v1:
            self._v1[service] = V1Access(service, self._clock)
        return self._v1[service]

    async def aclose(self) -> None:
        """Close all connections."""
        old, new = [*self._v02.values()], [*self._v1.values()]
        self._v02.clear()
        self._v1.clear()
        for client in old:
            await client.aclose()
        for access in new:
            await access.aclose()
