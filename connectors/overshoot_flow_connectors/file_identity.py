"""What makes a file the same file as before: its size and its content at both ends."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from overshoot_flow.errors import ConfigurationError

_END_BYTES: Final = 64 * 1024


def identity_of(path: Path) -> dict[str, Any]:
    """Return the identity of a file as plain values.

    The modification time is kept for people; a file that was only copied or touched is the same.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    try:
        facts = path.stat()
        with path.open("rb") as file:
            head = file.read(_END_BYTES)
            file.seek(max(0, facts.st_size - _END_BYTES))
            tail = file.read(_END_BYTES)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    return {
        "size": facts.st_size,
        "mtime_ns": facts.st_mtime_ns,
        "head": hashlib.sha256(head).hexdigest(),
        "tail": hashlib.sha256(tail).hexdigest(),
    }


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Say what has become of the file since `before`, or None when it is the same."""
    if before["head"] != now["head"]:
        return "the file was replaced since the run began"
    if before["size"] > now["size"]:
        return f"the file was cut from {before['size']} to {now['size']} bytes since the run began"
    if before["size"] < now["size"]:
        return f"the file grew from {before['size']} to {now['size']} bytes since the run began"
    return None if before["tail"] == now["tail"] else "the file was changed since the run began"
