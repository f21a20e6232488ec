"""Reads the Kafka sinks of a fleet file."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, cast

from overshoot_flow.errors import ConfigurationError
from overshoot_flow_connectors.fleet_fields import FleetTable
from overshoot_flow_connectors.fleet_kafka_sink import DeliveryName, FleetKafkaSink, FormatName

KAFKA_KEYS: Final = (
    "type",
    "bootstrap",
    "topic_prefix",
    "format",
    "registry",
    "registry_user_info",
    "delivery",
    "settings",
)
_FORMATS: Final = ("json", "arrow", "avro", "json_schema")
_WITH_REGISTRY: Final = ("avro", "json_schema")
_DELIVERIES: Final = ("at_least_once", "transactional")


def read_kafka_sink(table: FleetTable) -> FleetKafkaSink | None:
    """Read one `[[sink]]` with `type = "kafka"`; None after noting what is wrong with it."""
    table.refuse_unknown(KAFKA_KEYS)
    bootstrap = table.text("bootstrap", required=True)
    topic_prefix = table.text("topic_prefix")
    form = cast("FormatName | None", table.choice("format", _FORMATS))
    delivery = cast("DeliveryName | None", table.choice("delivery", _DELIVERIES))
    registry, user_info = table.text("registry"), table.secret("registry_user_info")
    settings = table.table("settings")
    if form in _WITH_REGISTRY and "registry" not in table:
        table.problem("format", f'{form} needs registry = "https://…"')
        return None
    if form not in _WITH_REGISTRY and "registry" in table:
        table.problem("registry", "only avro and json_schema use a registry")
        return None
    if bootstrap is None:
        return None
    sink = FleetKafkaSink(
        bootstrap=bootstrap,
        topic_prefix=topic_prefix or "overshoot-",
        format=form or "json",
        registry=registry,
        registry_user_info=user_info,
        delivery=delivery or "at_least_once",
        settings=MappingProxyType({} if settings is None else settings.settings()),
    )
    try:
        # Every command says what is wrong with the file, not only the one that runs it.
        sink.make()
    except ConfigurationError as error:
        table.problem("settings" if "setting" in str(error) else None, str(error))
        return None
    return sink
