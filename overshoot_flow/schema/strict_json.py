"""Read JSON text exactly: what a model writes is taken as it stands or refused, never repaired."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any, Final, NoReturn

MAX_TEXT_BYTES: Final = 1 << 20
"""Longest text that is parsed, in bytes of UTF-8."""
MAX_DEPTH: Final = 128
"""Deepest nesting of arrays and objects that is accepted."""

_WHITESPACE: Final = " \t\r\n"
_FENCE: Final = re.compile(r"```[A-Za-z0-9_+-]*[ \t]*\r?\n(.*)```", re.DOTALL)


class JsonTextError(ValueError):
    """The text is not a JSON document that can be held exactly; never leaves `schema`."""


def unfenced(text: str) -> str:
    """Return `text` without surrounding white space and without one Markdown code fence."""
    text = text.strip(_WHITESPACE)
    fence = _FENCE.fullmatch(text)
    return fence.group(1).strip(_WHITESPACE) if fence else text


def parse(text: str) -> Any:  # noqa: ANN401 - a JSON document can be of any type
    """Parse one JSON document.

    Numbers with a fraction or an exponent are returned as `Decimal`, because only the schema
    says whether `1.0` is an integer; integers are exact.

    Raises:
        JsonTextError: The text is longer than `MAX_TEXT_BYTES`, is not JSON (RFC 8259), nests
            deeper than `MAX_DEPTH`, repeats an object's key, holds a lone surrogate, or holds a
            number that no 64-bit float comes near.
    """
    # A character is at most four bytes, so that most texts need no second copy to be measured.
    if len(text) * 4 > MAX_TEXT_BYTES and len(text.encode(errors="replace")) > MAX_TEXT_BYTES:
        raise JsonTextError(f"longer than {MAX_TEXT_BYTES} bytes")
    try:
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_float=_decimal,
            parse_constant=_refuse_constant,
        )
    except RecursionError:
        raise JsonTextError(f"nested deeper than {MAX_DEPTH} levels") from None
    except JsonTextError:
        raise
    except ValueError as error:  # JSONDecodeError, and int()'s own bound on the number of digits
        raise JsonTextError(str(error)) from None
    # Most documents have too few brackets to be too deep.
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(document)
    _check_surrogates(text, document)
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise JsonTextError(f"the key {key!a} stands twice in one object")
            seen.add(key)
    return document


def _decimal(literal: str) -> Decimal:
    nearest = float(literal)
    number = Decimal(literal)
    if math.isinf(nearest) or (nearest == 0 and number != 0):
        raise JsonTextError(f"the number {literal[:40]} is outside the range of a 64-bit float")
    return number


def _refuse_constant(literal: str) -> NoReturn:
    raise JsonTextError(f"{literal} is not JSON")


def _check_depth(document: Any) -> None:  # noqa: ANN401 - a JSON document can be of any type
    level, depth = [document], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise JsonTextError(f"nested deeper than {MAX_DEPTH} levels")
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]


def _check_surrogates(text: str, document: Any) -> None:  # noqa: ANN401 - as above
    try:
        text.encode()
        if "\\u" in text:
            json.dumps(document, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise JsonTextError("a lone surrogate is not text") from None
