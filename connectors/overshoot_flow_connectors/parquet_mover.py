"""Makes results of dead letters in a directory of Parquet datasets, each exactly once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

import pyarrow as pa

from overshoot_flow.results import Outcome, Result, Usage
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.keyed_records import KeyedRecordBuilder, schema_key
from overshoot_flow.schema.records import RecordBatchOf, RecordBuilder
from overshoot_flow.schema.second_answers import SecondAnswers
from overshoot_flow_connectors.parquet_dead_letters import REPLAYS, REPLAYS_SCHEMA, DeadLetters
from overshoot_flow_connectors.parquet_files import by_place
from overshoot_flow_connectors.parquet_moves import StagedFiles
from overshoot_flow_connectors.parquet_versions import SchemaGuard, file_name
from overshoot_flow_connectors.replay_report import ReplayReport

Form: TypeAlias = tuple[str | None, str | None]
"""`schema_json` and `then_form` of a result."""


class Mover:
    """Writes results beside the dead letters that they were.

    Args:
        letters: The dead letters.
        staged: Brings the files.
        now: The time in UTC.

    Attributes:
        done: Identities of the dead letters that have become results.
    """

    def __init__(
        self, letters: DeadLetters, staged: StagedFiles, now: Callable[[], datetime]
    ) -> None:
        self._letters = letters
        self._staged = staged
        self._now = now
        self._layout = letters.layout()
        self._guard = SchemaGuard(letters.directory, self._layout)
        self._in_folders = letters.has_schema_folders()
        self.done = letters.replayed_ids()

    def answered(self, ids: Iterable[str]) -> set[str]:
        """Return those of `ids` that are results already, and note that they are done."""
        present = self._letters.answered(ids)
        self.done.update(present)
        return present

    def move(
        self,
        results: Iterable[Result],
        report: ReplayReport,
        *,
        usage: Sequence[Usage] = (),
        usage_form: Form = (None, None),
    ) -> None:
        """Make `results` visible, and say that they are replayed; one rename decides.

        Args:
            results: Dead letters that pass now.
            report: Counts them.
            usage: What was charged for them, or for those that fail again.
            usage_form: What was asked for, for the metadata of those rows.

        Raises:
            ConfigurationError: The rows do not go with those that are there.
            SinkError: The disk refuses.
        """
        passing: dict[str, Result] = {}
        for each in results:
            report.done_before += each.result_id in passing
            passing.setdefault(each.result_id, each)
        present = self._letters.answered(passing)
        moved = [each for identity, each in passing.items() if identity not in present]
        report.done_before += len(present)
        self.done.update(passing)
        if not moved and not usage:
            return
        stem = f"part-replay-{uuid4().hex[:12]}"
        files: dict[Path, list[pa.RecordBatch]] = {}
        for records in (*self._records(moved), *self._usage(usage, usage_form)):
            version = self._guard.check(records)
            for place, batch in by_place(records, self._layout):
                files.setdefault(place / file_name(stem, version), []).append(batch)
        if moved:
            # The last one: a result without it is seen by the next replay, it without a result
            # is not.
            at = self._now()
            files[Path(REPLAYS, f"date={at.date()}", f"{stem}.parquet")] = [_replays(moved, at)]
        self._staged.bring(files)
        report.moved += len(moved)

    def _records(self, results: Sequence[Result]) -> Iterator[RecordBatchOf]:
        if self._in_folders:
            yield from KeyedRecordBuilder().batches(results)
            return
        of_form: dict[Form, list[Outcome]] = {}
        for each in results:
            of_form.setdefault((each.schema_json, each.then_form), []).append(each)
        for form, rows in of_form.items():
            yield from _builder(form).batches(rows)

    def _usage(self, usage: Sequence[Usage], form: Form) -> Iterator[RecordBatchOf]:
        builder = KeyedRecordBuilder() if self._in_folders else _builder(form)
        yield from builder.batches(usage)


@lru_cache(maxsize=256)
def compiled(schema_json: str) -> OutputSchema:
    """Return the schema that a record names."""
    return OutputSchema(json.loads(schema_json))


def _builder(form: Form) -> RecordBuilder:
    schema_json, then_form = form
    schema = None if schema_json is None else compiled(schema_json)
    return RecordBuilder(schema, SecondAnswers.of_form(then_form))


def _replays(results: list[Result], at: datetime) -> pa.RecordBatch:
    rows = [
        {
            "result_id": each.result_id,
            "stream_key": each.stream_key,
            "replayed_at": at,
            "schema_key": schema_key(each.schema_json, each.then_form),
            "repaired": each.repaired,
        }
        for each in results
    ]
    return pa.RecordBatch.from_pylist(rows, schema=REPLAYS_SCHEMA)
