"""The settings of librdkafka: what may be set, what the guarantees need, and what is secret."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from confluent_kafka import KafkaError, KafkaException

from overshoot_flow.config import Secret
from overshoot_flow.errors import ConfigurationError

SettingValue: TypeAlias = str | int | float | bool | Secret
DEFAULT_MAX_BYTES: Final = 1_000_000
MAX_BYTES: Final = "message.max.bytes"

_SECRET_NAME: Final = re.compile(r"password|secret|token|key\.pem|user\.info|private")
_BOOTSTRAP: Final[Mapping[str, str]] = {
    "bootstrap.servers": "give bootstrap instead",
    "metadata.broker.list": "give bootstrap instead",
}
FORBIDDEN_TO_SINKS: Final[Mapping[str, str]] = {
    **_BOOTSTRAP,
    "transactional.id": "it is made of the run and the partition; give delivery instead",
    "transaction.timeout.ms": "a transaction lasts as long as it takes to write one epoch",
    "message.timeout.ms": "give max_outage instead",
    "delivery.timeout.ms": "give max_outage instead",
    "enable.idempotence": "it is always true: without it a retry could double a record",
    "acks": "it is always all: a record counts only when the broker has made it safe",
    "request.required.acks": "it is always all",
    "group.id": "a sink reads nothing in a group",
}
_NO_GROUP: Final = "positions are part of the run's own state: nothing is read in a group"
FORBIDDEN_TO_SOURCES: Final[Mapping[str, str]] = {
    **_BOOTSTRAP,
    "group.id": _NO_GROUP,
    "group.instance.id": _NO_GROUP,
    "enable.auto.commit": _NO_GROUP,
    "enable.auto.offset.store": _NO_GROUP,
    "auto.offset.reset": "nothing is skipped without a record of it",
    "isolation.level": "give read_committed instead",
    "enable.partition.eof": "give stop_at_end instead",
}
_CONNECTION: Final = (
    "bootstrap.",
    "security.",
    "sasl.",
    "ssl.",
    "socket.",
    "broker.",
    "client.",
    "enable.ssl.",
    "enable.sasl.",
    "https.",
    "reconnect.",
    "retry.backoff.",
    "metadata.",
    "topic.metadata.",
    "allow.auto.create.topics",
    "debug",
    "log_level",
)


class KafkaSettings:
    """What clients of one cluster are made with; shows no secret.

    Args:
        bootstrap: Brokers to begin with, `host:port[,host:port…]`.
        settings: Any further setting of librdkafka for the client.
        forbidden: Settings that cannot be given, and why.

    Raises:
        ConfigurationError: A setting cannot be given, or would break what is promised.
    """

    def __init__(
        self,
        bootstrap: str,
        settings: Mapping[str, SettingValue],
        forbidden: Mapping[str, str] = FORBIDDEN_TO_SINKS,
    ) -> None:
        if not bootstrap.strip():
            raise ConfigurationError('bootstrap is empty; write "host:port" of a broker')
        if "@" in bootstrap or "://" in bootstrap:
            # The text is not repeated: it may hold a password.
            raise ConfigurationError(
                'bootstrap must be "host:port[,host:port…]"; credentials belong into settings, '
                "such as sasl.username and sasl.password"
            )
        for name, value in settings.items():
            if name in forbidden:
                raise ConfigurationError(f"the setting {name} cannot be given: {forbidden[name]}")
            if not isinstance(value, str | int | float | bool | Secret):
                raise ConfigurationError(
                    f"the setting {name} is {type(value).__name__}; write a text, a number or true "
                    "or false"
                )
        self.bootstrap = bootstrap
        self._settings = dict(settings)
        self._secrets = [
            value if isinstance(value, Secret) else Secret(str(value))
            for name, value in settings.items()
            if isinstance(value, Secret) or _SECRET_NAME.search(name)
        ]

    def __repr__(self) -> str:
        """Name the settings, without the values."""
        return f"KafkaSettings({self.bootstrap!r}, {sorted(self._settings)})"

    @property
    def max_bytes(self) -> int:
        """The largest record that the client sends."""
        value = self._settings.get(MAX_BYTES, DEFAULT_MAX_BYTES)
        if isinstance(value, Secret) or not str(value).isdigit():
            raise ConfigurationError(f"the setting {MAX_BYTES} must be a number of bytes")
        return int(value)

    def for_producer(self) -> dict[str, Any]:
        """Return the settings of a producer, with secrets in clear."""
        return {
            "linger.ms": 20,
            "compression.type": "zstd",
            **self._revealed(),
            "bootstrap.servers": self.bootstrap,
            "enable.idempotence": True,
            "acks": "all",
        }

    def for_consumer(self) -> dict[str, Any]:
        """Return the settings of a consumer that is assigned partitions, with secrets in clear."""
        return {
            **self._revealed(),
            "bootstrap.servers": self.bootstrap,
            # The library wants one. Nothing joins it, and nothing is committed in it.
            "group.id": "overshoot-flow",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
        }

    def for_connection(self) -> dict[str, Any]:
        """Return the settings that every kind of client has, with secrets in clear."""
        kept = {
            name: value for name, value in self._revealed().items() if name.startswith(_CONNECTION)
        }
        return {**kept, "bootstrap.servers": self.bootstrap}

    def _revealed(self) -> dict[str, Any]:
        return {
            name: value.reveal() if isinstance(value, Secret) else value
            for name, value in self._settings.items()
        }

    def redact(self, text: str) -> str:
        """Return `text` without any secret of these settings."""
        for secret in self._secrets:
            text = secret.redact(text)
        return text

    def reason(self, error: KafkaError | None) -> str:
        """Say an error in the broker's or the library's words, without secrets."""
        if error is None:
            return "no reason given"
        return self.redact(f"{error.str()} ({error.name()})")

    def make(self, client: Callable[..., Any], config: Mapping[str, Any]) -> Any:  # noqa: ANN401 - three kinds of clients
        """Make a client.

        Raises:
            ConfigurationError: librdkafka does not know a setting, or refuses its value.
        """
        try:
            return client(dict(config), logger=self._logger())
        except KafkaException as error:
            raise ConfigurationError(
                f"Kafka's client refuses the settings: {self.reason(error.args[0])}"
            ) from None

    def _logger(self) -> logging.Logger:
        logger = logging.Logger(_LIBRARY_LOGGER)  # noqa: LOG001 - one for each set of secrets
        logger.addHandler(_Passing(self))
        return logger


_LIBRARY_LOGGER: Final = "overshoot_flow_connectors.kafka.library"


class _Passing(logging.Handler):
    """Passes librdkafka's lines on to the program's logs, without secrets.

    What it says about a broker that is away comes every second; the sink says it once itself.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        super().__init__()
        self._settings = settings

    def emit(self, record: logging.LogRecord) -> None:
        text = self._settings.redact(record.getMessage())
        logging.getLogger(_LIBRARY_LOGGER).debug("%s", text)
