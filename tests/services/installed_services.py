"""Finds what `make services` has installed, and ports for it."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import Final

_INSTALL: Final = "run `make services` (needs Maven Central, and root for apt)"
START_S: Final = 60.0
"""How long a service may take to start."""


def services_folder() -> Path:
    """Where `make services` has installed what it does not get from apt."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(
        os.environ.get("OVERSHOOT_FLOW_SERVICES") or Path(cache) / "overshoot-flow" / "services"
    )


class ServiceMissingError(Exception):
    """What is asked for is not installed; the text says how to install it."""


def installed(pattern: str, what: str) -> tuple[str, Path]:
    """Return Java and the folder of a service."""
    found = sorted(services_folder().glob(pattern))
    java = shutil.which("java")
    if not found or java is None:
        raise ServiceMissingError(f"{what} is missing: {_INSTALL}")
    return java, found[-1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
