"""Reads where is asked, and where the answers go."""

from __future__ import annotations

from typing import Final

from overshoot_flow.config import DEFAULT_BASE_URL, STREAMS_PER_KEY, Service
from overshoot_flow.errors import ConfigurationError
from overshoot_flow_connectors.fleet_fields import FleetTable, FleetUnique
from overshoot_flow_connectors.fleet_model import FleetParquetSink, FleetService

_SERVICE_KEYS: Final = ("name", "base_url", "key", "max_streams")
_SINK_KEYS: Final = ("type", "directory", "roll_interval_s")


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
    if key is None:
        return None
    try:
        service = Service(
            key=key,
            base_url=base_url or DEFAULT_BASE_URL,
            max_streams=max_streams or STREAMS_PER_KEY,
        )
    except ConfigurationError as error:
        table.problem("base_url" if "URL" in str(error) else "key", str(error))
        return None
    keys.take(table, "key", (key, service.base_url), "a key's streams must not be counted twice")
    return None if name is None else FleetService(name=name, service=service)


def read_sinks(root: FleetTable) -> tuple[FleetParquetSink, ...]:
    """Read every `[[sink]]`; without those that have problems."""
    directories = FleetUnique()
    sinks = [_sink(table, directories) for table in root.tables("sink")]
    return tuple(sink for sink in sinks if sink is not None)


def _sink(table: FleetTable, directories: FleetUnique) -> FleetParquetSink | None:
    table.refuse_unknown(_SINK_KEYS)
    if "type" not in table:
        table.problem(None, '"type" is missing; write type = "parquet"')
    elif table.choice("type", ("parquet",)) is None:
        return None
    directory = table.path("directory", required=True)
    roll_interval_s = table.number("roll_interval_s", above=0)
    if directory is None:
        return None
    if directory.exists() and not directory.is_dir():
        table.problem("directory", f"{directory} is a file; name a directory")
    directories.take(table, "directory", directory, "two sinks need two directories")
    if roll_interval_s is None:
        return FleetParquetSink(directory=directory)
    return FleetParquetSink(directory=directory, roll_interval_s=roll_interval_s)
