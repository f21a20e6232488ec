"""Outcomes → Arrow where answers have different output schemas: each is typed by its own.

Results are told apart by a schema key. The other datasets have one schema, whatever was asked:
their metadata name no output schema.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Final

from overshoot_flow.results import Outcome, Result
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.records import RecordBatchOf, RecordBuilder
from overshoot_flow.schema.second_answers import SecondAnswers

TEXT_KEY: Final = "text"
"""Schema key of answers that are text."""

MAX_COMPILED_SCHEMAS: Final = 256
"""So many schemas stay compiled; of more, the least recently used are compiled again."""


def schema_key(schema_json: str | None, then_form: str | None = None) -> str:
    """Return the name of an output schema: `s` and 16 hex digits of its SHA-256, `text` for None.

    Where windows may be asked about a second time, that question's schema is part of it.

    The letter keeps readers from taking a key of digits alone for a number.

    Args:
        schema_json: The schema as canonical JSON, such as `Result.schema_json`.
        then_form: The second question's, such as `Result.then_form`.
    """
    if schema_json is None and then_form is None:
        return TEXT_KEY
    named = schema_json or TEXT_KEY
    if then_form is not None:
        named = f"{named}\n{then_form}"
    return f"s{hashlib.sha256(named.encode()).hexdigest()[:16]}"


class KeyedRecordBuilder:
    """Builds rows from outcomes about streams whose output schemas differ or change.

    The fields of `output` stand in the order of the canonical schema, that is, of their names.
    """

    def batches(self, outcomes: Iterable[Outcome]) -> list[RecordBatchOf]:
        """Return the rows of `outcomes`, one batch per dataset, stream key and output schema.

        Results have a `schema_key`, other rows None. The rows of a batch keep the order of the
        outcomes.

        Raises:
            UnsupportedSchemaError: `schema_json` of a result made by hand is no output schema.
        """
        others: list[Outcome] = []
        results: dict[tuple[str | None, str | None], list[Outcome]] = {}
        for outcome in outcomes:
            if isinstance(outcome, Result):
                forms = (outcome.schema_json, outcome.then_form)
                results.setdefault(forms, []).append(outcome)
            else:
                others.append(outcome)
        batches = [
            replace(records, schema_key=schema_key(*forms))
            for forms, rows in results.items()
            for records in _builder(*forms).batches(rows)
        ]
        return [*batches, *_builder(None, None).batches(others)]


@lru_cache(maxsize=MAX_COMPILED_SCHEMAS)
def _builder(schema_json: str | None, then_form: str | None) -> RecordBuilder:
    schema = None if schema_json is None else OutputSchema(json.loads(schema_json))
    return RecordBuilder(schema, SecondAnswers.of_form(then_form), declared=False)
