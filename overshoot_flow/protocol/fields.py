"""Reads the fields of a JSON answer, and says which one breaks the contract."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from overshoot_flow.errors import TransportError


def read_json(text: str | bytes, where: str) -> object:
    """Return the JSON document in `text`.

    Raises:
        TransportError: It is not JSON.
    """
    try:
        document: object = json.loads(text)
    except (ValueError, RecursionError):
        raise TransportError(f"{where}: answer outside the contract: not JSON") from None
    return document


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object of an answer; every getter raises `TransportError` naming the field.

    The values are never part of a text: they may be tokens.
    """

    where: str
    _document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, document: object, where: str) -> Fields:
        """Wrap `document`, which must be a JSON object."""
        if not isinstance(document, dict):
            raise TransportError(f"{where}: answer outside the contract: not a JSON object")
        return cls(where, document)

    def outside(self, name: str, found: str) -> TransportError:
        """Return the error which says that the field `name` is `found`."""
        return TransportError(f"{self.where}: answer outside the contract: {name!r} is {found}")

    def raw(self, name: str) -> Any:  # noqa: ANN401 - a JSON value
        """The field as it is, None when it is missing."""
        return self._document.get(name)

    def text(self, name: str) -> str:
        """A string that must be there."""
        value = self.optional_text(name)
        if not value:
            raise self.outside(name, "missing or empty")
        return value

    def optional_text(self, name: str) -> str | None:
        """A string, or None when it is missing or null."""
        value = self.exact_text(name)
        if value is not None and not is_unicode(value):
            raise self.outside(name, "not Unicode: it has half of a surrogate pair")
        return value

    def exact_text(self, name: str) -> str | None:
        """A string as it is, or None when it is missing or null; it need not be Unicode."""
        value = self._document.get(name)
        if value is not None and not isinstance(value, str):
            raise self.outside(name, "neither a text nor null")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A string or a list of strings that must be there."""
        value = self._document.get(name)
        if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
            return tuple(value)
        return (self.text(name),)

    def flag(self, name: str) -> bool:
        """A boolean that must be there."""
        value = self._document.get(name)
        if not isinstance(value, bool):
            raise self.outside(name, "not true or false")
        return value

    def number(self, name: str) -> float:
        """A finite number above 0 that must be there."""
        value = self.optional_number(name)
        if value is None or value <= 0:
            raise self.outside(name, "not a number above 0")
        return value

    def optional_number(self, name: str) -> float | None:
        """A finite number, or None when it is missing or null."""
        value = self._document.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.outside(name, "neither a number nor null")
        try:
            number = float(value)
        except OverflowError:
            raise self.outside(name, "not a finite number") from None
        if not math.isfinite(number):
            raise self.outside(name, "not a finite number")
        return number

    def child(self, name: str) -> Fields | None:
        """An object, or None when it is missing or null."""
        value = self._document.get(name)
        return None if value is None else Fields.of(value, f"{self.where}: {name}")

    def children(self, name: str) -> Sequence[Fields]:
        """A list of objects, empty when it is missing or null."""
        value = self._document.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.outside(name, "not a list")
        return [Fields.of(entry, f"{self.where}: {name}") for entry in value]


def is_unicode(text: str) -> bool:
    """Whether `text` has no half of a surrogate pair."""
    # JSON can spell what no file and no Arrow column can hold.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
