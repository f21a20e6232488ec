"""Reads the fields of a JSON answer, and says which one breaks the contract."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from overshoot_flow.errors import TransportError


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

    def _outside(self, name: str, wanted: str) -> TransportError:
        return TransportError(f"{self.where}: answer outside the contract: {name!r} is {wanted}")

    def raw(self, name: str) -> Any:  # noqa: ANN401 - a JSON value
        """The field as it is, None when it is missing."""
        return self._document.get(name)

    def text(self, name: str) -> str:
        """A string that must be there."""
        value = self._document.get(name)
        if not isinstance(value, str) or not value:
            raise self._outside(name, "not a text")
        return value

    def optional_text(self, name: str) -> str | None:
        """A string, or None when it is missing or null."""
        value = self._document.get(name)
        if value is not None and not isinstance(value, str):
            raise self._outside(name, "neither a text nor null")
        return value

    def flag(self, name: str) -> bool:
        """A boolean that must be there."""
        value = self._document.get(name)
        if not isinstance(value, bool):
            raise self._outside(name, "not true or false")
        return value

    def number(self, name: str) -> float:
        """A finite number above 0 that must be there."""
        value = self.optional_number(name)
        if value is None or value <= 0:
            raise self._outside(name, "not a number above 0")
        return value

    def optional_number(self, name: str) -> float | None:
        """A finite number, or None when it is missing or null."""
        value = self._document.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._outside(name, "neither a number nor null")
        try:
            number = float(value)
        except OverflowError:
            raise self._outside(name, "not a finite number") from None
        if not math.isfinite(number):
            raise self._outside(name, "not a finite number")
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
            raise self._outside(name, "not a list")
        return [Fields.of(entry, f"{self.where}: {name}") for entry in value]
