"""Names of columns: those of the properties, unless two would be one to a reader of the column."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from typing import Final

ANONYMOUS: Final = "unnamed"
"""Column of a property whose name is empty."""


class ColumnNames:
    """Gives every column of one struct a name of its own.

    DuckDB and most warehouses take names that differ only in case for one, and Unicode has several
    spellings of one letter. The first keeps its name, others get `_2`, `_3`, … behind it.

    Args:
        properties: Names that are taken in this order before any other.
    """

    def __init__(self, properties: Collection[str]) -> None:
        self._taken: set[str] = set()
        self._columns: dict[str, str] = {}
        # A name that can stay is never taken by one that has to change.
        for name in properties:
            if _readable(name) == name and _folded(name) not in self._taken:
                self._columns[name] = self.other(name)
        for name in properties:
            if name not in self._columns:
                self._columns[name] = self.other(name)

    def of(self, name: str) -> str:
        """Return the column of a property."""
        return self._columns[name]

    def other(self, wanted: str) -> str:
        """Return a name that nothing has yet, `wanted` where it is free."""
        name = wanted = _readable(wanted)
        count = 1
        while _folded(name) in self._taken:
            count += 1
            name = f"{wanted}_{count}"
        self._taken.add(_folded(name))
        return name


def joined(values: Sequence[str]) -> str:
    """Return the column name of an alternative that has these tags."""
    return "_or_".join(values)


def _readable(name: str) -> str:
    return name.replace("\0", "") if name.replace("\0", "").strip() else ANONYMOUS


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()
