from __future__ import annotations

import json
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.keyed_records import schema_key
from overshoot_flow.schema.sql_types import BIGQUERY, DUCKDB, NO_TYPE, SNOWFLAKE
from overshoot_flow_pipelines.cli import main

CARS = {
    "type": "object",
    "properties": {
        "cars": {"type": "integer"},
        "plate": {"type": "string"},
        "two words": {"type": "number"},
        "boxes": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"x": {"type": "boolean"}},
                "additionalProperties": False,
            },
        },
    },
    "required": ["cars"],
    "additionalProperties": False,
}
ARROW = {
    "b": pa.bool_(),
    "i8": pa.int8(),
    "i16": pa.int16(),
    "i32": pa.int32(),
    "i64": pa.int64(),
    "u8": pa.uint8(),
    "u16": pa.uint16(),
    "u32": pa.uint32(),
    "u64": pa.uint64(),
    "f32": pa.float32(),
    "f64": pa.float64(),
    "s": pa.string(),
    "e": pa.dictionary(pa.int8(), pa.string()),
    "bin": pa.binary(),
    "uuid": pa.uuid(),
    "bytes16": pa.binary(16),
    "d": pa.date32(),
    "t": pa.time64("us"),
    "tn": pa.time64("ns"),
    "ts": pa.timestamp("us", "UTC"),
    "tsn": pa.timestamp("ns", "UTC"),
    "local": pa.timestamp("us"),
    "local ns": pa.timestamp("ns"),
    "dur": pa.duration("us"),
    "dec": pa.decimal128(30, 0),
    "n": pa.null(),
    "l": pa.list_(pa.struct({"x": pa.list_(pa.float64())})),
    "m": pa.map_(pa.string(), pa.struct({"select": pa.int64()})),
}


@pytest.fixture
def cars(tmp_path: Path) -> Path:
    file = tmp_path / "cars.json"
    file.write_text(json.dumps(CARS))
    return file


def test_the_sql_types_are_those_that_duckdb_reads(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("o", pa.struct(ARROW))])
    file = tmp_path / "empty.parquet"
    pq.ParquetWriter(file, schema).close()
    (read,) = duckdb.sql(f"select o from '{file}'").types  # noqa: S608 - our own file
    (told,) = duckdb.sql(f"select null::{DUCKDB.type_of(schema.field('o').type)}").types
    assert told == read


@pytest.mark.parametrize(
    ("arrow_type", "bigquery", "snowflake"),
    [
        (pa.int64(), "INT64", "NUMBER(19, 0)"),
        (pa.uint64(), "BIGNUMERIC", "NUMBER(20, 0)"),
        (pa.decimal128(30, 5), "NUMERIC(30, 5)", "NUMBER(30, 5)"),
        (pa.decimal128(38, 0), "BIGNUMERIC(38, 0)", "NUMBER(38, 0)"),
        (pa.decimal256(50, 0), NO_TYPE, NO_TYPE),
        (pa.timestamp("us", "UTC"), "TIMESTAMP", "TIMESTAMP_LTZ(6)"),
        (pa.list_(pa.string()), "ARRAY<STRING>", "ARRAY(VARCHAR)"),
        (pa.struct({"a b": pa.bool_()}), "STRUCT<`a b` BOOL>", 'OBJECT("a b" BOOLEAN)'),
        (
            pa.map_(pa.string(), pa.float64()),
            "ARRAY<STRUCT<`key` STRING, `value` FLOAT64>>",
            "MAP(VARCHAR, FLOAT)",
        ),
    ],
)
def test_the_other_warehouses_have_their_own_names(
    arrow_type: pa.DataType, bigquery: str, snowflake: str
) -> None:
    assert (BIGQUERY.type_of(arrow_type), SNOWFLAKE.type_of(arrow_type)) == (bigquery, snowflake)


def test_no_type_of_a_column_is_without_a_name() -> None:
    for name, arrow_type in ARROW.items():
        for dialect in (DUCKDB, BIGQUERY, SNOWFLAKE):
            assert NO_TYPE not in dialect.type_of(arrow_type), (dialect.name, name)


def test_it_shows_every_column_with_its_types(
    cars: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", str(cars)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"schema key {schema_key(OutputSchema(CARS).canonical)}\n")
    blocks = {block.splitlines()[0]: block for block in shown.split("\n\n")[1:]}
    assert list(blocks) == [
        *("output", "output.cars", "output.plate", "output.two words"),
        *("output.boxes", "output.boxes[]", "output.boxes[].x"),
    ]
    assert "Arrow      int64 not null\n  Parquet    INT64\n" in blocks["output.cars"]
    assert "Arrow      string\n  Parquet    BYTE_ARRAY String\n" in blocks["output.plate"]
    assert '"two words" DOUBLE' in blocks["output"]
    assert "Parquet" not in blocks["output.boxes"]


@pytest.mark.parametrize(
    ("answer", "options", "code", "words"),
    [
        ('{"cars": 1}', [], 0, "sample: valid"),
        ('```\n{"cars": 1}\n```', [], 0, "valid, after a repair"),
        ('```\n{"cars": 1}\n```', ["--repair", "none"], 1, "not_json"),
        ("{'cars': 1}", ["--repair", "single_quotes"], 0, "valid, after a repair"),
        ('{"cars": "1"}', [], 1, "at /cars of the answer\n  by /properties/cars/type"),
        ("{}", [], 1, "at (root) of the answer"),
    ],
)
def test_it_checks_a_sample(
    answer: str,
    options: list[str],
    code: int,
    words: str,
    *,
    cars: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = cars.with_name("answer.txt")
    file.write_text(answer)
    for sample in (answer, f"@{file}"):
        assert main(["schema", str(cars), "--sample", sample, *options]) == code
        assert words in capsys.readouterr().out


def test_it_prints_json_for_programs(cars: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", str(cars), "--json", "--sample", '{"cars": "\\ud800"}']) == 1
    document = json.loads(capsys.readouterr().out)
    column = next(each for each in document["columns"] if each["path"] == "output.cars")
    assert column["sql"] == {"DuckDB": "BIGINT", "BigQuery": "INT64", "Snowflake": "NUMBER(19, 0)"}
    assert (column["nullable"], column["parquet"]) == (False, "INT64")
    assert document["sample"]["reason"] == "not_json"


def test_it_takes_classes_of_python_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "described_answers.py"
    file.write_text("import dataclasses\n@dataclasses.dataclass\nclass Cars:\n    cars: int\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert main(["schema", f"{file}:Cars", "--sample", '{"cars": 1}']) == 0
    assert "output.cars" in capsys.readouterr().out
    assert main(["schema", f"{file}:Nothing"]) == 2
    assert "has no 'Nothing'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"type": "object", "properties": {"x": {"type": "strin"}}}, "/properties/x/type"),
        ({"$ref": "http://127.0.0.1:9/x.json"}, "/$ref"),
    ],
)
def test_a_refusal_has_its_path_and_exit_code_2(
    document: object, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(document))
    assert main(["schema", str(file)]) == 2
    assert f"schema at {words}" in capsys.readouterr().err
    assert main(["schema", str(tmp_path / "none.json")]) == 2
    assert main(["schema", str(file), "--sample", f"@{tmp_path}/none"]) == 2
