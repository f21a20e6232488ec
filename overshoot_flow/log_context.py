"""What a log record is about, although the code that writes it does not know.

Tasks inherit the context in which they were made, threads do not.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

_FACTS: Final[ContextVar[Mapping[str, str]]] = ContextVar(
    "overshoot_flow_log_facts",
    default=MappingProxyType({}),
)


@contextmanager
def log_context(**facts: str) -> Iterator[None]:
    """Within the block, and in tasks made there, records are about `facts`.

    Args:
        facts: Such as `camera` (a stream key), `step`, `stream_id`; never a secret.
    """
    token = _FACTS.set({**_FACTS.get(), **facts})
    try:
        yield
    finally:
        _FACTS.reset(token)


class LogContext(logging.Filter):
    """Lets every record pass, with the facts of its context as attributes.

    Put it on a handler: a logger's filters do not see the records of the loggers below it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what the record does not say itself."""
        for name, value in _FACTS.get().items():
            record.__dict__.setdefault(name, value)
        return True
