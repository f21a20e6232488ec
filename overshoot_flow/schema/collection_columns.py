"""Columns of arrays and of objects that may have any names: lists and maps."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, cast

import pyarrow as pa

from overshoot_flow.schema.arrow_arrays import list_array, map_array, spans_of
from overshoot_flow.schema.columns import Column, JsonPath, Values

_EMPTY: Final[dict[str, Any]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListColumn(Column):
    """Arrays whose items are all of one type."""

    items: Column

    @property
    def has_integers(self) -> bool:
        """Whether the items have."""
        return self.items.has_integers

    def with_integers(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Return the value with every item so."""
        for index, item in enumerate(value):
            if item is not None:
                value[index] = self.items.with_integers(item)
        return value

    @property
    def is_direct(self) -> bool:
        """Whether the items are."""
        return self.items.is_direct

    @property
    def nests_freely(self) -> bool:
        """Whether the items do."""
        return self.items.nests_freely

    @property
    def keys_each(self) -> int | None:
        """None in any list, where the items have none."""
        return 0 if self.items.keys_each == 0 else None

    def count_keys(self, value: Any) -> int:  # noqa: ANN401 - any JSON value
        """Return the number in all items."""
        return self.items.count_keys_of(value)

    def settle(self, value: Any, path: JsonPath) -> list[Any]:  # noqa: ANN401 - any JSON value
        """Return the array with every item settled."""
        return [
            None if item is None else self.items.settle(item, (*path, index))
            for index, item in enumerate(value)
        ]

    def to_arrow(self, values: Values) -> pa.Array[Any]:
        """Return lists over one array of all items."""
        items = self.items.to_arrow(list(chain.from_iterable(filter(None, values))))
        return list_array(values, items, self.arrow_type)

    def to_json(self, array: pa.Array[Any]) -> list[Any]:
        """Return lists."""
        items = self.items.to_json(cast("pa.ListArray[Any]", array).values)
        return [None if span is None else items[span] for span in spans_of(array)]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapColumn(Column):
    """Objects with any names and values of one type, in the order in which they were written."""

    items: Column

    @property
    def has_integers(self) -> bool:
        """Whether the items have."""
        return self.items.has_integers

    def with_integers(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Return the value with every item so."""
        for name, member in value.items():
            if member is not None:
                value[name] = self.items.with_integers(member)
        return value

    @property
    def nests_freely(self) -> bool:
        """Whether the items do."""
        return self.items.nests_freely

    @property
    def keys_each(self) -> None:
        """Any number."""
        return

    def count_keys(self, value: Any) -> int:  # noqa: ANN401 - any JSON value
        """Return the number of names and of the keys in all items."""
        return len(value) + self.items.count_keys_of(value.values())

    def settle(self, value: Any, path: JsonPath) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
        """Return the object with every value settled."""
        return {
            name: None if member is None else self.items.settle(member, (*path, name))
            for name, member in value.items()
        }

    def to_arrow(self, values: Values) -> pa.Array[Any]:
        """Return maps over one array of all names and one of all values."""
        maps = [value or _EMPTY for value in values]
        keys = pa.array(list(chain.from_iterable(maps)), pa.string())
        items = self.items.to_arrow([member for each in maps for member in each.values()])
        return map_array(values, keys, items, self.arrow_type)

    def to_json(self, array: pa.Array[Any]) -> list[Any]:
        """Return dicts."""
        maps = cast("pa.MapArray[Any, Any]", array)
        keys, items = maps.keys.to_pylist(), self.items.to_json(maps.items)
        return [
            None if span is None else dict(zip(keys[span], items[span], strict=True))
            for span in spans_of(maps)
        ]
