"""Read JSON text exactly: what a model writes is taken as it stands or refused, never repaired."""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, Final

import jiter

MAX_TEXT_BYTES: Final = 1 << 20
"""Longest text that is parsed, in bytes of UTF-8."""
MAX_DEPTH: Final = 128
"""Deepest nesting of arrays and objects that is accepted."""

# The shape of a text, as a `str` because searches in `bytes` take more time.
# Every byte of a number is 0 but the exponent's letter, which is e. Whitespace is as good as a
# quotation mark in front of the colon that makes a key, and one bracket is as deep as another.
_SHAPE: Final = bytes.maketrans(b"123456789.+-E \t\r\n[", b'000000000000e""""{')
_LONG: Final = "0" * 16
_EXPONENT: Final = "0e0"
_KEY: Final = '":'


class JsonTextError(ValueError):
    """The text is not a JSON document that can be held exactly; never leaves `schema`."""


_repeating_json: Final = partial(jiter.from_json, allow_inf_nan=False, cache_mode="keys")
_plain_json: Final = partial(_repeating_json, catch_duplicate_keys=True)
_exact_json: Final = partial(_plain_json, float_mode="decimal")


def read(text: str, max_depth: int = MAX_DEPTH) -> tuple[Any, bool]:
    """Parse one JSON document, and say whether it is plain.

    In a plain document every number is written so that its Python value is what it says: without
    an exponent or more than 15 digits. What has no fraction is an `int`, other numbers are `float`.
    In any other document, what has a fraction or an exponent is a `Decimal`.

    Args:
        text: The document.
        max_depth: Deepest nesting of arrays and objects that is accepted.

    Raises:
        JsonTextError: The text is longer than `MAX_TEXT_BYTES`, is not JSON (RFC 8259), nests too
            deep, repeats an object's key, holds a lone surrogate, or holds a number that no
            64-bit float comes near.
    """
    raw = _encoded(text)
    shape = raw.translate(_SHAPE).decode("latin-1")
    is_plain = _is_plain(shape)
    try:
        document = (_plain_json if is_plain else _exact_json)(raw)
    except ValueError as error:
        # Python's decimals end at exponents of 18 digits, and the parser calls that its own error.
        is_number = InvalidOperation.__name__ in str(error)
        raise JsonTextError(
            "a number's exponent is too long" if is_number else str(error)
        ) from None
    if _may_be_deep(shape, max_depth) and depth(document) > max_depth:
        raise JsonTextError(f"nested deeper than {max_depth} levels")
    if not is_plain:
        _check_range(document)
    return document, is_plain


def read_quickly(text: str, max_depth: int | None) -> tuple[Any, int] | None:
    """Parse a plain document without a search for repeated keys, which takes as long as the rest.

    Args:
        text: The document.
        max_depth: As for `read`; None is no limit.

    Returns:
        The document as `read` gives it, and the most keys that the text may have. If the objects in
        the document have so many, then none is repeated. None where only `read` can judge.
    """
    try:
        raw = _encoded(text)
        shape = raw.translate(_SHAPE).decode("latin-1")
        if not _is_plain(shape) or (max_depth is not None and _may_be_deep(shape, max_depth)):
            return None
        # In a string, a colon may look like that of a key; never the other way round.
        return _repeating_json(raw), shape.count(_KEY)
    except ValueError:
        return None


def parse(text: str) -> Any:  # noqa: ANN401 - a JSON document can be of any type
    """Return the document of `read`."""
    return read(text)[0]


def _encoded(text: str) -> bytes:
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise JsonTextError("a lone surrogate is not text") from None
    if len(raw) > MAX_TEXT_BYTES:
        raise JsonTextError(f"longer than {MAX_TEXT_BYTES} bytes")
    return raw


def _is_plain(shape: str) -> bool:
    """Return whether no literal, wherever it stands, needs to be looked at digit by digit.

    The text of strings is looked at as well: that makes a document less plain, never more.
    """
    # Two decimals of 15 digits that differ are different floats, and such integers are floats.
    return _EXPONENT not in shape and _LONG not in shape


def _may_be_deep(shape: str, max_depth: int) -> bool:
    # Most documents have too few brackets to be too deep.
    return shape.count("{") > max_depth


def _check_range(document: Any) -> None:  # noqa: ANN401 - a JSON document can be of any type
    todo = [document]
    while todo:
        value = todo.pop()
        if isinstance(value, Decimal):
            nearest = float(value)
            if nearest in (float("inf"), float("-inf")) or (nearest == 0 and value != 0):
                raise JsonTextError(
                    f"the number {value!s:.40} is outside the range of a 64-bit float"
                )
        elif isinstance(value, (dict, list)):
            todo += value.values() if isinstance(value, dict) else value


def depth(document: Any) -> int:  # noqa: ANN401 - as above
    """Return how many arrays and objects the innermost value of a document is inside of."""
    level, levels = [document], 0
    while level := [each for each in level if isinstance(each, (dict, list))]:
        levels += 1
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
    return levels


def path_of_non_finite(document: Any) -> tuple[str | int, ...]:  # noqa: ANN401 - as above
    """Return where the first number stands that JSON does not have, `()` where there is none."""
    todo: list[tuple[tuple[str | int, ...], Any]] = [((), document)]
    # What holds itself is looked at once.
    seen: set[int] = set()
    while todo:
        path, value = todo.pop()
        if isinstance(value, float) and not math.isfinite(value):
            return path
        if id(value) not in seen and isinstance(value, (dict, list, tuple)):
            seen.add(id(value))
            members = value.items() if isinstance(value, dict) else enumerate(value)
            todo += reversed([((*path, name), member) for name, member in members])
    return ()
