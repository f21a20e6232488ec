"""Reads where is asked, and where the run can be watched."""

from __future__ import annotations

from typing import Final

from overshoot_flow.config import DEFAULT_BASE_URL, DEFAULT_TRANSIT_S, STREAMS_PER_KEY, Service
from overshoot_flow.errors import ConfigurationError
from overshoot_flow_connectors.fleet_fields import FleetTable, FleetUnique
from overshoot_flow_connectors.fleet_model import FleetService

_SERVICE_KEYS: Final = ("name", "base_url", "key", "max_streams", "transit_s")
_HIGHEST_PORT: Final = 65_535


def read_services(root: FleetTable) -> tuple[FleetService, ...]:
    """Read every `[[service]]`; without those that have problems."""
    if not root.has_tables("service"):
        root.problem(
            "service",
            'no service; write [[service]] with name = "…" and key = { env = "OVERSHOOT_API_KEY" }',
        )
    names, keys = FleetUnique(), FleetUnique()
    services = [_service(table, names, keys) for table in root.tables("service")]
    return tuple(service for service in services if service is not None)


def _service(table: FleetTable, names: FleetUnique, keys: FleetUnique) -> FleetService | None:
    table.refuse_unknown(_SERVICE_KEYS)
    name = table.name()
    if name is not None:
        names.take(table, "name", name, "name each service differently")
    key = table.secret("key", required=True)
    base_url = table.text("base_url")
    max_streams = table.integer("max_streams", at_least=1)
    transit_s = table.number("transit_s", above=0)
    if key is None:
        return None
    try:
        service = Service(
            key=key,
            base_url=base_url or DEFAULT_BASE_URL,
            max_streams=max_streams or STREAMS_PER_KEY,
            transit_s=transit_s or DEFAULT_TRANSIT_S,
        )
    except ConfigurationError as error:
        table.problem("base_url" if "URL" in str(error) else "key", str(error))
        return None
    keys.take(table, "key", (key, service.base_url), "a key's streams must not be counted twice")
    return None if name is None else FleetService(name=name, service=service)


def read_metrics(root: FleetTable) -> str | None:
    """Read `[metrics] listen`; None without one, and after noting what is wrong with it."""
    table = root.table("metrics")
    if table is None:
        return None
    table.refuse_unknown(("listen",))
    listen = table.text("listen", required=True)
    if listen is None:
        return None
    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > _HIGHEST_PORT:
        table.problem(
            "listen", f'listen must be "HOST:PORT", such as "127.0.0.1:9464", not "{listen}"'
        )
        return None
    return listen
