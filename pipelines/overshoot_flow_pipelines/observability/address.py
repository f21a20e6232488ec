"""Where to listen."""

from __future__ import annotations

from urllib.parse import urlsplit

from overshoot_flow.errors import ConfigurationError


def host_and_port(address: str) -> tuple[str, int]:
    """Split `HOST:PORT`; an IPv6 host stands in brackets.

    Raises:
        ConfigurationError: It is something else.
    """
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
        usable = parts.netloc == address and "@" not in address
    except ValueError:
        usable, host, port = False, None, None
    if not usable or not host or port is None:
        raise ConfigurationError(f"{address!r} is no HOST:PORT, such as 127.0.0.1:9464")
    return host, port
