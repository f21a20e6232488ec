"""How the command line writes its log: for people, or one JSON object a line for programs."""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

from pythonjsonlogger.json import JsonFormatter

from overshoot_flow.log_context import LogContext

LOG_FORMATS: Final = ("text", "json")
_FIELDS: Final = (
    *("ts", "level", "logger", "camera", "step", "stream_id"),
    *("message", "exc_info", "stack_info"),
)
_PACKAGES: Final = ("overshoot_flow", "overshoot_flow_connectors", "overshoot_flow_pipelines")


def formatter(log_format: str) -> logging.Formatter:
    """Return the formatter of one of `LOG_FORMATS`.

    JSON has `ts` (UTC, ISO 8601), `level`, `logger`, `message`; `camera` (the stream key), `step`
    and `stream_id` where they are known; `exc_info`, the traceback, with an exception.
    """
    if log_format == "json":
        return _Json(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="ts",
            json_ensure_ascii=False,
        )
    return logging.Formatter("%(levelname)s %(name)s: %(message)s")


class _Json(JsonFormatter):
    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        # Libraries hang all kinds of objects on their records.
        return {name: log_data[name] for name in _FIELDS if name in log_data}


def set_up_logging(verbosity: int, log_format: str) -> None:
    """Log to standard error.

    Args:
        verbosity: 0: warnings, 1: notices too, 2: everything.
        log_format: One of `LOG_FORMATS`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(log_format))
    handler.addFilter(LogContext())
    # Unlike the levels below, a handler that a program has set up before stays the only one.
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)]
    for package in _PACKAGES:
        logging.getLogger(package).setLevel(level)
    # The SDK warns about every detour of its signalling, with URLs in the text.
    logging.getLogger("livekit").setLevel(logging.ERROR)
