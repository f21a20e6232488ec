"""Keeping the secrets among a library's settings out of texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from overshoot_flow.secret import Secret

_SECRET_NAME: Final = re.compile(
    r"secret|token|password|credential|key|sas|sign|authorization|cookie", re.IGNORECASE
)
_USER_INFO: Final = re.compile(r"//[^/@\s]+@")
_PARTS: Final = re.compile(r"[:\s]+")
"""Between client and secret in `credential`, between scheme and token in a header."""
_SHORTEST_PART: Final = 6


def without_secrets(text: str, settings: Mapping[str, object]) -> str:
    """Return `text` without the secrets of settings, which names tell of, nor user infos.

    Settings may have settings in them. Of a secret with several parts each is one, unless it is so
    short that it may be a word of its own.
    """
    for secret in sorted(_secrets(settings), key=len, reverse=True):
        text = Secret(secret).redact(text)
    return _USER_INFO.sub("//***@", text)


def _secrets(settings: Mapping[str, object]) -> Iterator[str]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _secrets(value)
        elif _SECRET_NAME.search(name):
            yield str(value)
            yield from (part for part in _PARTS.split(str(value)) if len(part) >= _SHORTEST_PART)
