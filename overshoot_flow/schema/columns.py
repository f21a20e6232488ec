"""Typed columns: how the values of one place in a document are held in Arrow.

A column does two things with a value that the JSON Schema has already accepted. `exact` settles
what the value is (`1.0` at an integer is 1) and refuses what the Arrow type cannot hold without
changing it. `stored` gives the Python value that `pyarrow.array` takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeAlias

import pyarrow as pa

INT64_MIN: Final = -(1 << 63)
INT64_MAX: Final = (1 << 63) - 1

JsonPath: TypeAlias = tuple[str | int, ...]

_DATE_TIME: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(?:\.(\d+))?(?:[Zz]|([+-])(\d{2}):(\d{2}))"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def json_pointer(path: Iterable[str | int]) -> str:
    """Return the JSON pointer (RFC 6901) of a path, `""` for the root."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)


class NotRepresentableError(ValueError):
    """A valid value has no exact form in its Arrow type; never leaves `schema`.

    Attributes:
        instance_path: Where the value stands in the document.
        schema_path: JSON pointer of the schema that gave the type.
    """

    def __init__(self, message: str, instance_path: JsonPath, schema_path: str) -> None:
        super().__init__(message)
        self.instance_path = instance_path
        self.schema_path = schema_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Values that are held as they are: strings and booleans.

    Attributes:
        arrow_type: Type of the values.
        nullable: Whether the schema accepts `null` here.
        schema_path: JSON pointer of the schema that gave the type.
    """

    arrow_type: pa.DataType
    nullable: bool
    schema_path: str

    def exact(self, value: Any, _path: JsonPath) -> Any:  # noqa: ANN401 - any JSON value
        """Return `value`, which the schema accepted and is not null, in its exact form.

        Raises:
            NotRepresentableError: `arrow_type` cannot hold the value unchanged.
        """
        return value

    def stored(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Return what `pyarrow.array` takes for a value that `exact` returned."""
        return value


class IntegerColumn(Column):
    """Integers of 64 bits."""

    __slots__ = ()

    def exact(self, value: Any, path: JsonPath) -> int:  # noqa: ANN401 - any JSON value
        """Return the integer; `1.0` and `1e0` are the integer 1."""
        number = int(value)
        if not INT64_MIN <= number <= INT64_MAX:
            raise NotRepresentableError(
                "the integer needs more than 64 bits", path, self.schema_path
            )
        return number


class NumberColumn(Column):
    """64-bit floats; a decimal fraction becomes the nearest one, as everywhere in JSON."""

    __slots__ = ()

    def exact(self, value: Any, path: JsonPath) -> float:  # noqa: ANN401 - any JSON value
        """Return the nearest 64-bit float."""
        try:
            return float(value)
        except OverflowError:
            message = "the number is outside the range of a 64-bit float"
            raise NotRepresentableError(message, path, self.schema_path) from None


class TimestampColumn(Column):
    """Moments in µs of UTC. The offset that the text was written with is only in the raw text."""

    __slots__ = ()

    def exact(self, value: Any, path: JsonPath) -> str:  # noqa: ANN401 - any JSON value
        """Return the RFC 3339 text, once its moment is known to fit."""
        try:
            _microseconds(value)
        except ValueError as error:
            raise NotRepresentableError(str(error), path, self.schema_path) from None
        return str(value)

    def stored(self, value: Any) -> int:  # noqa: ANN401 - any JSON value
        """Return µs since 1970."""
        return _microseconds(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListColumn(Column):
    """Arrays whose items are all of one type."""

    items: Column

    def exact(self, value: Any, path: JsonPath) -> list[Any]:  # noqa: ANN401 - any JSON value
        """Return the array with every item in its exact form."""
        return [
            None if item is None else self.items.exact(item, (*path, index))
            for index, item in enumerate(value)
        ]

    def stored(self, value: Any) -> list[Any]:  # noqa: ANN401 - any JSON value
        """Return the array with every item as it is stored."""
        return [None if item is None else self.items.stored(item) for item in value]


@dataclass(frozen=True, slots=True, kw_only=True)
class StructColumn(Column):
    """Objects. A property that the schema does not name has no column: it is in the raw text."""

    fields: dict[str, Column]

    def exact(self, value: Any, path: JsonPath) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
        """Return the object with every property in its exact form."""
        document: dict[str, Any] = {}
        for name, member in value.items():
            column = self.fields.get(name)
            if member is None or column is None:
                document[name] = _untyped(member)
            else:
                document[name] = column.exact(member, (*path, name))
        return document

    def stored(self, value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
        """Return the named properties as they are stored; absent and null are both null."""
        return {
            name: None if value.get(name) is None else column.stored(value[name])
            for name, column in self.fields.items()
        }


def _untyped(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list):
        return [_untyped(item) for item in value]
    if isinstance(value, dict):
        return {name: _untyped(member) for name, member in value.items()}
    return value


def _microseconds(text: str) -> int:
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 date-time")
    date, time, fraction, sign, hours, minutes = match.groups()
    fraction = (fraction or "").rstrip("0")
    if len(fraction) > len("000000"):
        raise ValueError("the date-time is finer than 1 µs")
    if time.endswith(":60"):
        raise ValueError("a leap second has no place in a timestamp")
    try:
        moment = datetime.fromisoformat(f"{date}T{time}+00:00")
        if sign:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            moment += -offset if sign == "+" else offset
    except (ValueError, OverflowError):
        raise ValueError("the date-time is outside the years 1 to 9999") from None
    return (moment - _EPOCH) // _MICROSECOND + int(fraction.ljust(6, "0"))
