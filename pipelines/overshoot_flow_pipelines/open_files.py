"""How many files and sockets the process may have open."""

from __future__ import annotations

import logging
import resource

_logger = logging.getLogger(__name__)


def allow_many_open_files() -> int:
    """Raise the limit of open files as far as a process may by itself; return the limit.

    The usual 1024 are too few: 16 cameras that join their rooms anew at the same time were seen
    to have 4,445 sockets and files open for a moment.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError) as error:
        # macOS says "unlimited" and then takes no such number.
        _logger.info("the limit of open files stays at %d: %s", soft, error)
        return soft
    return hard
