"""The column of second answers, which escalations bring."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Self

import pyarrow as pa

from overshoot_flow.results import THEN_TEXT, SecondAnswer
from overshoot_flow.schema.json_schema import OutputSchema


class SecondAnswers:
    """Makes the struct column `then`.

    Its fields are those of `SecondAnswer`; `output` is there only with an output schema.

    Args:
        schema: The second question's output schema, or None for text.
    """

    def __init__(self, schema: OutputSchema | None) -> None:
        self._schema = schema
        names = ("model", "prompt_version", "raw_text", "finish_reason", "error")
        fields: list[pa.Field[Any]] = [pa.field(name, pa.string()) for name in names]
        fields.append(pa.field("repaired", pa.bool_()))
        if schema is not None:
            fields.append(pa.field("output", schema.arrow_type))
        self.arrow_type = pa.struct(fields)

    @classmethod
    def of_form(cls, form: str | None) -> Self | None:
        """Return the column for `Result.then_form`, or None where no second question is asked."""
        if form is None:
            return None
        return cls(None if form == THEN_TEXT else OutputSchema(json.loads(form)))

    @property
    def form(self) -> str:
        """What results say of it as `then_form`."""
        return THEN_TEXT if self._schema is None else self._schema.canonical

    def to_array(self, answers: Sequence[SecondAnswer | None]) -> pa.Array[Any]:
        """Return the column; None becomes null."""
        missing = [answer is None for answer in answers]
        columns: list[pa.Array[Any]] = []
        for field in self.arrow_type:
            values = [None if each is None else getattr(each, field.name) for each in answers]
            if field.name == "output" and self._schema is not None:
                columns.append(self._schema.to_array(values))
            elif field.name == "repaired":
                columns.append(pa.array(values, pa.bool_()))
            else:
                texts = [None if each is None else _unicode(each) for each in values]
                columns.append(pa.array(texts, pa.string()))
        return pa.StructArray.from_arrays(
            columns, fields=list(self.arrow_type), mask=pa.array(missing, pa.bool_())
        )


def _unicode(text: str) -> str:
    """Write a lone surrogate, which is no Unicode, as its escape."""
    return text.encode(errors="backslashreplace").decode()
