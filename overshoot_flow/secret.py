"""Secrets: keys and tokens that must show themselves nowhere."""

from __future__ import annotations

import json
from typing import Any


class Secret:
    """A string that shows itself only when asked with `reveal()`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself, for the one place that sends it."""
        return self._value

    def redact(self, text: str) -> str:
        """Return `text` with every occurrence of the secret replaced, also where it is escaped."""
        if not self._value:
            return text
        # JSON and Python's repr escape quotes and backslashes.
        for spelling in (self._value, json.dumps(self._value)[1:-1], repr(self._value)[1:-1]):
            text = text.replace(spelling, "***")
        return text

    def __repr__(self) -> str:
        """Show that there is a secret, never which."""
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        """Compare by value, so that configurations can be compared."""
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        """Hash by value."""
        return hash(self._value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Refuse to be pickled: recovery state and process boundaries are no place for a key."""
        raise TypeError("a secret is never pickled; read it again where it is needed")
