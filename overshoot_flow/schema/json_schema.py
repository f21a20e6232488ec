"""The user's JSON Schema, compiled once: how answers are checked and how they are typed."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import jsonschema_rs
import pyarrow as pa

from overshoot_flow.errors import UnsupportedSchemaError
from overshoot_flow.results import FailureReason
from overshoot_flow.schema import strict_json
from overshoot_flow.schema.arrow_types import root_column
from overshoot_flow.schema.columns import NotRepresentableError, json_pointer
from overshoot_flow.schema.dialects import dialect_of
from overshoot_flow.schema.references import References
from overshoot_flow.schema.validator_form import validator_form

MAX_DETAIL_CHARS: Final = 500
MAX_PATTERN_BYTES: Final = 1 << 20
"""Most memory that a compiled pattern may take."""
MAX_EXPLAINED_BYTES: Final = 1 << 16
"""Longest invalid answer whose fault is searched, times how often its innermost value is looked at.

The validator notes what every alternative has against a value, which takes some 10,000 times as
long as the check itself.
"""


_OF_OLDER_DRAFTS: Final[Mapping[str, str]] = {
    "items": 'write the list as prefixItems, or "$schema": "http://json-schema.org/draft-07/schema#"',
    "exclusiveMinimum": "that is draft 4; write the bound itself here, and leave out minimum",
    "exclusiveMaximum": "that is draft 4; write the bound itself here, and leave out maximum",
    "required": "write a list of names, in the object that has the properties",
}


class Parsed(NamedTuple):
    """An answer that satisfies the schema.

    `document` is plain JSON data: what the schema calls an integer is an `int` and dates are text.
    Another number is an `int` or a `float`, as it was written.
    """

    document: dict[str, Any]
    repaired: bool = False
    """Whether the document was read from a repaired text, see `repair`."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """An answer that does not, and why.

    `instance_path` and `schema_path` are JSON pointers, set when `reason` is `SCHEMA`.
    """

    reason: FailureReason
    detail: str
    instance_path: str | None = None
    schema_path: str | None = None


Checked: TypeAlias = Parsed | Rejected


def cut_short(finish_reason: str | None) -> Rejected | None:
    """Return why an answer with this `finish_reason` is incomplete, or None; schema or not."""
    match finish_reason:
        case "length":
            return Rejected(
                FailureReason.CUT, "the answer was cut at the token limit; raise max_output_tokens"
            )
        case "content_filter":
            return Rejected(
                FailureReason.CONTENT_FILTER, "the service's filter withheld the answer"
            )
        case _:
            return None


class OutputSchema:
    """A JSON Schema that every answer must satisfy, with its Arrow type.

    `$schema` says which draft it is: 2020-12 (also where there is none), 2019-09 or 7. `format` is
    asserted where the format is known. Nothing is ever fetched: a reference that leaves the
    document is refused. Patterns run in an engine whose time is linear in the text; what it does
    not have (look-around, back-references) is refused.

    Attributes:
        document: The schema as plain JSON data, in the order given.
        canonical: The schema as JSON text with sorted keys, for comparison and metadata.
        arrow_type: The struct type of the typed `output` column.

    Raises:
        UnsupportedSchemaError: The schema is not a valid JSON Schema, leaves the document, or
            its root is no object; the text has the JSON pointer of the place.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = _plain(document)
        self.canonical = json.dumps(
            self.document, sort_keys=True, ensure_ascii=False, separators=(",", ":")
        )
        dialect = dialect_of(self.document)
        with _refusals():
            # What references lead to is asked below: draft 7 would have them be URIs.
            jsonschema_rs.meta.validate(json.loads(self.canonical, object_hook=_without_target))
        references = References(self.document, dialect)
        self._column = root_column(self.document, references, dialect)
        self._has_integers = self._column.has_integers
        self._looks_per_level = references.looks_per_level
        self._max_depth = min(strict_json.MAX_DEPTH, references.depth_limit or sys.maxsize)
        is_deep = self._column.nests_freely or references.depth_limit is not None
        self._max_quick_depth = self._max_depth if is_deep else None
        with _refusals():
            self._validator = dialect.validator(
                validator_form(self.document, references),
                validate_formats=True,
                offline=True,
                pattern_options=jsonschema_rs.RegexOptions(size_limit=MAX_PATTERN_BYTES),
            )
        self.arrow_type: pa.DataType = self._column.arrow_type

    def check(self, raw_text: str, finish_reason: str | None) -> Checked:
        """Parse and validate one answer; never raises for anything an answer can be.

        The text is taken as it stands; `repair.check_answer` repairs it first. Besides what the
        schema forbids, a value that the Arrow type cannot hold exactly is rejected as `SCHEMA`: an
        integer outside the range of its column.
        """
        known = cut_short(finish_reason) or self._accept_quickly(raw_text)
        if known is not None:
            return known
        try:
            document, is_plain = strict_json.read(raw_text, self._max_depth)
        except strict_json.JsonTextError as error:
            return Rejected(FailureReason.NOT_JSON, str(error)[:MAX_DETAIL_CHARS])
        if not self._validator.is_valid(document):
            return self._rejected(document, raw_text)
        if is_plain:
            return Parsed(self._with_integers(document, raw_text))
        try:
            return Parsed(self._column.settle(document, ()))
        except NotRepresentableError as error:
            return Rejected(
                FailureReason.SCHEMA,
                str(error),
                json_pointer(error.instance_path),
                error.schema_path,
            )

    def _accept_quickly(self, raw_text: str) -> Parsed | None:
        """Return what an answer says that is plain and valid beyond doubt, None for any other."""
        read = strict_json.read_quickly(raw_text, self._max_quick_depth)
        if read is None:
            return None
        document, most_keys = read
        # What has been validated has no fewer keys than are counted, and the text no more.
        if not self._validator.is_valid(document) or self._column.count_keys(document) != most_keys:
            return None
        return Parsed(self._with_integers(document, raw_text))

    def _with_integers(self, document: dict[str, Any], raw_text: str) -> dict[str, Any]:
        # Only a fraction can be what an integer is written with in a plain document.
        if self._has_integers and "." in raw_text:
            document = self._column.with_integers(document)
        return document

    def to_array(self, documents: Sequence[dict[str, Any] | None]) -> pa.Array[Any]:
        """Return the typed column of documents that `check` accepted; None becomes null."""
        return self._column.to_arrow(documents)

    def to_documents(self, array: pa.Array[Any]) -> list[dict[str, Any] | None]:
        """Return documents that are equal, as JSON, to those that `to_array` was given.

        Args:
            array: An array of `arrow_type`, such as one chunk of a column read from Parquet.
        """
        return self._column.to_json(array)

    def _rejected(self, document: Any, raw_text: str) -> Rejected:  # noqa: ANN401 - any JSON data
        detail = "does not match the schema; too long or nested too deep to say where"
        instance_path = schema_path = ""
        if strict_json.depth(document) <= self._max_explained_depth(len(raw_text)):
            try:
                # The first fault alone: to list all takes a hundred times as long.
                self._validator.validate(document)
            except jsonschema_rs.ValidationError as error:
                violation = _most_specific(error)
                detail = violation.message[:MAX_DETAIL_CHARS]
                instance_path = json_pointer(violation.instance_path)
                schema_path = json_pointer(violation.schema_path)
        return Rejected(FailureReason.SCHEMA, detail, instance_path, schema_path)

    def _max_explained_depth(self, text_length: int) -> int:
        if self._looks_per_level == 1:
            return strict_json.MAX_DEPTH
        looks = max(1.0, MAX_EXPLAINED_BYTES / text_length)
        return int(math.log(looks, self._looks_per_level))


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    try:
        text = json.dumps(document, allow_nan=False, ensure_ascii=False)
        text.encode()
        plain = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        path = strict_json.path_of_non_finite(document)
        text = "a number is infinite or NaN; remove it" if path else str(error)
        raise UnsupportedSchemaError(
            json_pointer(path), f"the schema is not JSON data: {text}"
        ) from None
    if not isinstance(plain, dict):
        raise UnsupportedSchemaError("", "the schema must be a JSON object")
    return plain


