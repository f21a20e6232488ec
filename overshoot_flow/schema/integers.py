"""The narrowest Arrow type of the integers that a schema accepts."""

from __future__ import annotations

import math
from typing import Final

import pyarrow as pa

from overshoot_flow.errors import UnsupportedSchemaError
from overshoot_flow.schema.columns import DECIMAL_DIGITS, INT64_MAX, INT64_MIN
from overshoot_flow.schema.places import Place, kind_of

_WIDTHS: Final = (
    (pa.int8(), -(1 << 7), (1 << 7) - 1),
    (pa.uint8(), 0, (1 << 8) - 1),
    (pa.int16(), -(1 << 15), (1 << 15) - 1),
    (pa.uint16(), 0, (1 << 16) - 1),
    (pa.int32(), -(1 << 31), (1 << 31) - 1),
    (pa.uint32(), 0, (1 << 32) - 1),
    (pa.int64(), INT64_MIN, INT64_MAX),
    (pa.uint64(), 0, (1 << 64) - 1),
)


def integer_type(place: Place) -> pa.DataType:
    """Return the narrowest type for a minimum and a maximum, int64 where one of them is missing.

    Integers that may be wider than 64 bits are decimals of 38 digits.

    Raises:
        UnsupportedSchemaError: A bound has more than 38 digits.
    """
    low, high = _bounds(place)
    for bound in (low, high):
        if bound is not None and abs(bound) >= 10**DECIMAL_DIGITS:
            raise UnsupportedSchemaError(
                place.pointer,
                f"integers of more than {DECIMAL_DIGITS} digits have no column type; set a smaller "
                'minimum and maximum, or write "type": "string" with a pattern',
            )
    if low is not None and high is not None:
        for arrow_type, least, most in _WIDTHS:
            if least <= low and high <= most:
                return arrow_type
    elif (low is None or low >= INT64_MIN) and (high is None or high <= INT64_MAX):
        is_beyond = (low is not None and low > INT64_MAX) or (high is not None and high < INT64_MIN)
        if not is_beyond:
            return pa.int64()
    return pa.decimal128(DECIMAL_DIGITS, 0)


def _bounds(place: Place) -> tuple[int | None, int | None]:
    """Return the least and the greatest valid integer, as far as the schema has bounds."""
    if place.values is not None:
        values = [int(each) for each in place.values if kind_of(each) == "integer"]
        return min(values), max(values)
    lows = [math.ceil(value) for _, value in place.each("minimum")]
    lows += [math.floor(value) + 1 for _, value in place.each("exclusiveMinimum")]
    highs = [math.floor(value) for _, value in place.each("maximum")]
    highs += [math.ceil(value) - 1 for _, value in place.each("exclusiveMaximum")]
    for alternatives in place.unions:
        bounds = [_bounds(each) for each in alternatives]
        least = [low for low, _ in bounds if low is not None]
        greatest = [high for _, high in bounds if high is not None]
        lows += [min(least)] if len(least) == len(bounds) else []
        highs += [max(greatest)] if len(greatest) == len(bounds) else []
    return max(lows, default=None), min(highs, default=None)
