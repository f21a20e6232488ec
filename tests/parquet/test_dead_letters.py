"""Dead letters are read back exactly, and replayed into results exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from outcome_samples import NEW_YEAR_2024_US, a_failure, a_result

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.repair_level import Repair
from overshoot_flow.results import Failure, FailureReason, Outcome, Result
from overshoot_flow.schema.dead_letters import failures_of
from overshoot_flow.schema.dead_letters import replayed as checked_again
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.keyed_records import KeyedRecordBuilder, schema_key
from overshoot_flow.schema.records import RecordBuilder
from overshoot_flow_connectors.parquet import ParquetSink
from overshoot_flow_connectors.parquet_dead_letters import DeadLetters, Selection
from overshoot_flow_connectors.parquet_files import DirectoryLock
from overshoot_flow_connectors.parquet_partition import STATE_FOLDER
from overshoot_flow_connectors.parquet_replay import ReplayReport, replay

CLOSED = {"type": "object", "additionalProperties": False}


def of(value_type: str) -> OutputSchema:
    return OutputSchema({**CLOSED, "properties": {"n": {"type": value_type}}})


COUNT, NAME = of("integer"), of("string")


def letter(identity: str, raw_text: str | None = "{'n': 1}", **changes: Any) -> Failure:
    known = {
        "result_id": identity,
        "raw_text": raw_text,
        "reason": FailureReason.NOT_JSON,
        "schema_json": COUNT.canonical,
        "captured_start_us": NEW_YEAR_2024_US + 5,
        "frames_published_total": 12,
        "delivered_width": 640,
        "labels": {"site": "north"},
    }
    return a_failure(**known | changes)


def write(directory: Path, outcomes: Sequence[Outcome], schema: OutputSchema | None = None) -> None:
    """A whole run; with a schema, of one that is declared."""
    part = ParquetSink(directory).build_part("out", "part-0000", None)
    builder = KeyedRecordBuilder() if schema is None else RecordBuilder(schema)
    part.write_batch(builder.batches(outcomes))
    part.snapshot()
    part.close()


def rows(directory: Path, dataset: str = "results") -> list[dict[str, Any]]:
    files = sorted((directory / dataset).rglob("*.parquet"))
    found = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
    return sorted(found, key=lambda row: str(row["result_id"]))


def test_rows_are_the_outcomes_that_they_were_made_of() -> None:
    failures = [
        letter("a", 'x\ud800"\udfff'),
        letter("b", None, labels={}, reason=FailureReason.DEADLINE, schema_json=None),
        letter("d", "\ufffd{", raw_bytes=b"\xff{", reason=FailureReason.CONTRACT),
        letter("c", "\\ud800", captured_end_us=7, total_latency_ms=1.5, then_form="text"),
    ]
    (records,) = RecordBuilder(None).batches(failures)
    assert failures_of(records.batch) == failures
    bare = records.batch.select(
        [each for each in records.batch.schema.names if each != "raw_bytes"]
    )
    assert failures_of(bare)[0].raw_text == 'x\\ud800"\\udfff'


def test_what_passes_becomes_the_result_that_it_would_have_been() -> None:
    result = checked_again(letter("a"), COUNT, Repair.SINGLE_QUOTES)
    assert isinstance(result, Result)
    expected = a_result(
        result_id="a",
        raw_text="{'n': 1}",
        output={"n": 1},
        repaired=True,
        schema_json=COUNT.canonical,
    )
    own = (
        "media_start_us",
        "media_end_us",
        "received_at_us",
        "stream_id",
        "labels",
        "capture_basis",
    )
    own += ("captured_start_us", "frames_between", "inference_latency_ms", "settled_end_us")
    own += ("delivered_height", "frames_sent_total")
    assert replace(expected, **{name: getattr(result, name) for name in own}) == result
    assert (result.media_start_us, result.labels) == (500_000, {"site": "north"})


@pytest.mark.parametrize("declared", [COUNT, None])
def test_what_passes_a_repair_is_moved_once(declared: OutputSchema | None, tmp_path: Path) -> None:
    letters = [
        letter("0"),
        letter("1", stream_key="cam-2"),
        letter("2", "no JSON"),
        letter("3", '{"n": "x"}', reason=FailureReason.SCHEMA),
        letter("4", None, reason=FailureReason.DEADLINE),
        letter("5", finish_reason="length", reason=FailureReason.CUT),
        letter("5b", schema_json=None),
    ]
    valid = a_result(result_id="6", output={"n": 6}, schema_json=COUNT.canonical)
    write(tmp_path, [*letters, valid], declared)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.parquet")}

    assert replay(tmp_path).moved == 0
    report = replay(tmp_path, repair=Repair.SINGLE_QUOTES)
    assert report == ReplayReport(
        moved=2,
        failing={"not_json": 1, "schema": 1},  # type: ignore[arg-type]  # equal as mappings
        not_replayable={"deadline": 1, "cut": 1, "not_json": 1},  # type: ignore[arg-type]
    )
    again = replay(tmp_path, repair=Repair.SINGLE_QUOTES)
    assert (again.moved, again.done_before) == (0, 2)

    seen = rows(tmp_path)
    assert [(row["result_id"], row["output"]["n"], row["repaired"]) for row in seen] == [
        ("0", 1, True),
        ("1", 1, True),
        ("6", 6, False),
    ]
    assert dict(seen[0]["labels"]) == {"site": "north"}
    assert [row["result_id"] for row in rows(tmp_path, "replays")] == ["0", "1"]
    assert {file: file.read_bytes() for file in before} == before
    assert not (tmp_path / STATE_FOLDER).exists()
    columns = "stream_key, source, output.n"
    found = duckdb.sql(
        f"select {columns} from read_parquet('{tmp_path}/results/**/*.parquet', "  # noqa: S608
        "union_by_name = true, hive_partitioning = true) order by 1, 3"
    )
    assert found.fetchall() == [("cam-1", "cam-1", 1), ("cam-1", "cam-1", 6), ("cam-2", "cam-2", 1)]


def test_another_schema_has_its_own_folder_and_asks_whose_answers_it_is_for(tmp_path: Path) -> None:
    wrong = '{"n": "x"}'
    write(
        tmp_path,
        [
            letter("0", wrong, reason=FailureReason.SCHEMA),
            letter("1", wrong, schema_json=of("number").canonical),
        ],
    )
    with pytest.raises(ConfigurationError, match="--schema-key") as refused:
        replay(tmp_path, schema=NAME)
    key = schema_key(COUNT.canonical)
    assert key in str(refused.value)
    assert replay(tmp_path, schema=NAME, selection=Selection(schema_key=key)).moved == 1
    assert [row["output"] for row in rows(tmp_path)] == [{"n": "x"}]
    folder = tmp_path / "results" / f"schema={schema_key(NAME.canonical)}"
    assert len(list(folder.rglob("*.parquet"))) == 1


def test_a_schema_that_is_refused_now_is_named_and_can_be_replaced(tmp_path: Path) -> None:
    old = '{"nullable":true,"properties":{"n":{"type":"integer"}},"type":"object"}'
    write(tmp_path, [letter("a", schema_json=old), letter("b")])
    key = schema_key(old)
    with pytest.raises(ConfigurationError, match=f"{key}.*/nullable.*--schema-key {key}"):
        replay(tmp_path, repair=Repair.SINGLE_QUOTES)
    chosen = Selection(schema_key=key)
    assert replay(tmp_path, schema=COUNT, repair="single_quotes", selection=chosen).moved == 1
    others = Selection(schema_key=schema_key(COUNT.canonical))
    assert replay(tmp_path, repair="single_quotes", selection=others).moved == 1
    assert [row["result_id"] for row in rows(tmp_path)] == ["a", "b"]


def test_another_schema_must_go_with_the_declared_one(tmp_path: Path) -> None:
    letters = [letter("0", '{"n": "x"}'), letter("7", '{"n": 1, "m": 2}')]
    valid = a_result(result_id="6", output={"n": 6}, schema_json=COUNT.canonical)
    write(tmp_path, [*letters, valid], COUNT)
    with pytest.raises(ConfigurationError, match=r"column output\.n"):
        replay(tmp_path, schema=NAME)
    assert len(rows(tmp_path)) == 1
    assert rows(tmp_path, "replays") == []
    assert not (tmp_path / STATE_FOLDER).exists()
    properties = {**COUNT.document["properties"], "m": {"type": "integer"}}
    wider = OutputSchema({**CLOSED, "properties": properties})
    assert replay(tmp_path, schema=wider).moved == 1
    assert rows(tmp_path)[-1]["output"] == {"n": 1, "m": 2}


def test_a_row_that_is_a_result_already_is_not_moved(tmp_path: Path) -> None:
    valid = a_result(result_id="0", output={"n": 6}, schema_json=COUNT.canonical)
    write(tmp_path, [letter("0"), letter("1"), letter("1"), valid])
    report = replay(tmp_path, repair=Repair.SINGLE_QUOTES)
    assert (report.moved, report.done_before) == (1, 2)
    assert [row["result_id"] for row in rows(tmp_path)] == ["0", "1"]


def test_a_selection_is_obeyed(tmp_path: Path) -> None:
    write(tmp_path, [letter("0"), letter("1", stream_key="cam-2"), letter("2", None)])
    selection = Selection(stream_key="cam-2", reason=FailureReason.NOT_JSON)
    assert replay(tmp_path, repair=Repair.SINGLE_QUOTES, selection=selection).moved == 1
    assert [row["result_id"] for row in rows(tmp_path)] == ["1"]
    nothing = Selection(reason=FailureReason.CUT)
    assert list(DeadLetters(tmp_path).failures(nothing)) == []


def test_two_replays_never_meet_and_a_directory_is_needed(tmp_path: Path) -> None:
    write(tmp_path, [letter("0")])
    lock = DirectoryLock(tmp_path / STATE_FOLDER / "replays")
    with pytest.raises(ConfigurationError, match="another run"):
        replay(tmp_path)
    lock.release()
    assert replay(tmp_path).moved == 0
    with pytest.raises(ConfigurationError, match="is no directory"):
        replay(tmp_path / "nowhere")
