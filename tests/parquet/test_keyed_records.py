"""Answers to different questions: each is typed by the schema that it was checked with."""

from __future__ import annotations

import hashlib
import pickle
from typing import Any

import pyarrow as pa
import pytest
from outcome_samples import a_failure, a_gap, a_result, a_usage

from overshoot_flow.errors import ConfigurationError, UnsupportedSchemaError
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.keyed_records import KeyedRecordBuilder, schema_key
from overshoot_flow.schema.records import Dataset, RecordBuilder, dataset_schema


def one_property(value_type: str) -> OutputSchema:
    return closed({"n": {"type": value_type}})


def closed(properties: dict[str, Any]) -> OutputSchema:
    return OutputSchema({"type": "object", "properties": properties, "additionalProperties": False})


COUNT = one_property("integer")
NAME = one_property("string")


def counted(number: int, **changes: Any) -> Any:
    return a_result(output={"n": number}, schema_json=COUNT.canonical, **changes)


def named(name: str, **changes: Any) -> Any:
    return a_result(output={"n": name}, schema_json=NAME.canonical, **changes)


def test_results_are_apart_by_schema_and_typed_by_it() -> None:
    outcomes = [counted(1), named("a"), a_result(raw_text="text"), counted(2), named("b")]
    batches = KeyedRecordBuilder().batches(outcomes)
    assert [(each.dataset, each.schema_key) for each in batches] == [
        (Dataset.RESULTS, schema_key(COUNT.canonical)),
        (Dataset.RESULTS, schema_key(NAME.canonical)),
        (Dataset.RESULTS, "text"),
    ]
    for each, schema in zip(batches, (COUNT, NAME, None), strict=True):
        declared = dataset_schema(Dataset.RESULTS, schema, declared=False)
        assert each.batch.schema.equals(declared, check_metadata=True)
    counts, names, _ = (each.batch for each in batches)
    assert counts.column("output").to_pylist() == [{"n": 1}, {"n": 2}]
    assert names.column("output").to_pylist() == [{"n": "a"}, {"n": "b"}]


def test_one_stream_whose_schema_changes_has_a_batch_for_each() -> None:
    batches = KeyedRecordBuilder().batches(
        [counted(1), counted(2, stream_key="cam-2"), named("a"), counted(3)]
    )
    assert [
        (each.stream_key, each.schema_key == schema_key(COUNT.canonical), each.batch.num_rows)
        for each in batches
    ] == [("cam-1", True, 2), ("cam-2", True, 1), ("cam-1", False, 1)]


def test_other_datasets_have_one_schema_whatever_was_asked() -> None:
    batches = KeyedRecordBuilder().batches([counted(1), a_failure(), a_gap(), named(""), a_usage()])
    others = [each for each in batches if each.dataset is not Dataset.RESULTS]
    assert [each.dataset for each in others] == ["dead_letters", "gaps", "usage"]
    for each in others:
        assert each.schema_key is None
        declared = dataset_schema(each.dataset, None, declared=False)
        assert each.batch.schema.equals(declared, check_metadata=True)
        assert b"overshoot_flow.json_schema" not in (each.batch.schema.metadata or {})


def test_the_key_is_of_what_the_schema_says_and_not_of_how_it_is_written() -> None:
    properties = {"a": {"type": "integer"}, "b": {"type": "string"}}
    backwards = dict(reversed(properties.items()))
    one, other = closed(properties), closed(backwards)
    output = {"a": 1, "b": "x"}
    results = [a_result(output=output, schema_json=each.canonical) for each in (one, other)]
    (records,) = KeyedRecordBuilder().batches(results)
    assert records.batch.column("output").to_pylist() == [output, output]
    assert records.schema_key == f"s{hashlib.sha256(one.canonical.encode()).hexdigest()[:16]}"


def test_a_dataset_of_one_schema_refuses_an_answer_to_another() -> None:
    assert RecordBuilder(COUNT).batches([counted(1)])[0].schema_key is None
    for schema in (NAME, None):
        with pytest.raises(ConfigurationError, match="'cam-1' has another output schema"):
            RecordBuilder(schema).batches([counted(1)])


def test_a_schema_that_is_none_is_refused_by_its_place() -> None:
    with pytest.raises(UnsupportedSchemaError, match="/type"):
        KeyedRecordBuilder().batches([a_result(schema_json='{"type": "none"}')])


def test_batches_with_a_key_survive_the_way_to_another_process() -> None:
    (records,) = KeyedRecordBuilder().batches([counted(1, labels={"site": "north"})])
    copy = pickle.loads(pickle.dumps(records))  # noqa: S301 - our own bytes
    assert copy == records


def test_labels_are_a_map_in_every_dataset() -> None:
    labels = {"site": "north", "gate": "2", "odd": "a\ud800b"}
    outcomes = [make(labels=labels) for make in (a_result, a_failure, a_gap, a_usage)]
    for records in RecordBuilder(None).batches([*outcomes, a_gap()]):
        field = records.batch.schema.field("labels")
        assert field.type == pa.map_(pa.string(), pa.string())
        assert not field.nullable
        records.batch.validate(full=True)
        rows = records.batch.column("labels").to_pylist()
        assert rows[0] == [("gate", "2"), ("odd", "a\\ud800b"), ("site", "north")]
        assert rows[1:] == ([[]] if records.dataset is Dataset.GAPS else [])
