"""Makes a value fit the keywords of a JSON Schema that narrow its type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final

# Up to here a float holds every integer.
_FLOAT_EXACT: Final = 2**53


def narrow_string(text: str, schema: Mapping[str, object], at: datetime) -> str:
    """Return `text` within `minLength` and `maxLength`; a date or time format gets `at`."""
    moment = at.astimezone(UTC)
    match schema.get("format"):
        case "date-time":
            return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case "date":
            return moment.date().isoformat()
        case "time":
            return moment.time().isoformat(timespec="milliseconds") + "Z"
    longest, shortest = _number(schema, "maxLength"), _number(schema, "minLength")
    if longest is not None:
        text = text[: int(longest)]
    return text if shortest is None else text.ljust(math.ceil(shortest))


def narrow_integer(value: float, schema: Mapping[str, object]) -> int:
    """Return the nearest integer to `value` within the bounds that is a multiple as asked."""
    step = _number(schema, "multipleOf") or Fraction(1)
    # An integer that is a multiple of p/q, in lowest terms, is a multiple of p.
    return int(_nearest(Fraction(value), schema, Fraction(step.numerator)))


def narrow_number(value: float, schema: Mapping[str, object]) -> float:
    """Return the nearest number to `value` within the bounds that is a multiple as asked."""
    nearest = _nearest(Fraction(value), schema, _number(schema, "multipleOf"))
    # A float would round a large multiple to one that is none, and a large bound past itself.
    exact = abs(nearest) <= _FLOAT_EXACT or Fraction(float(nearest)) == nearest
    return float(nearest) if exact else round(nearest)


@dataclass(frozen=True, slots=True)
class _End:
    """One end of a range; an open end is not in the range itself."""

    value: Fraction
    is_open: bool


def _nearest(value: Fraction, schema: Mapping[str, object], step: Fraction | None) -> Fraction:
    low = _end(schema, "minimum", "exclusiveMinimum", direction=1)
    high = _end(schema, "maximum", "exclusiveMaximum", direction=-1)
    if step is None:
        return _inside(value, low, high)
    multiple = round(value / step)
    if high is not None:
        top = math.floor(high.value / step)
        multiple = min(multiple, top - (high.is_open and top * step == high.value))
    if low is not None:
        bottom = math.ceil(low.value / step)
        multiple = max(multiple, bottom + (low.is_open and bottom * step == low.value))
    return multiple * step


def _inside(value: Fraction, low: _End | None, high: _End | None) -> Fraction:
    if low is not None and (value < low.value or (low.is_open and value == low.value)):
        edge, other, inwards = low, high, 1
    elif high is not None and (value > high.value or (high.is_open and value == high.value)):
        edge, other, inwards = high, low, -1
    else:
        return value
    if not edge.is_open:
        return edge.value
    if other is not None:
        return (edge.value + other.value) / 2
    # Far from zero a step of 1 is lost in a float, so the step grows with the edge.
    return edge.value + inwards * max(Fraction(1), abs(edge.value) / 1000)


def _end(
    schema: Mapping[str, object], closed_keyword: str, open_keyword: str, *, direction: int
) -> _End | None:
    """Return the tighter of a closed and an open bound; `direction` points into the range."""
    closed_at, open_at = _number(schema, closed_keyword), _number(schema, open_keyword)
    if open_at is not None and (closed_at is None or (open_at - closed_at) * direction >= 0):
        return _End(open_at, is_open=True)
    return None if closed_at is None else _End(closed_at, is_open=False)


def _number(schema: Mapping[str, object], keyword: str) -> Fraction | None:
    """Return the keyword's value as the decimal number that its author wrote, or None."""
    value = schema.get(keyword)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return Fraction(str(value))