def _without_target(node: dict[str, Any]) -> dict[str, Any]:
    return {**node, "$ref": "#"} if isinstance(node.get("$ref"), str) else node


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except jsonschema_rs.ValidationError as error:
        raise UnsupportedSchemaError(
            json_pointer(error.instance_path),
            f"not a valid JSON Schema: {error.message[:MAX_DETAIL_CHARS]}{_advice(error)}",
        ) from None
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        raise UnsupportedSchemaError(
            "", f"not a valid JSON Schema: {str(error)[:MAX_DETAIL_CHARS]}"
        ) from None


def _advice(error: jsonschema_rs.ValidationError) -> str:
    if _is_about_pattern(error):
        return (
            "; patterns are matched in linear time: write it without look-around, back-references "
            "and large repetitions"
        )
    keyword = error.instance_path[-1] if error.instance_path else ""
    advice = _OF_OLDER_DRAFTS.get(str(keyword))
    return "" if advice is None else f"; {advice}"


def _is_about_pattern(error: jsonschema_rs.ValidationError) -> bool:
    kind = error.kind
    return isinstance(kind, jsonschema_rs.ValidationErrorKind.Format) and kind.format == "regex"


def _most_specific(error: jsonschema_rs.ValidationError) -> jsonschema_rs.ValidationError:
    # "Not valid under any of anyOf" hides the place: the branch that got furthest names it.
    kinds = jsonschema_rs.ValidationErrorKind
    while isinstance(error.kind, (kinds.AnyOf, kinds.OneOfNotValid)):
        first_errors = [branch[0] for branch in error.kind.context if branch]
        deepest = max(first_errors, key=lambda each: len(each.instance_path), default=error)
        if len(deepest.instance_path) <= len(error.instance_path):
            break
        error = deepest
    return error
