"""Typed columns: how the values of one place in a document are held in Arrow.

A column works on all values of a batch at once. `to_arrow` makes the Arrow array of values that
the schema has accepted, `to_json` gives back JSON values equal to them. `settle` is for one
value that is written in an unusual way (`1.0` at an integer, 20 digits, an exponent): it says
what the value is, and refuses what the Arrow type cannot hold without changing it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import pyarrow as pa

INT64_MIN: Final = -(1 << 63)
INT64_MAX: Final = (1 << 63) - 1

JSON_FIELD: Final = "overshoot_flow.json"
"""Field metadata of JSON text: `value`, or `other` for what the columns beside it do not hold."""
TEXT_FIELD: Final = "overshoot_flow.text_of"
"""Field metadata of a text: the column whose value it is, as it was written."""
PROPERTY_FIELD: Final = "overshoot_flow.property"
"""Field metadata where the column's name is not the property's: the property's name."""
TAG_FIELD: Final = "overshoot_flow.tag"
"""Field metadata of the column that says which alternative a row has: the property's name."""

JsonPath: TypeAlias = tuple[str | int, ...]
Values: TypeAlias = Sequence[Any]


class _Absent:
    """The value of a property that is not there, where `null` is another value."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


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

    @property
    def metadata(self) -> dict[bytes | str, bytes | str]:
        """What the metadata of the column's field say."""
        return {}

    @property
    def may_be_null(self) -> bool:
        """Whether the array may have nulls for values that are there."""
        return self.nullable

    def settle(self, value: Any, _path: JsonPath) -> Any:  # noqa: ANN401 - any JSON value
        """Return `value`, which the schema accepted and is not null, as plain JSON data.

        Raises:
            NotRepresentableError: `arrow_type` cannot hold the value unchanged.
        """
        return value

    @property
    def has_integers(self) -> bool:
        """Whether `with_integers` has something to do."""
        return False

    def with_integers(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Return a value of a plain document, which is not null, with `int` for `1.0` at integers.

        Arrays and objects are changed, not copied.
        """
        return value

    @property
    def is_direct(self) -> bool:
        """Whether `pa.array` makes of the values, or of what has them in it, what they need."""
        return type(self).to_arrow is Column.to_arrow

    @property
    def nests_freely(self) -> bool:
        """Whether the schema sets no limit to the nesting of a value."""
        return False

    @property
    def keys_each(self) -> int | None:
        """How many keys of objects are in each value, or None where that differs."""
        return 0

    def count_keys(self, _value: Any) -> int:  # noqa: ANN401 - any JSON value
        """Return how many keys of objects are in a valid value, which is not null.

        Where the schema says nothing about a place inside, the keys there may be missing.
        """
        return 0

    def count_keys_of(self, values: Collection[Any]) -> int:
        """Return the sum of `count_keys` over values, of which some may be None."""
        each = self.keys_each
        if each is not None and not self.nullable:
            return each * len(values)
        return sum(self.count_keys(value) for value in values if value is not None)

    def to_arrow(self, values: Values) -> pa.Array[Any]:
        """Return the array of settled values; None becomes null."""
        return pa.array(values, type=self.arrow_type)

    def to_json(self, array: pa.Array[Any]) -> list[Any]:
        """Return the values of an array that `to_arrow` made; null becomes None."""
        return array.to_pylist()

    def field(self, name: str, *, is_required: bool = True) -> pa.Field[Any]:
        """Return the field of this column under a name."""
        return pa.field(
            name,
            self.arrow_type,
            nullable=self.may_be_null or not is_required,
            metadata=self.metadata or None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DictionaryColumn(Column):
    """Strings of which the schema lists all.

    Indices have 32 bits, because that is what readers of Parquet make of any other width.
    """

    values: tuple[str, ...]
    indices: dict[str, int]
    dictionary: pa.Array[Any]

    @classmethod
    def of(cls, values: Sequence[str], *, nullable: bool, schema_path: str) -> DictionaryColumn:
        """Return the column of these values; the dictionary has them in this order."""
        return cls(
            arrow_type=pa.dictionary(pa.int32(), pa.string()),
            nullable=nullable,
            schema_path=schema_path,
            values=tuple(values),
            indices={value: index for index, value in enumerate(values)},
            dictionary=pa.array(values, pa.string()),
        )

    def to_arrow(self, values: Values) -> pa.Array[Any]:
        """Return the array; every array has the same dictionary."""
        indices = pa.array(list(map(self.indices.get, values)), pa.int32())
        return pa.DictionaryArray.from_arrays(indices, self.dictionary)


class IntegerColumn(Column):
    """Integers of up to 64 bits."""

    __slots__ = ()

    @property
    def has_integers(self) -> bool:
        """Yes."""
        return True

    def with_integers(self, value: Any) -> int:  # noqa: ANN401 - any JSON value
        """Return the integer."""
        return int(value)

    def settle(self, value: Any, path: JsonPath) -> int:  # noqa: ANN401 - any JSON value
        """Return the integer; `1.0` and `1e0` are the integer 1."""
        number = int(value)
        bits = self.arrow_type.bit_width
        is_signed = pa.types.is_signed_integer(self.arrow_type)
        low, high = (-(1 << bits - 1), 1 << bits - 1) if is_signed else (0, 1 << bits)
        if not low <= number < high:
            raise NotRepresentableError(
                f"the integer is outside the range of {self.arrow_type}; give it a maximum and a "
                "minimum for a wider type",
                path,
                self.schema_path,
            )
        return number


DECIMAL_DIGITS: Final = 38


class DecimalColumn(Column):
    """Integers of up to 38 digits."""

    __slots__ = ()

    @property
    def has_integers(self) -> bool:
        """Yes."""
        return True

    def with_integers(self, value: Any) -> int:  # noqa: ANN401 - any JSON value
        """Return the integer."""
        return int(value)

    def settle(self, value: Any, path: JsonPath) -> int:  # noqa: ANN401 - any JSON value
        """Return the integer; `1.0` and `1e0` are the integer 1."""
        number = int(value)
        if abs(number) >= 10**DECIMAL_DIGITS:
            raise NotRepresentableError(
                f"the integer has more than {DECIMAL_DIGITS} digits", path, self.schema_path
            )
        return number

    def to_json(self, array: pa.Array[Any]) -> list[Any]:
        """Return integers."""
        return [None if each is None else int(each) for each in array.to_pylist()]


class NumberColumn(Column):
    """64-bit floats; a decimal fraction becomes the nearest one, as everywhere in JSON."""

    __slots__ = ()

    def settle(self, value: Any, path: JsonPath) -> float:  # noqa: ANN401 - any JSON value
        """Return the nearest 64-bit float of a fraction, and the equal one of an integer."""
        try:
            number = float(value)
        except OverflowError:
            message = "the number is outside the range of a 64-bit float"
            raise NotRepresentableError(message, path, self.schema_path) from None
        if isinstance(value, int) and number != value:
            message = "the integer has too many digits for a 64-bit float"
            raise NotRepresentableError(message, path, self.schema_path)
        return number
