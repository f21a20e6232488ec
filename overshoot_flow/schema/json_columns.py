"""Columns of JSON text, for values that the schema gives no single type."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pyarrow as pa

from overshoot_flow.schema.columns import ABSENT, JSON_FIELD, Column, JsonPath, Values


class JsonColumn(Column):
    """JSON text of values that the schema gives no single type.

    An absent property is null, and a `null` that is there is the text `null`.
    """

    __slots__ = ()

    @property
    def metadata(self) -> dict[bytes | str, bytes | str]:
        """Mark the field as JSON."""
        return {JSON_FIELD: "value"}

    @property
    def may_be_null(self) -> bool:
        """No: `null` is text."""
        return False

    @property
    def nests_freely(self) -> bool:
        """Yes."""
        return True

    @property
    def keys_each(self) -> None:
        """Any number."""
        return

    def count_keys(self, value: Any) -> int:  # noqa: ANN401 - any JSON value
        """Return the number in all levels."""
        count, todo = 0, [value]
        while todo:
            each = todo.pop()
            if isinstance(each, dict):
                count += len(each)
                todo += each.values()
            elif isinstance(each, list):
                todo += each
        return count

    def settle(self, value: Any, _path: JsonPath) -> Any:  # noqa: ANN401 - any JSON value
        """Return the value with floats for decimals."""
        return without_decimals(value)

    def to_arrow(self, values: Values) -> pa.Array[Any]:
        """Return the texts; `ABSENT` becomes null."""
        texts = [None if value is ABSENT else json_text(value) for value in values]
        return pa.array(texts, self.arrow_type)

    def to_json(self, array: pa.Array[Any]) -> list[Any]:
        """Return what the texts say; null becomes `ABSENT`."""
        return [ABSENT if each is None else json.loads(each) for each in array.to_pylist()]


def json_text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return compact JSON text with the keys in their order."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def without_decimals(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return plain JSON data: floats for the decimals of exact reading."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list):
        return [without_decimals(item) for item in value]
    if isinstance(value, dict):
        return {name: without_decimals(member) for name, member in value.items()}
    return value
