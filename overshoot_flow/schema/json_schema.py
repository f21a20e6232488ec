"""The user's JSON Schema, compiled once: how answers are checked and how they are typed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import jsonschema_rs
import pyarrow as pa

from overshoot_flow.errors import UnsupportedSchemaError
from overshoot_flow.results import FailureReason
from overshoot_flow.schema import strict_json
from overshoot_flow.schema.arrow_types import struct_column
from overshoot_flow.schema.columns import NotRepresentableError, json_pointer

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
MAX_DETAIL_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class Parsed:
    """An answer that satisfies the schema.

    `document` is plain JSON data: integers are `int`, numbers `float`, date-times text.
    """

    document: dict[str, Any]


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
    """A JSON Schema (draft 2020-12) that every answer must satisfy, with its Arrow type.

    `format` is asserted where the format is known. Nothing is ever fetched: a reference that
    leaves the document is refused.

    Attributes:
        document: The schema as plain JSON data, in the order given.
        canonical: The schema as JSON text with sorted keys, for comparison and metadata.
        arrow_type: The struct type of the typed `output` column.

    Raises:
        UnsupportedSchemaError: The schema is not a valid JSON Schema, leaves the document, or
            has no column type; the text has the JSON pointer of the place.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = _plain(document)
        self.canonical = json.dumps(
            self.document, sort_keys=True, ensure_ascii=False, separators=(",", ":")
        )
        if self.document.get("$schema", DRAFT).rstrip("#") != DRAFT:
            raise UnsupportedSchemaError("/$schema", f"only {DRAFT} is supported; write that")
        _refuse_other_documents(self.document)
        with _refusals():
            jsonschema_rs.meta.validate(self.document)
        self._column = struct_column(self.document)
        with _refusals():
            self._validator = jsonschema_rs.Draft202012Validator(
                self.document, validate_formats=True, offline=True
            )
        self.arrow_type: pa.DataType = self._column.arrow_type

    def check(self, raw_text: str, finish_reason: str | None) -> Checked:
        """Parse and validate one answer; never raises for anything an answer can be.

        One Markdown code fence around the document is taken off. Besides what the schema
        forbids, a value that the Arrow type cannot hold exactly is rejected as `SCHEMA`: an
        integer of more than 64 bits, a date-time finer than 1 µs or with a leap second.
        """
        incomplete = cut_short(finish_reason)
        if incomplete is not None:
            return incomplete
        try:
            document = strict_json.parse(strict_json.unfenced(raw_text))
        except strict_json.JsonTextError as error:
            return Rejected(FailureReason.NOT_JSON, str(error)[:MAX_DETAIL_CHARS])
        violation = next(iter(self._validator.iter_errors(document)), None)
        if violation is not None:
            violation = _most_specific(violation)
            return Rejected(
                FailureReason.SCHEMA,
                violation.message[:MAX_DETAIL_CHARS],
                json_pointer(violation.instance_path),
                json_pointer(violation.schema_path),
            )
        try:
            return Parsed(self._column.exact(document, ()))
        except NotRepresentableError as error:
            return Rejected(
                FailureReason.SCHEMA,
                str(error),
                json_pointer(error.instance_path),
                error.schema_path,
            )

    def to_array(self, documents: Sequence[dict[str, Any] | None]) -> pa.Array[Any]:
        """Return the typed column of documents that `check` accepted; None becomes null.

        A property without a type of its own (not named by the schema) is not in the column, and
        an absent property is null like one that is `null`; the raw text keeps both.
        """
        stored = [None if each is None else self._column.stored(each) for each in documents]
        return pa.array(stored, type=self.arrow_type)


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    try:
        text = json.dumps(document, allow_nan=False, ensure_ascii=False)
        text.encode()
        plain = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnsupportedSchemaError("", f"the schema is not JSON data: {error}") from None
    if not isinstance(plain, dict):
        raise UnsupportedSchemaError("", "the schema must be a JSON object")
    return plain


def _refuse_other_documents(document: dict[str, Any]) -> None:
    todo: list[tuple[tuple[str | int, ...], Any]] = [((), document)]
    while todo:
        path, value = todo.pop()
        if isinstance(value, dict):
            for keyword in ("$ref", "$dynamicRef"):
                reference = value.get(keyword)
                if isinstance(reference, str) and not reference.startswith("#"):
                    raise UnsupportedSchemaError(
                        json_pointer((*path, keyword)),
                        f"{reference} is outside this document and is never fetched; copy it into "
                        "$defs and refer to #/$defs/…",
                    )
            if path and isinstance(value.get("$id"), str):
                raise UnsupportedSchemaError(
                    json_pointer((*path, "$id")), "only the root may have $id; remove it"
                )
        members = value.items() if isinstance(value, dict) else enumerate(value)
        todo += [((*path, key), each) for key, each in members if isinstance(each, (dict, list))]


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except jsonschema_rs.ValidationError as error:
        raise UnsupportedSchemaError(
            json_pointer(error.instance_path), f"not a valid JSON Schema: {error.message}"
        ) from None
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        raise UnsupportedSchemaError("", f"not a valid JSON Schema: {error}") from None


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
