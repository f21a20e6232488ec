from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from overshoot_flow.results import Failure, FailureReason
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.keyed_records import KeyedRecordBuilder, schema_key
from overshoot_flow_connectors.parquet import ParquetSink
from overshoot_flow_pipelines.cli import main

NAME = {
    "type": "object",
    "properties": {"n": {"type": "string"}},
    "additionalProperties": False,
}
COUNT = OutputSchema({**NAME, "properties": {"n": {"type": "integer"}}}).canonical
V1 = ["DIR", "--replay", "--ask", "--prompt", "?", "--base-url", "http://127.0.0.1:9/v1"]
START_US = 1_704_067_200_000_000


def letter(identity: str, reason: FailureReason, raw_text: str | None, **changes: Any) -> Failure:
    known: dict[str, Any] = {
        "result_id": identity,
        "stream_key": "cam-1",
        "source": "camera",
        "reason": reason,
        "detail": f"detail {identity}",
        "instance_path": None,
        "schema_path": None,
        "media_start_us": 0,
        "media_end_us": 10,
        "media_uncertainty_us": 0,
        "stream_id": "s",
        "mode": "clip",
        "backend": "b",
        "model": "m",
        "prompt": "?",
        "prompt_version": "v",
        "raw_text": raw_text,
        "finish_reason": "stop",
        "received_at_us": START_US + int(identity),
        "frames_covered": 1,
        "frames_between": 0,
        "settled_start_us": None,
        "settled_end_us": None,
        "schema_json": COUNT,
    }
    return Failure(**known | changes)


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    directory = tmp_path / "answers"
    part = ParquetSink(directory).build_part("out", "part-0000", None)
    outcomes = [
        letter("1", FailureReason.NOT_JSON, "{'n': 1}"),
        letter("2", FailureReason.NOT_JSON, "say \ud800 " + "x" * 200, stream_key="cam-2"),
        letter("3", FailureReason.SCHEMA, '{"n": "x"}', instance_path="/n"),
        letter("4", FailureReason.DEADLINE, None, schema_json=None),
    ]
    part.write_batch(KeyedRecordBuilder().batches(outcomes))
    part.snapshot()
    part.close()
    return directory


def test_it_shows_the_reasons_and_the_newest(
    letters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deadletters", str(letters), "--limit", "3"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in shown[1:4]] == [
        ["not_json", "2", "0", "2"],
        ["deadline", "1", "0", "1"],
        ["schema", "1", "0", "1"],
    ]
    assert shown[3].endswith("/n: detail 3")
    assert [line.split()[0] for line in shown if "+00:00" in line] == ["4", "3", "2"]
    assert max(map(len, shown)) < 120
    assert "\\ud800" in "".join(shown)


def test_it_prints_json_that_keeps_the_raw_text(
    letters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deadletters", str(letters), "--json", "--stream", "cam-2"]) == 0
    document = json.loads(capsys.readouterr().out)
    (group,) = document["groups"]
    assert (group["reason"], group["letters"]) == ("not_json", 1)
    assert group["schema_keys"] == [schema_key(COUNT)]
    assert group["last_received_at"] == "2024-01-01T00:00:00.000+00:00"
    (newest,) = document["newest"]
    assert newest["raw_text"].startswith("say \ud800 xx")
    assert not newest["replayed"]


def test_it_replays_and_says_so(
    letters: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = ["deadletters", str(letters), "--replay"]
    assert main([*again, "--repair", "single_quotes"]) == 0
    shown = capsys.readouterr().out
    assert [line.split()[-1] for line in shown.splitlines()[:2]] == ["1", "0"]
    assert "not_json 1, schema 1" in shown
    assert "deadline 1" in shown
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(NAME))
    assert main([*again, "--schema", str(schema), "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done == {
        "moved": 1,
        "done_before": 1,
        "failing": {"not_json": 1},
        "not_replayable": {"deadline": 1},
        "asked": 0,
        "cost_cents": 0.0,
        "not_asked": [],
    }
    files = (letters / "results").rglob("*.parquet")
    outputs = [pq.ParquetFile(file).read().column("output").to_pylist() for file in files]
    assert sorted(map(str, outputs)) == ["[{'n': 'x'}]", "[{'n': 1}]"]
    main(["deadletters", str(letters)])
    assert capsys.readouterr().out.count("(replayed)") == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "is no directory"),
        (["DIR", "--schema", "x.json"], "--schema is for --replay"),
        (["DIR", "--replay", "--schema", "x.json"], "cannot read the schema"),
        (["DIR", "--limit", "-1"], "--limit is -1"),
        (["DIR", "--ask"], "--ask is for --replay"),
        (["DIR", "--replay", "--prompt", "?"], "--prompt is for --ask"),
        (["DIR", "--replay", "--max-cost", "5"], "--max-cost is for --ask"),
        (["DIR", "--replay", "--ask-failing"], "--ask-failing is for --ask"),
        (["DIR", "--replay", "--ask"], "say what was asked"),
        (["DIR", "--replay", "--ask", "--prompt", "?", "--question", "a:b"], "say what was asked"),
        (["DIR", "--replay", "--ask", "--question", "json:dumps"], "json:dumps is no Inference"),
        (["DIR", "--replay", "--ask", "--question", "dumps"], "names no module"),
        (["DIR", "--replay", "--ask", "--prompt", "?"], "v1 and v1beta only"),
        ([*V1, "--max-cost", "0"], "it must be above 0"),
        ([*V1, "--memory", "1"], "earlier answers as context"),
    ],
)
def test_wrong_use_is_exit_code_2(
    arguments: list[str],
    words: str,
    letters: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OVERSHOOT_API_KEY", "ovs-test")
    named = [str(letters) if each == "DIR" else each for each in arguments]
    assert main(["deadletters", *named]) == 2
    assert words in capsys.readouterr().err


def test_a_directory_without_dead_letters_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deadletters", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "no dead letters\n"
    assert main(["deadletters", str(tmp_path), "--replay"]) == 0


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://b/answers?region=x", "s3://b/answers is in an object store, and deadletters takes"),
        ("s3://me:hidden@b/answers", "URL has credentials"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--replay"]], ids=["show", "replay"])
def test_an_object_store_is_no_folder(
    url: str, words: str, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deadletters", url, *more]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "hidden" not in said
