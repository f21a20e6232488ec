"""Columns of strings with a format: moments, days, times of day, durations and UUIDs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from overshoot_flow.schema.columns import Column, Values
from overshoot_flow.schema.text_kept import TextKeptColumn

_DATE_TIME: Final = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt]([^Tt]+)")
_TIME: Final = re.compile(
    r"(\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:[Zz]|([+-])(\d{2}):(\d{2}))", re.ASCII
)
_DURATION: Final = re.compile(
    r"P(?:(\d+)W|(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?)", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DAY_US: Final = 86_400_000_000
_SECOND_US: Final = 1_000_000
_MAX_FRACTION_DIGITS: Final = 6
_INT64_BITS: Final = 63

_TIME_PATTERN: Final = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{0,5}[1-9])?Z$"
_USUAL_CHARS: Final = len("2024-01-01T00:00:00Z")
# Not the year 0, which Python does not have.
_DATE_PATTERN: Final = r"^(000[1-9]|00[1-9]\d|0[1-9]\d\d|[1-9]\d{3})-\d\d-\d\d"


@dataclass(frozen=True, slots=True, kw_only=True)
class _MicrosecondColumn(TextKeptColumn):
    """Values that are a number of µs; subclasses say how they are written."""

    def split(self, values: Values) -> tuple[pa.Array[Any], pa.Array[Any]]:
        """Return µs, and the texts that do not follow from them."""
        numbers = [None if text is None else self.microseconds(text) for text in values]
        kept = [
            None if text is None or (n is not None and self.written(n) == text) else text
            for text, n in zip(values, numbers, strict=True)
        ]
        return pa.array(numbers, pa.int64()).cast(self.value_type), pa.array(kept, pa.string())

    def texts_of(self, array: pa.Array[Any]) -> list[str | None]:
        """Return the text that follows from each number of µs."""
        numbers = array.cast(pa.int64()).to_pylist()
        return [None if each is None else self.written(each) for each in numbers]

    def microseconds(self, text: str) -> int | None:
        """Return the number of a text, or None where it has none."""
        raise NotImplementedError

    def written(self, number_us: int) -> str:
        """Return the text that stands for a number."""
        raise NotImplementedError


class TimestampColumn(_MicrosecondColumn):
    """Moments (`date-time`) in µs of UTC.

    The text is kept for an offset other than `Z`, for more than 6 digits of a second, for a leap
    second, and where it is written unusually (`t`, `z`, zeros at the end). The value is null for
    leap seconds, finer moments, and moments outside the years 1 to 9999.
    """

    __slots__ = ()

    def split(self, values: Values) -> tuple[pa.Array[Any], pa.Array[Any]]:
        """Return moments, and the texts that do not follow from them."""
        texts = pa.array(values, pa.string())
        if _are_whole_seconds(values):
            return pc.cast(texts, self.value_type), pa.nulls(len(texts), pa.string())
        is_usual = pc.match_substring_regex(texts, _DATE_PATTERN + "T" + _TIME_PATTERN)
        usual_count: int = is_usual.true_count
        if usual_count + texts.null_count == len(texts):
            return pc.cast(texts, self.value_type), pa.nulls(len(texts), pa.string())
        # What is written unusually is looked at one by one.
        return _MicrosecondColumn.split(self, values)

    def microseconds(self, text: str) -> int | None:
        """Return µs since 1970."""
        match = _DATE_TIME.fullmatch(text)
        time_us = match and _time_us(match[2])
        if match is None or time_us is None:
            return None
        try:
            moment = datetime.fromisoformat(f"{match[1]}T00:00:00+00:00")
            moment += timedelta(microseconds=time_us)
        except (ValueError, OverflowError):
            return None
        return (moment - _EPOCH) // _MICROSECOND

    def written(self, number_us: int) -> str:
        """Return the RFC 3339 text in UTC."""
        day = (_EPOCH + number_us // _DAY_US * timedelta(days=1)).date()
        return f"{day.isoformat()}T{_time_text(number_us % _DAY_US)}"


class TimeColumn(_MicrosecondColumn):
    """Times of day (`time`) in µs since midnight UTC; the text is kept as for moments."""

    __slots__ = ()

    def microseconds(self, text: str) -> int | None:
        """Return µs since midnight UTC."""
        time_us = _time_us(text)
        return None if time_us is None else time_us % _DAY_US

    def written(self, number_us: int) -> str:
        """Return the RFC 3339 text in UTC."""
        return _time_text(number_us)


class DurationColumn(_MicrosecondColumn):
    """Durations (`duration`) in µs; a day has 24 hours and a week 7 days.

    The value is null for a duration with years or months, which have no fixed length.
    """

    __slots__ = ()

    def microseconds(self, text: str) -> int | None:
        """Return the length."""
        match = _DURATION.fullmatch(text)
        if match is None:
            return None
        weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        length_s = ((weeks * 7 + days) * 24 + hours) * 3600 + minutes * 60 + seconds
        length_us = length_s * _SECOND_US
        return length_us if length_us.bit_length() <= _INT64_BITS else None

    def written(self, number_us: int) -> str:
        """Return the ISO 8601 text in days, hours, minutes and seconds."""
        minutes, seconds = divmod(number_us // _SECOND_US, 60)
        hours, minutes = divmod(minutes, 60)
        days, hours = divmod(hours, 24)
        time = "".join(f"{n}{u}" for n, u in ((hours, "H"), (minutes, "M"), (seconds, "S")) if n)
        if not days and not time:
            return "PT0S"
        return "P" + (f"{days}D" if days else "") + (f"T{time}" if time else "")


class UuidColumn(TextKeptColumn):
    """UUIDs as 16 bytes; the text is kept where it has capital letters."""

    __slots__ = ()

    def split(self, values: Values) -> tuple[pa.Array[Any], pa.Array[Any]]:
        """Return bytes, and the texts that do not follow from them."""
        numbers = [
            None if text is None else bytes.fromhex(text.replace("-", "")) for text in values
        ]
        kept = [None if text is None or text == text.lower() else text for text in values]
        storage = pa.array(numbers, pa.binary(16))
        array = pa.ExtensionArray.from_storage(self.value_type, storage)  # type: ignore[arg-type]  # an extension type
        return array, pa.array(kept, pa.string())

    def texts_of(self, array: pa.Array[Any]) -> list[str | None]:
        """Return the texts in small letters."""
        return [None if each is None else str(each) for each in array.to_pylist()]


class DateColumn(Column):
    """Days (`date`)."""

    __slots__ = ()

    def to_arrow(self, values: Values) -> pa.Array[Any]:
        """Return days."""
        return pc.cast(pa.array(values, pa.string()), self.arrow_type)

    def to_json(self, array: pa.Array[Any]) -> list[Any]:
        """Return the texts."""
        # Python has no year 0, which RFC 3339 and Arrow have.
        return pc.cast(array, pa.string()).to_pylist()


def _are_whole_seconds(values: Values) -> bool:
    """Return whether every value is a moment in whole seconds, written usually.

    Says what the pattern says, and takes a fraction of the time: the pattern is compiled each time.
    """
    if set(map(type, values)) != {str}:
        return False
    # A valid moment with a fraction or an offset is longer, so that only these remain to be told
    # apart: small letters, leap seconds and the year 0.
    text, count = "".join(values), len(values)
    return (
        set(map(len, values)) == {_USUAL_CHARS}
        and text[10::_USUAL_CHARS] == "T" * count
        and text[19::_USUAL_CHARS] == "Z" * count
        and "6" not in text[17::_USUAL_CHARS]
        and "0000-" not in text
    )


def _time_us(text: str) -> int | None:
    """Return µs since midnight UTC; a time with an offset may lie on another day."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    hour, minute, second, fraction, sign, offset_hours, offset_minutes = match.groups()
    fraction = (fraction or "").rstrip("0")
    if second == "60" or len(fraction) > _MAX_FRACTION_DIGITS:
        return None
    seconds = (int(hour) * 60 + int(minute)) * 60 + int(second)
    if sign:
        offset_s = (int(offset_hours) * 60 + int(offset_minutes)) * 60
        seconds += -offset_s if sign == "+" else offset_s
    return seconds * _SECOND_US + int(fraction.ljust(_MAX_FRACTION_DIGITS, "0"))


def _time_text(time_us: int) -> str:
    seconds, fraction = divmod(time_us, _SECOND_US)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    digits = f".{fraction:06}".rstrip("0") if fraction else ""
    return f"{hour:02}:{minute:02}:{second:02}{digits}Z"
