"""Keeps secrets out of what the network libraries log, whatever levels a program sets."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any, Final

from overshoot_flow.config import Secret

# A logger's filters see only what is logged through that very logger, so each one is named.
_HTTP_LOGGERS: Final = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)


class _Redactor(logging.Filter):
    """Lets every record pass, without the secrets it knows."""

    def __init__(self) -> None:
        super().__init__()
        self._secrets: frozenset[Secret] = frozenset()

    def add(self, secret: Secret) -> None:
        """Hide `secret` from now on."""
        self._secrets |= {secret}

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace the record's text if a secret stands in it."""
        plain = record.getMessage()
        text = plain
        for secret in self._secrets:
            text = secret.redact(text)
        if text != plain:
            record.msg, record.args = text, None
        return True


_REDACTOR: Final = _Redactor()


def hide_in_http_logs(secret: Secret) -> None:
    """Never let `secret` appear in a log record of the HTTP libraries of this process.

    They do not log the request's headers, but at DEBUG they log the answer's, and an answer, or a
    proxy on the way, can echo what was sent.
    """
    _REDACTOR.add(secret)
    for name in _HTTP_LOGGERS:
        logging.getLogger(name).addFilter(_REDACTOR)


class WithoutMessages(logging.LoggerAdapter[logging.Logger]):
    """A logger for a WebSocket: connection events pass, messages do not.

    The library logs every message at DEBUG, and the first one of a result socket is the API key.
    It asks the logger whether DEBUG is wanted, and here it never is, whatever the levels say.
    """

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(logger, {})

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name that logging calls
        """Whether records of `level` are wanted."""
        return level > logging.DEBUG and super().isEnabledFor(level)

    def process(
        self, msg: object, kwargs: MutableMapping[str, Any]
    ) -> tuple[object, MutableMapping[str, Any]]:
        """Leave the record as it is."""
        return msg, kwargs
