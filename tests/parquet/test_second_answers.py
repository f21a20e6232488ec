"""The column of second answers: typed by the second schema, null where none was asked."""

from __future__ import annotations

import pickle

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from outcome_samples import a_result

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.results import THEN_TEXT, SecondAnswer
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.keyed_records import TEXT_KEY, KeyedRecordBuilder, schema_key
from overshoot_flow.schema.records import RecordBuilder
from overshoot_flow.schema.second_answers import SecondAnswers

PLATE = OutputSchema(
    {
        "type": "object",
        "properties": {"plate": {"type": "string"}},
        "required": ["plate"],
        "additionalProperties": False,
    }
)


def second(output: dict[str, str] | None = None, error: str | None = None) -> SecondAnswer:
    return SecondAnswer(
        model="big",
        prompt_version="2",
        raw_text="raw \ud800",
        output=output,
        finish_reason="stop",
        error=error,
    )


def test_second_answers_are_typed_and_null_where_none_was_asked() -> None:
    rows = [
        a_result(then_form=PLATE.canonical),
        a_result(then_form=PLATE.canonical, then=second({"plate": "B 1"})),
        a_result(then_form=PLATE.canonical, then=second(error="not_json: no")),
    ]
    (records,) = RecordBuilder(None, SecondAnswers(PLATE)).batches(rows)
    records.batch.validate(full=True)
    found = records.batch.column("then").to_pylist()
    assert found[0] is None
    assert found[1]["output"] == {"plate": "B 1"}
    assert found[1]["raw_text"] == "raw \\ud800"
    assert (found[2]["output"], found[2]["error"]) == (None, "not_json: no")


def test_without_a_schema_there_is_the_text() -> None:
    (records,) = RecordBuilder(None, SecondAnswers(None)).batches(
        [a_result(then_form=THEN_TEXT, then=second())]
    )
    assert pa.types.is_struct(records.batch.schema.field("then").type)
    assert "output" not in records.batch.column("then").to_pylist()[0]


def test_a_dataset_refuses_second_answers_of_another_form() -> None:
    for builder in (RecordBuilder(None), RecordBuilder(None, SecondAnswers(None))):
        with pytest.raises(ConfigurationError, match="another output schema"):
            builder.batches([a_result(then_form=PLATE.canonical)])


def test_the_second_schema_is_part_of_the_key() -> None:
    keys = {
        schema_key(None),
        schema_key(None, THEN_TEXT),
        schema_key(None, PLATE.canonical),
        schema_key(PLATE.canonical),
        schema_key(PLATE.canonical, PLATE.canonical),
    }
    assert len(keys) == 5
    assert TEXT_KEY in keys
    batches = KeyedRecordBuilder().batches(
        [a_result(), a_result(then_form=PLATE.canonical, then=second({"plate": "x"}))]
    )
    assert [each.batch.schema.names[-1] for each in batches] == ["labels", "then"]


def test_readers_see_it(tmp_path: object) -> None:
    (records,) = RecordBuilder(None, SecondAnswers(PLATE)).batches(
        [a_result(then_form=PLATE.canonical, then=second({"plate": "B 1"})), a_result()]
    )
    path = f"{tmp_path}/results.parquet"
    pq.write_table(pa.Table.from_batches([records.batch]), path)
    rows = duckdb.sql(f"select \"then\".output.plate from '{path}'").fetchall()  # noqa: S608
    assert rows == [("B 1",), (None,)]


def test_a_second_answer_survives_the_way_to_another_process() -> None:
    result = a_result(then_form=THEN_TEXT, then=second())
    assert pickle.loads(pickle.dumps(result)) == result  # noqa: S301 - our own bytes
