"""What a fleet file says about a Kafka sink, and the sink that is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from overshoot_flow.config import Secret
from overshoot_flow.errors import ConfigurationError

if TYPE_CHECKING:
    from overshoot_flow_connectors.kafka import Format, KafkaSink

FormatName: TypeAlias = Literal["json", "arrow", "avro", "json_schema"]
DeliveryName: TypeAlias = Literal["at_least_once", "transactional"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetKafkaSink:
    """Answers as Kafka records, see `KafkaSink`.

    Attributes:
        bootstrap: Brokers to begin with.
        topic_prefix: What every topic's name begins with.
        format: What the values are.
        registry: URL of the schema registry, for Avro and JSON Schema.
        registry_user_info: `user:password` for it, or None.
        delivery: How often rows arrive.
        settings: Further settings of librdkafka.
    """

    bootstrap: str
    topic_prefix: str = "overshoot-"
    format: FormatName = "json"
    registry: str | None = None
    registry_user_info: Secret | None = None
    delivery: DeliveryName = "at_least_once"
    settings: Mapping[str, str | int | float | bool | Secret] = field(
        default_factory=lambda: MappingProxyType({})
    )

    @property
    def place(self) -> str:
        """Where the records are, for people."""
        return f"Kafka at {self.bootstrap}, topics {self.topic_prefix}…"

    def make(self) -> KafkaSink:
        """Make the sink.

        Raises:
            ConfigurationError: Kafka's client is not installed, or refuses a setting.
        """
        try:
            from overshoot_flow_connectors.kafka import (  # noqa: PLC0415 - an extra
                KafkaSink,
            )
        except ImportError as error:
            raise ConfigurationError(
                f"a Kafka sink needs {error.name}: pip install 'overshoot-flow[kafka]'"
            ) from None
        return KafkaSink(
            self.bootstrap,
            topic_prefix=self.topic_prefix,
            format=self._format(),
            delivery=self.delivery,
            settings=self.settings,
        )

    def _format(self) -> Format:
        from overshoot_flow_connectors.kafka import (  # noqa: PLC0415 - an extra
            ArrowIpc,
            Avro,
            Json,
            JsonSchema,
            Registry,
        )

        if self.format == "json":
            return Json()
        if self.format == "arrow":
            return ArrowIpc()
        user_info = self.registry_user_info
        registry = Registry(
            url=self.registry or "",
            settings={} if user_info is None else {"basic.auth.user.info": user_info},
            # The cameras of a fleet may have different output schemas.
            subject_naming="topic_record",
        )
        return Avro(registry) if self.format == "avro" else JsonSchema(registry)
