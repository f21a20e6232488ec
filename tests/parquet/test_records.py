from __future__ import annotations

import dataclasses
import json
import pickle
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest
from outcome_samples import DAY_US, NEW_YEAR_2024_US, a_failure, a_gap, a_result, a_usage

from overshoot_flow import __version__
from overshoot_flow.results import Failure, FailureReason, Gap, Result, Usage
from overshoot_flow.schema.json_schema import OutputSchema, Parsed
from overshoot_flow.schema.records import Dataset, RecordBuilder, dataset_schema, utc_dates

COUNT = OutputSchema(
    {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
)


@pytest.mark.parametrize(
    ("dataset", "outcome", "renamed"),
    [
        (Dataset.RESULTS, Result, {"output", "schema_json", "then", "then_form"}),
        (Dataset.DEAD_LETTERS, Failure, {"detail"}),
        (Dataset.GAPS, Gap, set()),
        (Dataset.USAGE, Usage, set()),
    ],
)
def test_every_attribute_of_an_outcome_has_a_column(
    dataset: Dataset, outcome: Any, renamed: set[str]
) -> None:
    columns = set(dataset_schema(dataset, None).names)
    for each in dataclasses.fields(outcome):
        name = "source_uri" if each.name == "source" else each.name
        assert {name, name.removesuffix("_us")} & columns or each.name in renamed


def test_outcomes_of_all_kinds_and_keys_become_one_batch_for_each_dataset_and_key() -> None:
    outcomes = [
        a_result(result_id="a"),
        a_failure(),
        a_result(result_id="x", stream_key="cam-2"),
        a_gap(),
        a_result(result_id="b"),
        a_usage(),
    ]
    batches = RecordBuilder(None).batches(outcomes)
    assert [(each.dataset, each.stream_key, each.batch.num_rows) for each in batches] == [
        (Dataset.RESULTS, "cam-1", 2),
        (Dataset.DEAD_LETTERS, "cam-1", 1),
        (Dataset.RESULTS, "cam-2", 1),
        (Dataset.GAPS, "cam-1", 1),
        (Dataset.USAGE, "cam-1", 1),
    ]
    assert batches[0].batch.column("result_id").to_pylist() == ["a", "b"]
    for each in batches:
        each.batch.validate(full=True)
        assert each.batch.schema.equals(dataset_schema(each.dataset, None), check_metadata=True)
    assert RecordBuilder(None).batches([]) == []


def test_values_arrive_in_their_columns() -> None:
    captured = datetime(2024, 1, 1, 12, 30, 0, 250, tzinfo=UTC)
    captured_us = NEW_YEAR_2024_US + (12 * 3600 + 30 * 60) * 1_000_000 + 250
    results, failures = RecordBuilder(COUNT).batches(
        [a_result(captured_start_us=captured_us, output={"n": 7}), a_failure()]
    )
    row = results.batch.to_pylist()[0]
    assert row["captured_start"] == captured
    assert row["captured_end"] is None
    assert row["media_end_us"] == 500_000
    assert row["source_uri"] == "rtsp://camera.example/1"
    assert (row["ok"], row["error"], row["output"]) == (True, None, {"n": 7, "other_json": None})
    letter = failures.batch.to_pylist()[0]
    assert (letter["ok"], letter["error"], letter["reason"]) == (False, "not an integer", "schema")
    assert letter["instance_path"] == "/n"


def test_results_and_dead_letters_unite_by_name() -> None:
    results, failures = RecordBuilder(COUNT).batches([a_result(output={"n": 1}), a_failure()])
    tables = [pa.Table.from_batches([each.batch]) for each in (results, failures)]
    answers = pa.concat_tables(tables, promote_options="default")
    assert answers.column("ok").to_pylist() == [True, False]
    assert answers.column("output").to_pylist() == [{"n": 1, "other_json": None}, None]


def test_the_output_column_is_there_only_with_a_schema() -> None:
    assert "output" not in dataset_schema(Dataset.RESULTS, None).names
    assert dataset_schema(Dataset.RESULTS, COUNT).field("output").type == COUNT.arrow_type
    assert "output" not in dataset_schema(Dataset.GAPS, COUNT).names


def test_metadata_say_which_schema_wrote_the_rows() -> None:
    metadata = dataset_schema(Dataset.RESULTS, COUNT).metadata
    assert metadata is not None
    assert metadata[b"overshoot_flow.schema_version"] == b"2"
    assert metadata[b"overshoot_flow.library_version"] == __version__.encode()
    assert json.loads(metadata[b"overshoot_flow.json_schema"]) == COUNT.document
    bare = dataset_schema(Dataset.RESULTS, None).metadata
    assert bare is not None
    assert b"overshoot_flow.json_schema" not in bare


def test_the_day_is_that_of_capture_else_of_arrival() -> None:
    results, usage = RecordBuilder(None).batches(
        [
            a_result(captured_start_us=NEW_YEAR_2024_US - 1),
            a_result(captured_start_us=None),
            a_usage(at_us=NEW_YEAR_2024_US + DAY_US),
        ]
    )
    assert utc_dates(results).to_pylist() == [date(2023, 12, 31), date(2024, 1, 1)]
    assert utc_dates(usage).to_pylist() == [date(2024, 1, 2)]


def test_a_lone_surrogate_in_an_answer_is_kept_as_its_escape() -> None:
    (letters,) = RecordBuilder(None).batches(
        [a_failure(raw_text="a\ud800b", reason=FailureReason.NOT_JSON), a_failure(raw_text=None)]
    )
    assert letters.batch.column("raw_text").to_pylist() == ["a\\ud800b", None]
    exact = letters.batch.column("raw_bytes").to_pylist()
    assert exact == [b"a\xed\xa0\x80b", None]
    assert exact[0].decode(errors="surrogatepass") == "a\ud800b"


def test_batches_survive_the_way_to_another_process() -> None:
    (results,) = RecordBuilder(COUNT).batches([a_result(output={"n": 1})])
    copy = pickle.loads(pickle.dumps(results))  # noqa: S301 - our own bytes
    assert copy.batch.equals(results.batch)
    assert (copy.dataset, copy.stream_key) == (results.dataset, results.stream_key)


def test_a_checked_answer_fits_the_column() -> None:
    parsed = COUNT.check('{"n": 1e0, "extra": [1.5]}', "stop")
    assert parsed == Parsed({"n": 1, "extra": [1.5]})
    (results,) = RecordBuilder(COUNT).batches([a_result(output=parsed.document)])
    column = results.batch.column("output")
    assert column.to_pylist() == [{"n": 1, "other_json": '{"extra":[1.5]}'}]
