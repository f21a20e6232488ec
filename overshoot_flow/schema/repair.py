"""Answers that are JSON but for how they are written: what may be put right, and that it was.

A repair changes the writing and never a value: where a text could be read in two ways, it is left
alone and becomes a dead letter. The raw text is kept in any case, and `repaired` says that the
document was not read from it as it stands.
"""

from __future__ import annotations

import re
from typing import Final

from overshoot_flow.repair_level import Repair
from overshoot_flow.results import FailureReason
from overshoot_flow.schema.json_schema import Checked, OutputSchema, Parsed

_WHITESPACE: Final = " \t\r\n"
_OPENING_FENCE: Final = re.compile(r"```[A-Za-z0-9_+-]*[ \t]*\r?\n")
_CLOSING_FENCE: Final = "```"
_MARKS: Final = re.compile(r"""[{}\[\]"']""")
_DOUBLE_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_SINGLE_QUOTED: Final = re.compile(r"'((?:[^'\\]|\\.)*+)'", re.DOTALL)
_ESCAPE_OR_QUOTE: Final = re.compile(r"""\\(.)|(")""", re.DOTALL)


def check_answer(
    schema: OutputSchema, raw_text: str, finish_reason: str | None, repair: Repair | str
) -> Checked:
    """Parse and validate one answer, after a repair if it takes one.

    Args:
        schema: What the answer must satisfy.
        raw_text: The answer.
        finish_reason: Why the model stopped.
        repair: What may be repaired.

    Returns:
        A `Parsed` whose `repaired` says whether it took a repair, or why the answer is rejected.
    """
    checked = schema.check(raw_text, finish_reason)
    if isinstance(checked, Parsed) or checked.reason is not FailureReason.NOT_JSON:
        return checked
    text = repaired_text(raw_text, Repair(repair))
    if text is None:
        return checked
    again = schema.check(text, finish_reason)
    return Parsed(again.document, repaired=True) if isinstance(again, Parsed) else again


def repaired_text(text: str, repair: Repair) -> str | None:
    """Return the text of the JSON document in `text`, or None where there is nothing to repair.

    What is returned need not be JSON.
    """
    text = text.strip(_WHITESPACE)
    if repair is Repair.NONE:
        return None
    opening = _OPENING_FENCE.match(text)
    inner = text if opening is None else text[opening.end() :]
    if repair is not Repair.FENCES:
        is_single = repair is Repair.SINGLE_QUOTES
        inner_document = _document(inner, is_fenced=opening is not None, single=is_single)
        return None if inner_document == text else inner_document
    if opening is None or not inner.endswith(_CLOSING_FENCE):
        return None
    return inner.removesuffix(_CLOSING_FENCE).strip(_WHITESPACE)


def _document(text: str, *, is_fenced: bool, single: bool) -> str | None:
    """Return the object or array that `text` begins with, if nothing like JSON follows it."""
    text = text.lstrip(_WHITESPACE)
    if not text.startswith(("{", "[")):
        return None
    depth, position, parts = 0, 0, list[str]()
    while (mark := _MARKS.search(text, position)) is not None:
        parts.append(text[position : mark.start()])
        position = mark.end()
        match mark.group():
            case "{" | "[":
                depth += 1
                parts.append(mark.group())
            case "}" | "]":
                depth -= 1
                parts.append(mark.group())
                if depth == 0:
                    is_last = _is_prose(text[position:], is_fenced=is_fenced)
                    return "".join(parts) if is_last else None
            case '"':
                string = _DOUBLE_QUOTED.match(text, mark.start())
                if string is None:
                    return None
                parts.append(string.group())
                position = string.end()
            case _:
                string = _SINGLE_QUOTED.match(text, mark.start()) if single else None
                if string is None:
                    return None
                parts.append(f'"{_ESCAPE_OR_QUOTE.sub(_requoted, string.group(1))}"')
                position = string.end()
    return None


def _is_prose(rest: str, *, is_fenced: bool) -> bool:
    rest = rest.strip(_WHITESPACE)
    if is_fenced:
        if not rest.startswith(_CLOSING_FENCE):
            return False
        rest = rest.removeprefix(_CLOSING_FENCE)
    # Brackets may belong to a second document, and nobody knows which one is meant.
    return not any(bracket in rest for bracket in "{}[]`")


def _requoted(found: re.Match[str]) -> str:
    if found.group(2) is not None:
        return '\\"'
    return "'" if found.group(1) == "'" else found.group()
