"""A schema registry's numbers of schemas, through confluent-kafka's client."""

from __future__ import annotations

import logging
import time
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from overshoot_flow.config import Secret
from overshoot_flow.errors import ConfigurationError, SinkError
from overshoot_flow_connectors.kafka_formats import Registry
from overshoot_flow_connectors.kafka_patience import Patience, Verdict

_CONFLICT: Final = 409
_SERVER_ERROR: Final = 500
_REFUSED: Final = (401, 403)
_NOT_FOUND: Final = 404
_PAUSE_S: Final = 1.0
_SHOWN: Final = 600

_logger = logging.getLogger(__name__)


class RegisteredSchemas:
    """Registers schemas, or looks them up.

    Args:
        registry: The registry.
        max_outage_s: How long to wait for it.

    Raises:
        ConfigurationError: The client refuses a setting.
    """

    def __init__(self, registry: Registry, max_outage_s: float) -> None:
        self._registry = registry
        self._max_outage_s = max_outage_s
        self._shown = urlsplit(registry.url).netloc
        settings: dict[str, Any] = {
            name: value.reveal() if isinstance(value, Secret) else value
            for name, value in registry.settings.items()
        }
        try:
            self._client = SchemaRegistryClient({**settings, "url": registry.url})
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"the registry's client refuses the settings: {self._redact(str(error))}"
            ) from None

    def id_of(self, subject: str, schema: str, schema_type: str) -> int:
        """Return the number of a schema; registers it where that is allowed.

        Raises:
            ConfigurationError: The registry refuses it.
            SinkError: The registry cannot be reached.
        """
        wanted = Schema(schema, schema_type)
        patience = Patience(self._max_outage_s, time.monotonic())
        while True:
            try:
                return self._ask(subject, wanted)
            except SchemaRegistryError as error:
                if error.http_status_code < _SERVER_ERROR:
                    raise self._refused(subject, schema_type, error) from None
                reason = str(error)
            # Only errors of the connection have no answer.
            except httpx2.TransportError as error:
                reason = f"{type(error).__name__}: {error}"
            now_s = time.monotonic()
            match patience.look(now_s):
                case Verdict.GIVE_UP:
                    raise SinkError(
                        f"the schema registry at {self._shown} cannot be reached: "
                        f"{self._redact(reason)}"
                    )
                case Verdict.SAY:
                    _logger.warning(
                        "the schema registry at %s cannot be reached: %s; waited %.0f s, the run "
                        "waits up to %.0f s",
                        self._shown,
                        self._redact(reason),
                        patience.waited_s(now_s),
                        self._max_outage_s,
                    )
                case Verdict.WAIT:
                    pass
            time.sleep(_PAUSE_S)

    def _ask(self, subject: str, schema: Schema) -> int:
        if self._registry.register:
            number: int | None = self._client.register_schema(subject, schema)
        else:
            number = self._client.lookup_schema(subject, schema).schema_id
        if number is None:
            raise SinkError(f"the schema registry at {self._shown} gives no number for {subject}")
        return int(number)

    def _refused(
        self, subject: str, schema_type: str, error: SchemaRegistryError
    ) -> ConfigurationError:
        said = self._redact(str(error.error_message))[:_SHOWN]
        where = f"the schema registry at {self._shown}"
        if error.http_status_code in _REFUSED:
            return ConfigurationError(
                f"{where} refuses the credentials ({error.http_status_code}): correct the "
                "registry's settings"
            )
        if error.http_status_code == _CONFLICT:
            advice = (
                "Write another topic, or relax the subject's compatibility for this change. "
                "Results of several output schemas in one topic need "
                'subject_naming="topic_record"'
            )
            return ConfigurationError(
                f"{where} finds the {schema_type} schema incompatible with what the subject "
                f"{subject} has: {said}. {advice}"
            )
        if error.http_status_code == _NOT_FOUND and not self._registry.register:
            return ConfigurationError(
                f"{where} does not have this schema under {subject} ({said}): register it, or let "
                "the sink do it with register=True"
            )
        return ConfigurationError(f"{where} refuses a schema for {subject}: {said}")

    def _redact(self, text: str) -> str:
        for value in self._registry.settings.values():
            if isinstance(value, Secret):
                text = value.redact(text)
        return text
